"""What the agent decides: plain state, events in, effects out. It knows no loop, no file and no clock."""
