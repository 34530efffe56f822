"""Was it the kernel's out-of-memory killer? Told from the kernel's own count of such kills, cgroup limits included."""

import os
import signal

_FIELD = b"\noom_kill "
_MAX_AGE_S = 1.0


class OomCounter:
    """`oom_kill` of /proc/vmstat: how often the kernel has killed for want of memory since boot."""

    def __init__(self) -> None:
        self._count: int | None = None
        self._read_at_s = float("-inf")

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
        if now == before:
            return False
        return True if code in {-signal.SIGKILL, 128 + signal.SIGKILL} else None
