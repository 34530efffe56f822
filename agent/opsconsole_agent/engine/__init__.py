"""What attempts are prepared and started with."""
