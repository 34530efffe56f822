"""What ended attempts left in the state folder, and what was set aside there: listed, and removed when it is asked for.

The plan and the removal look with the same eyes: what belongs to an attempt that is still written down is never named,
and a name that isn't in the plan any more isn't touched.
"""

import os
import shutil
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from opsconsole_agent.keeper import state_file
from opsconsole_agent.state import StateFolder
from opsconsole_protocol.link import Leaving

_ENTRIES_MOST = 200_000
"""Looked at for the size of one folder; more count as if they took nothing."""


def look(state: StateFolder, before_ms: int) -> list[Leaving]:
    """All that was last changed before this time, in Unix milliseconds; the largest first. May take its time."""
    found = (_leaving(state.path, entry, why) for entry, why in _candidates(state))
    old = [one for one in found if one is not None and one.at_ms < before_ms]
    return sorted(old, key=lambda one: (-one.bytes, one.name))


def remove(state: StateFolder, names: Collection[str]) -> tuple[list[Leaving], list[str]]:
    """Remove those of them that are still of no use; what was removed, and what couldn't be, in words."""
    removed: list[Leaving] = []
    troubles: list[str] = []
    for entry, why in list(_candidates(state)):
        one = _leaving(state.path, entry, why) if _name(state.path, entry) in names else None
        if one is None:
            continue
        try:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                state_file.clear(entry.path)
        except OSError as error:
            troubles.append(f"{entry.path} can't be removed: {error.strerror}")
        else:
            removed.append(one)
    return removed, troubles


def _candidates(state: StateFolder) -> Iterator[tuple["os.DirEntry[str]", str]]:
    for entry in _entries(state.path):
        if state_file.DAMAGED in entry.name:
            yield entry, "set aside, for something else stood in its place"
    for entry in _entries(state.path / "attempts"):
        if state_file.DAMAGED in entry.name:
            yield entry, "set aside, for something else stood in its place"
        elif not state.is_needed(entry.name):
            yield entry, "left in its working folder by an attempt that has ended"
    for entry in _entries(state.path / "logs"):
        if not state.is_needed(entry.name.rpartition(".")[0]):
            yield entry, "the log of an attempt that has ended, which was too much to be stored"


def _leaving(state_dir: Path, entry: "os.DirEntry[str]", why: str) -> Leaving | None:
    try:
        found = entry.stat(follow_symlinks=False)
        size = _folder_bytes(entry.path) if stat.S_ISDIR(found.st_mode) else found.st_blocks * 512
    except OSError:
        return None
    return Leaving(
        name=_name(state_dir, entry), path=entry.path, why=why, bytes=size, at_ms=max(0, found.st_mtime_ns // 1_000_000)
    )


def _name(state_dir: Path, entry: "os.DirEntry[str]") -> str:
    return os.path.relpath(entry.path, state_dir)


def _folder_bytes(folder: str) -> int:
    total = seen = 0
    pending = [folder]
    while pending and seen < _ENTRIES_MOST:
        for entry in _entries(Path(pending.pop())):
            seen += 1
            try:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                total += entry.stat(follow_symlinks=False).st_blocks * 512
            except OSError:
                continue
    return total


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        return list(os.scandir(folder))
    except OSError:
        return []
