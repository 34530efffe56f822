"""Fuzzing of everything that reads what others wrote: peers, people, files, the store."""
