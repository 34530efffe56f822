"""What coordinator, agent, client and console agree on: words, states, messages and errors."""

PROTOCOL_VERSION = 1
"""Exchanged first on every connection; peers whose versions differ part with a clear error on both sides."""
