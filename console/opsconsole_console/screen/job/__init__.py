"""One job: its tasks, attempts, spec and events."""
