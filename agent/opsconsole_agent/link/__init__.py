"""The agent's end of its link to the coordinator."""
