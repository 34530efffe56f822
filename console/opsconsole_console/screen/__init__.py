"""The console's screens: a folder for each, one widget a file. `part/` has what several screens are built of."""
