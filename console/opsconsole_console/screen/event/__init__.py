"""Everything that was done."""
