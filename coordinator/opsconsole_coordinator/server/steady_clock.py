"""Wall-clock time that never jumps."""

import time


class SteadyClock:
    """Unix milliseconds: the wall clock at the start, then monotonic time.

    A clock that is stepped while the coordinator runs must not make a whole fleet look lost.
    """

    def __init__(self) -> None:
        self._wall_ms = time.time_ns() // 1_000_000
        self._started_ns = time.monotonic_ns()

    def now_ms(self) -> int:
        """Now."""
        return self._wall_ms + self.uptime_ms()

    def uptime_ms(self) -> int:
        """Since this clock was made."""
        return (time.monotonic_ns() - self._started_ns) // 1_000_000
