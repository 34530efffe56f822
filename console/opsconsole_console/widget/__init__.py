"""The console's hot widgets and the pure functions they draw with.

Tables and logs never become one widget a row: `LiveTable` and `LogView` paint the lines in sight from a store they own.
Nothing here knows the coordinator, the client or any entity of ours; screens hand in rows, columns and lines.
"""
