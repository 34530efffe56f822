"""Operators in running tasks: the programs that they run there, and connections to ports."""
