"""A mark that a process can't lose by cleaning its environment: one of its resource limits.

Limits are inherited by every child, through any number of forks, sessions and programs. So each attempt is started with
its own soft limit on the bytes of POSIX message queues, which hardly any program looks at, a little below the limit that
it would have had. A program that sets this limit on purpose loses the mark; a daemon that only cleans its environment
doesn't.
"""

import os
import resource
from collections.abc import Container

_MARKS = 1 << 16
_BASE_WHERE_UNLIMITED = 1 << 30
_LABEL = b"Max msgqueue size"
_SOFT, _HARD = resource.getrlimit(resource.RLIMIT_MSGQUEUE)
_BASE = _SOFT if _SOFT != resource.RLIM_INFINITY else _BASE_WHERE_UNLIMITED


class LimitMarks:
    """Hands out limits so that no two attempts carry the same one at a time."""

    def __init__(self) -> None:
        # The first one is random: within an attempt of another keeper, that keeper's marks are near the same limit.
        self._last = int.from_bytes(os.urandom(2), "little")

    def next(self, taken: Container[int]) -> int:
        """Return a limit that isn't taken, or 0 where our own limit is too low to leave room for marks."""
        if _BASE < 2 * _MARKS:
            return 0
        for _ in range(_MARKS):
            self._last = (self._last + 1) % _MARKS
            mark = _BASE - 1 - self._last
            if mark not in taken:
                return mark
        return 0


def set_limit_mark(mark: int) -> None:
    """Set this process's own limit, which the children that it starts next inherit; 0 sets the usual one."""
    resource.setrlimit(resource.RLIMIT_MSGQUEUE, (mark or _SOFT, _HARD))


def read_limit_mark(pid: int) -> int:
    """Return the limit of a process, which may be a mark; 0 when there is no such process or no number."""
    try:
        descriptor = os.open(b"/proc/%d/limits" % pid, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        text = os.read(descriptor, 1 << 14)
    except OSError:
        return 0
    finally:
        os.close(descriptor)
    words = text.partition(_LABEL)[2].split(None, 1)
    return int(words[0]) if words and words[0].isdigit() else 0
