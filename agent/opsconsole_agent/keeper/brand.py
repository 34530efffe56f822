"""A mark that a process can't lose by cleaning its environment: one of its resource limits.

Limits pass to every child, through any number of forks, sessions and programs. So each attempt is started with a soft
limit of its own on the bytes of POSIX message queues, somewhat below what it would have had, which nobody looks at.
Whoever takes a new limit on purpose gets out of it; a daemon that only scrubs its environment doesn't.
"""

import os
import resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

_SPREAD = 1 << 16
_WHERE_UNLIMITED = 1 << 30
_LABEL = b"Max msgqueue size"
_SOFT, _HARD = resource.getrlimit(resource.RLIMIT_MSGQUEUE)
_BASE = _SOFT if _SOFT != resource.RLIM_INFINITY else _WHERE_UNLIMITED


class Branding:
    """Hands out limits, each to one attempt at a time."""

    def __init__(self) -> None:
        # From anywhere: within an attempt of another keeper, whose marks are near the same limit.
        self._last = int.from_bytes(os.urandom(2), "little")

    def next(self, taken: "Container[int]") -> int:
        """One that isn't taken; 0 where the limit leaves no room for marks."""
        if _BASE < 2 * _SPREAD:
            return 0
        for _ in range(_SPREAD):
            self._last = (self._last + 1) % _SPREAD
            brand = _BASE - 1 - self._last
            if brand not in taken:
                return brand
        return 0


def wear(brand: int) -> None:
    """Have this process's next children carry it; 0 for none."""
    resource.setrlimit(resource.RLIMIT_MSGQUEUE, (brand or _SOFT, _HARD))


def read_brand(pid: int) -> int:
    """What a process carries; 0 for nothing that could be one."""
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
