"""The coordinator's pure core."""
