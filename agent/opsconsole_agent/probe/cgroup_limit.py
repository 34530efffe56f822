"""How much memory and CPU this process may use by its cgroups, of version 1, 2, or both at once."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from opsconsole_agent.probe.mount import Mount, mounts

_NO_LIMIT = 1 << 60
"""Version 1 writes "no limit" as the largest number of pages."""


class MemoryLimit(NamedTuple):
    """Bytes allowed, and bytes in use without the file cache that the kernel can drop."""

    limit: int
    used: int


class CgroupLimit:
    """The limits in force: the tightest ones from our own group up to the topmost that we can see."""

    def __init__(self, proc: Path = Path("/proc/self")) -> None:
        """Find the groups. Their limits are read at each call, as they may change."""
        self._memory: list[Path] = []
        self._cpu: list[Path] = []
        table = mounts(proc / "mountinfo")
        for controllers, path in _memberships(proc):
            if not controllers:
                groups = _groups(table, "cgroup2", "", path)
                self._memory += groups
                self._cpu += groups
            if "memory" in controllers:
                self._memory += _groups(table, "cgroup", "memory", path)
            if "cpu" in controllers:
                self._cpu += _groups(table, "cgroup", "cpu", path)

    def memory(self) -> MemoryLimit | None:
        """Return the tightest memory limit, or None without one."""
        found = [limit for group in self._memory if (limit := _memory_limit(group)) is not None]
        return min(found, default=None)

    def cpus(self) -> float | None:
        """Return how many CPUs' time may be used, or None without a limit."""
        return min((quota for group in self._cpu if (quota := _cpu_quota(group)) is not None), default=None)


def _memberships(proc: Path) -> Iterator[tuple[set[str], str]]:
    """Yield the controllers (none for version 2) and the path of each group that the process is in."""
    try:
        lines = (proc / "cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        with contextlib.suppress(ValueError):
            number, controllers, path = line.split(":", 2)
            yield (set() if number == "0" else set(controllers.split(","))), path


def _groups(table: list[Mount], kind: str, controller: str, path: str) -> list[Path]:
    """Return the folders of the group and of those above it, as far as they are mounted here."""
    for mount in table:
        if mount.kind != kind or (controller and controller not in mount.options):
            continue
        root = mount.root.rstrip("/")
        inside = path == root or path.startswith(f"{root}/")
        # In a container the path may be the host's while only our own group is mounted, which is the topmost then.
        steps = [part for part in path[len(root) :].split("/") if part and part != ".."] if inside else []
        return [Path(mount.point, *steps[:depth]) for depth in range(len(steps), -1, -1)]
    return []


def _memory_limit(group: Path) -> MemoryLimit | None:
    new = (group / "memory.max").exists()
    limit = _number(group / ("memory.max" if new else "memory.limit_in_bytes"))
    if limit is None or limit >= _NO_LIMIT:
        return None
    used = _number(group / ("memory.current" if new else "memory.usage_in_bytes")) or 0
    droppable = _statistic(group / "memory.stat", "inactive_file" if new else "total_inactive_file")
    return MemoryLimit(limit, max(0, used - droppable))


def _cpu_quota(group: Path) -> float | None:
    words = _words(group / "cpu.max")
    if words:
        quota, period = (_integer(word) for word in [*words, "100000"][:2])
    else:
        quota, period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
    if quota is None or not period or quota <= 0:
        return None
    return quota / period


def _statistic(file: Path, name: str) -> int:
    words = _words(file)
    return _integer(words[words.index(name) + 1]) or 0 if name in words[:-1] else 0


def _number(file: Path) -> int | None:
    """Return the first number in a file, or None without one, and for `max`."""
    words = _words(file)
    return _integer(words[0]) if words else None


def _integer(word: str) -> int | None:
    try:
        return int(word)
    except ValueError:
        return None


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return []
