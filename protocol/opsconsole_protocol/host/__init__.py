"""What coordinator, agent and client share of their shells: dialling, and files that only their owner may read."""
