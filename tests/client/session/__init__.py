"""Tests of what moves from this machine and back."""
