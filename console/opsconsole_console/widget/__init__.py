"""The console's hot widgets and the pure functions they draw with.

Tables, logs and curves never become one widget a row: `LiveTable`, `LogView` and `CurveView` paint the lines in sight from
a store they own. Nothing here knows the coordinator, the client or any entity of ours; screens hand in rows, columns,
lines and series.
"""
