"""How fast all relays together may be: a token bucket that their threads share."""

import threading
import time
from collections.abc import Callable

BURST_S = 0.25
"""What wasn't used in this time may be used at once."""


class Rate:
    """At most `bytes_s` bytes a second on average; 0: as many as come."""

    def __init__(self, bytes_s: int, now_s: Callable[[], float] = time.monotonic) -> None:
        self._bytes_s = bytes_s
        self._now_s = now_s
        self._lock = threading.Lock()
        self._left = bytes_s * BURST_S
        self._at_s = now_s()

    def take(self, size: int) -> float:
        """Count `size` bytes. Returns for how many seconds whoever has moved them has to wait."""
        if not self._bytes_s:
            return 0.0
        with self._lock:
            now_s = self._now_s()
            self._left = min(self._left + (now_s - self._at_s) * self._bytes_s, self._bytes_s * BURST_S) - size
            self._at_s = now_s
            return max(0.0, -self._left / self._bytes_s)
