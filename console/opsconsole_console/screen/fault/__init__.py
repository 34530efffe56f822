"""What is shown instead of a screen that can't be painted."""
