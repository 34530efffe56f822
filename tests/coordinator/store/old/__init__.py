"""Stores as older versions wrote them: they open for ever."""
