"""What is carried from and to this machine, and what waits for it."""
