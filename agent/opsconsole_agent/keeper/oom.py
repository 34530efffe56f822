"""Whether the kernel's out-of-memory killer ended an attempt, by the kernel's count of such kills.

Kills for a cgroup's limit are in the count. It is the whole host's: an attempt that a person killed within seconds of
such a kill elsewhere can't be told from one that ran out of memory.
"""

import os
import signal

_FIELD = b"\noom_kill "
_MAX_AGE_S = 1.0
WINDOW_S = 10.0
"""How long a process may take to end after the kill: it gives its memory back first."""


class OomCounter:
    """`oom_kill` of /proc/vmstat: how many processes the kernel has killed for want of memory since boot."""

    def __init__(self) -> None:
        self._count: int | None = None
        self._read_at_s = float("-inf")
        self._past: int | None = None  # the count at least WINDOW_S ago
        self._next: int | None = None  # the count after that one
        self.due_s = 0.0
        """When `update` takes its next reading, on the monotonic clock."""

    def recent(self, now_s: float) -> int | None:
        """Return the count, at most a second old, or None where the kernel doesn't have one."""
        return self._count if now_s - self._read_at_s < _MAX_AGE_S else self.read(now_s)

    def read(self, now_s: float) -> int | None:
        """Read the count now."""
        self._read_at_s = now_s
        try:
            with open("/proc/vmstat", "rb") as file:  # noqa: PTH123  (the keeper doesn't import pathlib)
                text = file.read()
        except OSError:
            text = b""
        _, found, rest = text.partition(_FIELD)
        self._count = int(rest.split(None, 1)[0]) if found else None
        return self._count

    def update(self, now_s: float) -> None:
        """Read the count when that is due, so that kills of more than WINDOW_S ago are known as such."""
        if now_s >= self.due_s:
            self.due_s = now_s + WINDOW_S
            self._past, self._next = self._next, self.read(now_s)

    def was_killed(self, status: int | None, before: int | None, now_s: float) -> bool | None:
        """Whether an attempt with this wait status, which nobody ended, ran out of memory.

        `before`: the count when it started. None when that can't be told: the count has grown, but the leader wasn't
        killed by SIGKILL.
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
