"""The agent's side of its keeper: found or started, spoken to, and found again."""
