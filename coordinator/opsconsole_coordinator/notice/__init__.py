"""Pure: who is told of what, and when a delivery is tried again."""
