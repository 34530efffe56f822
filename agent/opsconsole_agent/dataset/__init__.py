"""Recognises and describes datasets, in a process of its own: see `describer`. All else here runs in that process."""
