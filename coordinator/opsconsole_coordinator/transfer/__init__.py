"""The coordinator's bytes, in a process of their own: what it relays, and what it keeps."""
