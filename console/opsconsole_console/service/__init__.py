"""What the screens ask for: a fleet, its logs, and operations on it."""
