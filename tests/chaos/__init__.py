"""Chaos: real processes, files and networks that are broken on purpose, and what must hold all the same."""
