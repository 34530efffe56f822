"""What the screens show and what an operator can do, as plain values. Pure."""
