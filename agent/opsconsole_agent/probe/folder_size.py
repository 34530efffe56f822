"""How much disk space attempts' folders take, measured in small steps."""

import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

_MIB = 1 << 20
_BLOCK = 512
_ENTRIES_PER_STEP = 64
_DEPTH_MAX = 64


class FolderSizeProbe:
    """Walks folders in small steps, spread over many calls, so that no call takes longer than its budget.

    A folder is walked anew `every_s` after its last walk ended. Links are not followed, other filesystems not entered,
    and files with several hard links counted once. For local folders only, as a network mount may hang.
    """

    def __init__(
        self, *, budget_s: float = 0.003, every_s: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`budget_s` is how long one call may walk, for all folders together."""
        self._budget_s = budget_s
        self._every_s = every_s
        self._clock = clock
        self._walks: dict[str, _Walk] = {}

    def sample(self, folders: Mapping[str, Path]) -> dict[str, int | None]:
        """Walk on and return the last known size of each folder in MiB, None before its first walk has ended."""
        for key in self._walks.keys() - folders.keys():
            del self._walks[key]
        for key, folder in folders.items():
            if key not in self._walks or self._walks[key].folder != folder:
                self._walks[key] = _Walk(folder)
        self._step_walks()
        return {key: self._walks[key].size_mb for key in folders}

    def _step_walks(self) -> None:
        """Let each walk that is due take a step in turn, first the one whose last step is longest ago."""
        begun = self._clock()
        due = sorted((walk for walk in self._walks.values() if walk.due_at <= begun), key=lambda walk: walk.turn)
        while due and self._clock() - begun < self._budget_s:
            walk = due.pop(0)
            walk.turn = self._clock()
            if walk.step(_ENTRIES_PER_STEP):
                due.append(walk)
            else:
                walk.due_at = self._clock() + self._every_s


class _Walk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.size_mb: int | None = None
        self.due_at = 0.0
        self.turn = 0.0
        self._sizes: Iterator[int] | None = None
        self._sum = 0

    def step(self, entries: int) -> bool:
        """Count some more entries and return False once the walk has ended."""
        if self._sizes is None:
            self._sizes, self._sum = _sizes(self.folder), 0
        for _ in range(entries):
            size = next(self._sizes, None)
            if size is None:
                self._sizes = None
                self.size_mb = -(-self._sum // _MIB)  # rounded up, so that only an empty folder has 0
                return False
            self._sum += size
        return True


def _sizes(top: Path) -> Iterator[int]:
    """Yield the bytes on disk of every entry under `top`. Entries that vanish meanwhile are left out."""
    try:
        device = os.lstat(top).st_dev
    except OSError:
        return
    linked: set[int] = set()
    folders = [(str(top), 0)]
    while folders:
        folder, depth = folders.pop()
        for name in _names(folder):
            path = f"{folder}/{name}"
            try:
                state = os.lstat(path)
            except OSError:
                continue
            if state.st_dev != device or state.st_ino in linked:
                yield 0
                continue
            if stat.S_ISDIR(state.st_mode):
                if depth < _DEPTH_MAX:
                    folders.append((path, depth + 1))
            elif state.st_nlink > 1:
                linked.add(state.st_ino)
            yield state.st_blocks * _BLOCK


def _names(folder: str) -> list[str]:
    """Return the entries of a folder, or none if it has become a link since it was seen."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        return os.listdir(descriptor)  # noqa: PTH208 – by descriptor, so that no link is followed
    except OSError:
        return []
    finally:
        os.close(descriptor)
