"""The agent's side of the keeper: starting one, speaking to it, and finding it again."""
