"""What workers are reserved for, and windows of maintenance."""
