"""A page of text."""
