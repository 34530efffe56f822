"""Streams of bytes from this machine to another, by every way. Everything here blocks: call it from threads."""
