"""Was it the kernel's out-of-memory killer? Told from the kernel's own count of such kills, cgroup limits included.

The count is the whole host's: an attempt that somebody killed by hand within seconds of such a kill elsewhere can't be
told from a victim.
"""

import os
import signal

_FIELD = b"\noom_kill "
_MAX_AGE_S = 1.0
WINDOW_S = 10.0
"""How long a kill may take to become an end: much memory takes its time to be given back."""


class OomCounter:
    """`oom_kill` of /proc/vmstat: how often the kernel has killed for want of memory since boot."""

    def __init__(self) -> None:
        self._count: int | None = None
        self._read_at_s = float("-inf")
        self._past: int | None = None  # the count at least WINDOW_S ago
        self._next: int | None = None  # the one after it
        self.due_s = 0.0

    def recent(self, now_s: float) -> int | None:
        """The count, at most a second old; None where the kernel doesn't tell."""
        return self._count if now_s - self._read_at_s < _MAX_AGE_S else self.read(now_s)

    def read(self, now_s: float) -> int | None:
        """The count now."""
        self._read_at_s = now_s
        try:
            with open("/proc/vmstat", "rb") as file:  # noqa: PTH123  (the keeper doesn't import pathlib)
                text = file.read()
        except OSError:
            text = b""
        _, found, rest = text.partition(_FIELD)
        self._count = int(rest.split(None, 1)[0]) if found else None
        return self._count

    def keep_up(self, now_s: float) -> None:
        """Take a reading when it is due: kills of longer ago have nothing to do with an end of now."""
        if now_s >= self.due_s:
            self.due_s = now_s + WINDOW_S
            self._past, self._next = self._next, self.read(now_s)

    def verdict(self, status: int | None, before: int | None, now_s: float) -> bool | None:
        """Whether an attempt that ended with this wait status by nobody's order ran out of memory.

        None when it can't be told: the count moved, but it wasn't the first process that was killed.
        """
        if status is None:
            return None
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            return False
        now = self.read(now_s)
        if before is None or now is None:
            return None
        if now == max(before, self._past or 0):
            return False
        return True if code in {-signal.SIGKILL, 128 + signal.SIGKILL} else None
