"""What the agent keeps on disk: its identity, its coordinator, and a folder for each attempt."""
