"""Putting a console together: which data folder, whose coordinator, which worker."""
