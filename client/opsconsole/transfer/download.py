"""A job's results, or other files of a worker, onto this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from opsconsole_protocol.api import DetailAnswer, JobDetail, ShowJob, TaskRow
from opsconsole_protocol.content.glob import check_glob, matches
from opsconsole_protocol.content.manifest import EntryKind, Manifest
from opsconsole_protocol.error import Conflict, NotFound, OpsconsoleError, ProtocolError, Unavailable
from opsconsole_protocol.stream.error import StreamCancelled
from opsconsole_protocol.stream.message import FileRoot, PeerKind, ReadFiles, RootKind, StreamGrant, Via

if TYPE_CHECKING:
    from opsconsole.transfer.carrier import Load
    from opsconsole.transfer.transfer import Transfer
    from opsconsole_protocol.host.content.session import Summary
    from opsconsole_protocol.host.content.sink import PlacingSink
    from opsconsole_protocol.host.stream.stream import Stream

_TASK = re.compile(r"task-(\d+)\Z")


class Part(NamedTuple):
    """What one worker has of what is wanted: in the folder `below` its root, and in `folder` at the destination."""

    worker: str
    root: FileRoot
    folder: bytes
    patterns: tuple[str, ...]
    below: bytes = b""


class Got(NamedTuple):
    """A file that lies at the destination now, by its path below that, and its size in bytes."""

    path: bytes
    size_bytes: int


class Brought(NamedTuple):
    """The files that lie below a folder of this machine now, and why others don't, a line for each task that couldn't be asked."""

    folder: Path
    files: list[Got]
    missing: list[str]


def get(
    load: Load, transfer: Transfer, job: str, patterns: Sequence[str], to: Path, *, task_index: int | None, via: Via
) -> Brought:
    """Bring what a job has written, as far as it matches one of the patterns (none: all), to below the folder `to`.

    Files keep their path below the job's output folder. Those that are there already with the same bytes aren't moved;
    others give way, each once its successor has arrived. What can be had is brought although a worker is away. Blocks. Raises
    OpsconsoleError, NotFound where nothing matches.
    """
    for pattern in patterns:
        check_glob(pattern)
    asked = ShowJob(
        id=job, tasks_from=task_index or 0, tasks_limit=100_000 if task_index is None else 1, events_limit=0
    )
    detail = load.ask(asked, DetailAnswer).detail
    name = detail.job.id if task_index is None else f"{detail.job.id}/task-{task_index}"
    parts = parts_of(detail, patterns)
    transfer.is_about(
        f"results of {name}", peer=", ".join(sorted({part.worker for part in parts})), job_id=detail.job.id
    )
    brought = Brought(to, [], [])
    failures: list[OpsconsoleError] = []
    for part in parts:
        try:
            brought.files.extend(get_part(load, transfer, part, to, via))
        except NotFound as error:  # another task may have something
            failures.append(error)
        except StreamCancelled:
            raise
        except Unavailable as error:
            failures.insert(0, error)
            brought.missing.append(f"{os.fsdecode(part.folder) or name}: {error.message}")
    if brought.files:
        return brought
    if failures:
        raise failures[0]
    wanted = f"matches {' or '.join(map(repr, patterns))}" if patterns else "could be brought"
    raise NotFound(f"{name} has left nothing that {wanted}: see `opsconsole ls {name}`")


def get_part(load: Load, transfer: Transfer, part: Part, to: Path, via: Via) -> list[Got]:
    """Bring what one worker has; nothing, if nothing there matches. Blocks. Raises OpsconsoleError, NotFound for an unknown place."""
    from opsconsole_protocol.host.content.session import receive

    got: list[Got] = []
    has_stood = False

    def make_sink(manifest: Manifest) -> PlacingSink:
        got[:] = _checked(manifest, part)
        if not got:
            raise NotFound("nothing matches what was asked for")
        return _sink(manifest, to, part.folder)

    def work(stream: Stream) -> Summary:
        nonlocal has_stood
        has_stood = True
        return receive(stream, make_sink, progress=transfer.moved, cancel=load.cancel)

    transfer.next_part()
    purpose = ReadFiles(root=part.root, folder=part.below, patterns=part.patterns)

    def granted(grant: StreamGrant) -> None:
        if grant.peer is PeerKind.COORDINATOR:
            transfer.says(f"{part.worker} can't be asked: this is what the coordinator has collected")

    try:
        load.move(transfer, purpose, work, peer=part.worker, via=via, granted=granted)
    except NotFound:
        if not has_stood:
            raise
        return []  # the worker has looked, and says so
    return got


def parts_of(detail: JobDetail, patterns: Sequence[str]) -> list[Part]:
    """Which worker is to be asked for what. A pattern counts from the job's output folder, and from each task's.

    Raises NotFound where no task has begun.
    """
    job = detail.job
    begun = [task for task in detail.tasks if task.worker is not None]
    if not begun:
        raise NotFound(f"{job.id} has not been started yet: it has no results")
    if job.num_tasks == 1:
        return [_part(begun[0], FileRoot(kind=RootKind.OUTPUT, job_id=job.id), b"", tuple(patterns))]
    parts: list[Part] = []
    for task in begun:
        own = task_patterns(patterns, task.index)
        if own is not None:
            root = FileRoot(kind=RootKind.OUTPUT, job_id=job.id, task_index=task.index)
            parts.append(_part(task, root, f"task-{task.index}".encode(), own))
    return parts


def task_patterns(patterns: Sequence[str], index: int) -> tuple[str, ...] | None:
    """Patterns as they count from one task's folder; None where none of them can match anything in it."""
    own: list[str] = []
    for pattern in patterns:
        first, slash, rest = pattern.partition("/")
        named = _TASK.match(first)
        if named is None:
            own.append(pattern)
        if first != "**" and matches(first, f"task-{index}".encode()):
            own.append(rest if slash and rest else "**")
    return None if patterns and not own else tuple(dict.fromkeys(own))


def _part(task: TaskRow, root: FileRoot, folder: bytes, patterns: tuple[str, ...]) -> Part:
    return Part(task.worker or "", root, folder, patterns)


def _checked(manifest: Manifest, part: Part) -> list[Got]:
    """The files of a manifest. Raises ProtocolError where a worker sends what nobody has asked for."""
    above = part.folder + b"/" if part.folder else b""
    got: list[Got] = []
    for entry in manifest.entries:
        if entry.kind is EntryKind.FOLDER:
            continue
        if part.patterns and not any(matches(pattern, entry.path) for pattern in part.patterns):
            raise ProtocolError(f"{part.worker} sends files that nobody has asked for: upgrade its agent")
        got.append(Got(above + entry.path, entry.size))
    return got


def _sink(manifest: Manifest, to: Path, folder: bytes) -> PlacingSink:
    from opsconsole_protocol.host.content.sink import PlacingSink

    try:
        to.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Conflict(f"{to} can't be made ({error.strerror}): name another folder with --to") from None
    return PlacingSink(manifest, to, folder, replace=True)
