"""What attempts are started with."""
