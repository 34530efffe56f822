"""Wire frames that were once sent: they stay readable for ever."""
