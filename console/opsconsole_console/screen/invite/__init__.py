"""Inviting a worker or a person."""
