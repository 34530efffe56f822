"""In place of a screen that can't be painted."""
