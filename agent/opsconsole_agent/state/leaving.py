"""Lists and removes what ended attempts left in the state folder, what was set aside there, and the outputs of jobs that
the coordinator says have ended.

Listing and removing go by the same rules: what belongs to an attempt that is still written down is never named, and what
wouldn't be named now isn't removed.
"""

import os
import shutil
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from opsconsole_agent.keeper import state_file
from opsconsole_agent.probe.io_path import FoundOutput, WorkerIOConfig, measure_outputs
from opsconsole_agent.probe.io_path import remove_outputs as probe_remove_outputs
from opsconsole_agent.state.state_folder import StateFolder
from opsconsole_protocol.link import Leaving

_ENTRIES_MOST = 200_000
"""How many entries are looked at for the size of one folder; what is beyond them counts as nothing."""


def look(state: StateFolder, before_ms: int) -> list[Leaving]:
    """All leavings that were last changed before this time (Unix milliseconds), the largest first. It may take seconds."""
    found = (_leaving(state.path, entry, why) for entry, why in _candidates(state))
    old = [one for one in found if one is not None and one.at_ms < before_ms]
    return sorted(old, key=lambda one: (-one.bytes, one.name))


def remove(state: StateFolder, names: Collection[str]) -> tuple[list[Leaving], list[str]]:
    """Remove the leavings of these names and return what was removed, and in words what couldn't be."""
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


def look_at_outputs(state: StateFolder, io: WorkerIOConfig, job_ids: Collection[str]) -> tuple[list[Leaving], bool]:
    """The output folders of these jobs, the largest first, and whether there may be more. Raises OutputRefused."""
    if io.output_path is None:
        return [], False
    needed = state.jobs_needed()
    found, is_more = measure_outputs(io, [job_id for job_id in job_ids if job_id not in needed])
    return sorted(map(_output, found), key=lambda one: (-one.bytes, one.name)), is_more


def remove_outputs(
    state: StateFolder, io: WorkerIOConfig, job_ids: Collection[str]
) -> tuple[list[Leaving], list[str], bool]:
    """Remove the output folders of these jobs. Raises OutputRefused.

    Return what was removed, in words what couldn't be, and whether there may be more.
    """
    found, _ = look_at_outputs(state, io, job_ids)
    if not found:
        return [], [], False
    gone, troubles, is_more = probe_remove_outputs(io, [one.job_id for one in found])
    return [one for one in found if one.job_id in gone], troubles, is_more


def _output(found: FoundOutput) -> Leaving:
    return Leaving(
        name=f"jobs/{found.job_id}",
        path=found.path,
        why="the output of a job that has ended",
        bytes=found.size_bytes,
        at_ms=max(0, found.changed_ns // 1_000_000),
        job_id=found.job_id,
        file=found.file,
    )


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
