"""Why a program failed, read from what it printed last. Pure."""
