"""The console's clock, handed in so that pictures of it can be taken at any time."""

import time
from collections.abc import Callable
from typing import TypeAlias

Clock: TypeAlias = Callable[[], int]
"""Unix milliseconds."""


def wall_clock() -> int:
    """Now."""
    return time.time_ns() // 1_000_000
