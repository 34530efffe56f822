"""Whether there is room left on the disks that an agent needs: for records and logs, and for results."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from opsconsole_agent.probe.timed_call import Patience
from opsconsole_protocol.quantity import size_words

FULL_BELOW_BYTES = 64 * 1024
"""A disk with less room than this counts as full for what runs."""
NEEDED_BYTES_MIN = 16 << 20
"""A worker whose disk has less room than this takes nothing new."""
_FILES_MIN = 16
_LOW_BELOW_BYTES = 1 << 30
_LOW_SHARE = 0.01


class Shortage(NamedTuple):
    """A folder on whose disk there is little room left, or none."""

    folder: str
    free_bytes: int

    @property
    def is_full(self) -> bool:
        """Whether there is too little for anything new."""
        return self.free_bytes < NEEDED_BYTES_MIN

    @property
    def words(self) -> str:
        """For people, with what to do."""
        if self.is_full:
            return f"its disk is full: make room in {self.folder}"
        return f"{size_words(self.free_bytes)} left in {self.folder}"


class RoomProbe:
    """Looks at some folders, each for at most `timeout_s`: one that doesn't answer is another probe's matter."""

    def __init__(self, folders: Sequence[str], *, timeout_s: float = 2.0) -> None:
        self._probes = {folder: Patience(lambda folder=folder: _room(folder), timeout_s) for folder in folders}  # type: ignore[misc]

    def shortages(self) -> list[Shortage]:
        """Where there is less than 1 % and less than 1 GiB left."""
        found: list[Shortage] = []
        for folder, probe in self._probes.items():
            try:
                free, total = probe.call()
            except OSError:
                continue
            if free < NEEDED_BYTES_MIN or free < min(_LOW_BELOW_BYTES, _LOW_SHARE * total):
                found.append(Shortage(folder, free))
        return found


def free_bytes(found: os.statvfs_result) -> int:
    """Bytes that we may still write on a disk: root into what is kept for root, too."""
    return (found.f_bavail if os.geteuid() else found.f_bfree) * found.f_frsize


def takes_files(found: os.statvfs_result) -> bool:
    """Whether more files can be made on a disk, whatever room there is."""
    return not found.f_files or found.f_favail >= _FILES_MIN


def _room(folder: str) -> tuple[int, int]:
    """Bytes that we may still write there, and all there are."""
    found = os.statvfs(folder)
    return free_bytes(found) if takes_files(found) else 0, found.f_blocks * found.f_frsize
