"""How fast bytes move and how long the rest takes, from counts with times. Pure."""

from collections import deque

WINDOW_S = 5.0
"""The rate that is shown is that of the last seconds: it follows the line, and doesn't jump."""
_STEP_S = 0.2
_MEASURED_AFTER_S = 0.3
"""A rate over less time than this says little."""


class Meter:
    """Keeps the counts of the last seconds. Times are seconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def count(self, bytes_moved: int, now_s: float) -> None:
        """Note how many bytes have moved by now, without what was on the other side already."""
        if len(self._seen) > 1 and now_s - self._seen[-2][0] < _STEP_S:
            self._seen[-1] = (now_s, bytes_moved)
        else:
            self._seen.append((now_s, bytes_moved))
        while len(self._seen) > 2 and now_s - self._seen[1][0] >= WINDOW_S:
            self._seen.popleft()

    @property
    def rate_bytes_s(self) -> float | None:
        """Bytes a second, or None while too little is known."""
        if len(self._seen) < 2:
            return None
        (began_s, before), (now_s, moved) = self._seen[0], self._seen[-1]
        if now_s - began_s < _MEASURED_AFTER_S:
            return None
        return max(0, moved - before) / (now_s - began_s)

    def left_ms(self, bytes_left: int) -> int | None:
        """How long the rest of that many bytes takes, or None while that can't be said."""
        rate = self.rate_bytes_s
        if not rate:
            return 0 if bytes_left == 0 and self._seen else None
        return round(1000 * bytes_left / rate)
