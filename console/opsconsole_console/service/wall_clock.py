"""The clock that a console runs on; tests hand in another."""

import time


def wall_clock() -> int:
    """Unix milliseconds now."""
    return time.time_ns() // 1_000_000
