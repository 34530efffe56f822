"""Into a task: what the two ends say while a program runs in it, or connections lead to a port of it."""
