"""All keys of where one is."""
