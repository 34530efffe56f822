"""Whether there is space left on the disks that an agent needs for records, logs and results."""

import os
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from opsconsole_agent.probe.timed_call import TimedCall
from opsconsole_protocol.quantity import size_words

FULL_BELOW_BYTES = 64 * 1024
"""A disk with less space than this counts as full for tasks that run."""
NEEDED_BYTES_MIN = 16 << 20
"""A worker whose disk has less space than this takes no new tasks."""
_FILES_MIN = 16
_LOW_BELOW_BYTES = 1 << 30
_LOW_SHARE = 0.01


class DiskShortage(NamedTuple):
    """A folder on whose disk there is little space left, or none."""

    folder: str
    free_bytes: int

    @property
    def is_full(self) -> bool:
        """Whether there is too little for new tasks."""
        return self.free_bytes < NEEDED_BYTES_MIN

    @property
    def words(self) -> str:
        """The shortage in words; if the disk is full, with what to do."""
        if self.is_full:
            return f"its disk is full: make room in {self.folder}"
        return f"{size_words(self.free_bytes)} left in {self.folder}"


class DiskSpaceProbe:
    """Reads the space of some folders' disks, each within `timeout_s`. `io_path` reports folders that don't answer."""

    def __init__(self, folders: Sequence[str], *, timeout_s: float = 2.0) -> None:
        self._calls = {folder: TimedCall(partial(_disk_space, folder), timeout_s) for folder in folders}

    def shortages(self) -> list[DiskShortage]:
        """Return the folders where less than 1 % and less than 1 GiB is left, or less than a new task needs."""
        found: list[DiskShortage] = []
        for folder, call in self._calls.items():
            try:
                free, total = call.call()
            except OSError:
                continue
            if free < NEEDED_BYTES_MIN or free < min(_LOW_BELOW_BYTES, _LOW_SHARE * total):
                found.append(DiskShortage(folder, free))
        return found


def free_bytes(found: os.statvfs_result) -> int:
    """Return the bytes that we may still write on a disk; for root that includes the part reserved for root."""
    return (found.f_bavail if os.geteuid() else found.f_bfree) * found.f_frsize


def takes_files(found: os.statvfs_result) -> bool:
    """Whether more files can be made on a disk, however much space there is."""
    return not found.f_files or found.f_favail >= _FILES_MIN


def _disk_space(folder: str) -> tuple[int, int]:
    """Return the bytes that we may still write on a folder's disk, and its size in bytes."""
    found = os.statvfs(folder)
    return free_bytes(found) if takes_files(found) else 0, found.f_blocks * found.f_frsize
