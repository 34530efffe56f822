"""What coordinator, agent, client and console agree on: words, states, messages and errors."""

PROTOCOL_VERSION = 1
"""Exchanged first on every connection; where the versions differ, both sides say so and close it."""
