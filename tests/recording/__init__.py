"""A fleet on record: what the real coordinator says on one morning, for tests that have no coordinator."""
