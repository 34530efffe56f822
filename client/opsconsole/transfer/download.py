"""A job's results, or other files of a worker, onto this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from opsconsole.outcome import is_finished_state
from opsconsole.transfer.results_here import note
from opsconsole_protocol.api import DetailAnswer, JobDetail, ShowJob
from opsconsole_protocol.content.glob import as_shown, check_glob, matches, spelled
from opsconsole_protocol.content.manifest import EntryKind, Manifest
from opsconsole_protocol.content.path import shown
from opsconsole_protocol.content.task_folder import split_task_folder, task_patterns
from opsconsole_protocol.error import Conflict, LimitExceeded, NotFound, OpsconsoleError, ProtocolError, Unavailable
from opsconsole_protocol.stream.error import StreamCancelled
from opsconsole_protocol.stream.message import (
    TASKS_MAX,
    FileRoot,
    PeerKind,
    ReadFiles,
    RootKind,
    StreamGrant,
    Via,
)

if TYPE_CHECKING:
    from opsconsole.transfer.carrier import Load
    from opsconsole.transfer.transfer import Transfer
    from opsconsole_protocol.host.content.session import Summary
    from opsconsole_protocol.host.content.sink import PlacingSink
    from opsconsole_protocol.host.stream.stream import Stream

_SHOWN_MAX = 3


class Part(NamedTuple):
    """What one worker has of what is wanted: in the folder `below` its root, or of several tasks in a folder for each."""

    worker: str
    root: FileRoot
    patterns: tuple[str, ...]
    below: bytes = b""
    tasks: tuple[int, ...] = ()


class Destination(NamedTuple):
    """Where files are to lie, and what becomes of those that are there and differ.

    They stay as they are unless `force`; with a `mark` what was to have their place comes beside: `line.json` as `line.MARK.json`.
    """

    folder: Path
    force: bool = False
    mark: str = ""


class Got(NamedTuple):
    """A file that lies at the destination now, by its path below that, and its size in bytes. `beside`: its own place is taken."""

    path: bytes
    size_bytes: int
    beside: bytes = b""


class Brought(NamedTuple):
    """What of the files that were asked for lies below a folder of this machine now, and what doesn't."""

    folder: Path
    files: list[Got]
    missing: list[str]
    """Why some aren't there, in lines."""
    differing: list[bytes]
    """Files whose place is taken by others, which were left as they are."""
    left_out: list[str]
    """What workers can't send at all (devices, links that lead out, what they can't read), in lines."""

    @property
    def is_whole(self) -> bool:
        """Whether all of it is there."""
        return not self.missing and not self.differing

    def add(self, other: Brought) -> None:
        """Take in what else was brought to this folder."""
        self.files.extend(other.files)
        self.missing.extend(other.missing)
        self.differing.extend(other.differing)
        self.left_out.extend(other.left_out)


def get(
    load: Load, transfer: Transfer, job: str, patterns: Sequence[str], to: Destination, *, task_index: int | None,
    via: Via,
) -> Brought:  # fmt: skip
    """Bring what a job has written, as far as it matches one of the patterns (none: all), to below a folder.

    Files keep their path below the job's output folder. Those that are there already with the same bytes aren't moved. What
    can be had is brought although a worker is away. Blocks. Raises OpsconsoleError, NotFound where nothing matches.
    """
    patterns = [spelled(pattern) for pattern in patterns]
    for pattern in patterns:
        check_glob(pattern)
    asked = ShowJob(
        id=job, tasks_from=task_index or 0, tasks_limit=100_000 if task_index is None else 1, events_limit=0
    )
    detail = load.ask(asked, DetailAnswer).detail
    if task_index is not None and not detail.tasks:
        raise NotFound(f"{detail.job.id} has no task-{task_index}: it has {detail.job.num_tasks:,}, from task-0 on")
    name = detail.job.id if task_index is None else f"{detail.job.id}/task-{task_index}"
    parts = parts_of(detail, patterns)
    transfer.is_about(
        f"results of {name}", peer=", ".join(sorted({part.worker for part in parts})), job_id=detail.job.id
    )
    brought = Brought(to.folder, [], [], [], [])
    failures: list[OpsconsoleError] = []
    while parts:
        part = parts.pop(0)
        try:
            brought.add(get_part(load, transfer, part, to, via))
        except NotFound as error:  # another task may have something
            failures.append(error)
        except StreamCancelled:
            raise
        except (Unavailable, Conflict) as error:
            failures.insert(0, error)
            brought.missing.append(f"{_tasks_words(part.tasks) or name}: {error.message}")
        except LimitExceeded:
            half = len(part.tasks) // 2
            if not half:
                raise
            parts[:0] = [part._replace(tasks=part.tasks[:half]), part._replace(tasks=part.tasks[half:])]
    if brought.files or brought.differing:
        return brought
    if failures:
        raise failures[0]
    if brought.missing:
        raise Unavailable("; ".join(brought.missing))
    wanted = f"matches {' or '.join(repr(as_shown(one)) for one in patterns)}" if patterns else "could be brought"
    raise NotFound(f"{name} has left nothing that {wanted}: see `opsconsole ls {name}`")


def get_part(load: Load, transfer: Transfer, part: Part, to: Destination, via: Via) -> Brought:
    """Bring what one worker has; nothing, if nothing there matches. Blocks. Raises OpsconsoleError, NotFound for an unknown place."""
    from opsconsole_protocol.host.content.session import receive
    from opsconsole_protocol.host.content.sparing_sink import SparingSink

    brought = Brought(to.folder, [], [], [], [])
    got: list[Got] = []
    sinks: list[PlacingSink] = []

    def make_sink(manifest: Manifest) -> PlacingSink:
        got[:] = _checked(manifest, part)
        if not got:
            raise NotFound("nothing matches what was asked for")
        sinks.append(_sink(manifest, to))
        return sinks[-1]

    has_stood = is_kept = False

    def work(stream: Stream) -> Summary:
        nonlocal has_stood
        has_stood = True
        return receive(stream, make_sink, progress=transfer.moved, looking=looking, cancel=load.cancel)

    def looking(done: int, total: int) -> None:
        transfer.is_looked_for(f"{part.worker} reads its files to know what to send", done, total)

    transfer.next_part()
    purpose = ReadFiles(root=part.root, folder=part.below, patterns=part.patterns, tasks=part.tasks, tells=True)

    def granted(grant: StreamGrant) -> None:
        nonlocal is_kept
        brought.missing.clear()
        is_kept = grant.peer is PeerKind.COORDINATOR
        if not is_kept:
            return
        transfer.says(f"{part.worker} can't be asked: this is what the coordinator has collected")
        kept = grant.purpose.tasks if isinstance(grant.purpose, ReadFiles) else ()
        away = tuple(one for one in part.tasks if one not in kept)
        if away:
            brought.missing.append(
                f"{_tasks_words(away)}: {part.worker} can't be asked, and nothing of this was collected"
            )

    try:
        summary = load.move(transfer, purpose, work, peer=part.worker, via=via, granted=granted)
    except NotFound:
        if not has_stood:
            raise
        if is_kept:
            brought.missing.append(f"{part.worker} can't be asked, and nothing of this was collected")
        return brought  # whoever has looked says so
    note(to.folder, sinks[-1].placed)
    if summary.left_out:
        brought.left_out.append(_left_out_words(summary, part.worker))
    spared = sinks[-1].spared if isinstance(sinks[-1], SparingSink) else {}
    kept = _sort(got, spared, brought)
    transfer.stays(len(kept), sum(one.size_bytes for one in kept))
    return brought


def _sort(got: Sequence[Got], spared: Mapping[bytes, bytes | None], brought: Brought) -> list[Got]:
    """Note which files have come, and where. Return those that haven't, since others have their place."""
    kept: list[Got] = []
    for one in got:
        beside = spared.get(one.path, one.path)
        if beside is None:
            kept.append(one)
            brought.differing.append(one.path)
        else:
            brought.files.append(one if beside == one.path else Got(beside, one.size_bytes, one.path))
    return kept


def parts_of(detail: JobDetail, patterns: Sequence[str]) -> list[Part]:
    """Which worker is to be asked for what. A pattern counts from the job's output folder, and from each task's.

    Raises NotFound where no task has begun.
    """
    job = detail.job
    begun = [task for task in detail.tasks if task.worker is not None]
    if not begun:
        task = detail.tasks[0] if len(detail.tasks) == 1 else None
        name, reason = (job.id, job.reason) if task is None or job.num_tasks == 1 else (task.id, task.reason)
        reason = reason or job.reason
        when = "was never started" if is_finished_state(job.state) else "has not been started yet"
        raise NotFound(f"{name} {when}, so that it has no results{f': {reason}' if reason else ''}")
    root = FileRoot(kind=RootKind.OUTPUT, job_id=job.id)
    if job.num_tasks == 1:
        return [Part(begun[0].worker or "", root, tuple(patterns))]
    by_worker: dict[str, list[int]] = {}
    for task in begun:
        if task_patterns(patterns, task.index) is not None:
            by_worker.setdefault(task.worker or "", []).append(task.index)
    return [
        Part(worker, root, tuple(patterns), tasks=tuple(tasks[start : start + TASKS_MAX]))
        for worker, tasks in by_worker.items()
        for start in range(0, len(tasks), TASKS_MAX)
    ]


def differing_words(paths: Sequence[bytes], remedy: str = "--force replaces {them}, --to takes another folder") -> str:
    """Which files differ from what is here, in a line, and what can be done."""
    names = ", ".join(os.fsdecode(path) for path in paths[:_SHOWN_MAX])
    more = f" and {len(paths) - _SHOWN_MAX:,} more" if len(paths) > _SHOWN_MAX else ""
    differ, them = ("differs", "it") if len(paths) == 1 else ("differ", "them")
    return f"{names}{more}: what is here already {differ}; {remedy.format(them=them)}"


def _tasks_words(tasks: Sequence[int]) -> str:
    names = ", ".join(f"task-{index}" for index in tasks[:_SHOWN_MAX])
    return f"{names} and {len(tasks) - _SHOWN_MAX:,} more" if len(tasks) > _SHOWN_MAX else names


def _left_out_words(summary: Summary, worker: str) -> str:
    more = f", and {summary.left_out - 1:,} more" if summary.left_out > 1 else ""
    return f"{summary.why}{more} (left out by {worker})"


def _checked(manifest: Manifest, part: Part) -> list[Got]:
    """The files of a manifest. Raises ProtocolError where a worker sends what nobody has asked for."""
    own = {task: task_patterns(part.patterns, task) for task in part.tasks}
    got: list[Got] = []
    for entry in manifest.entries:
        if entry.kind is EntryKind.FOLDER:
            continue
        patterns: tuple[str, ...] | None = part.patterns
        path = entry.path
        if part.tasks:
            task, path = split_task_folder(path)
            patterns = None if task is None else own.get(task)
        if patterns is None or (patterns and not any(matches(pattern, path) for pattern in patterns)):
            raise ProtocolError(f"{part.worker} sends files that nobody has asked for: upgrade its agent")
        got.append(Got(entry.path, entry.size))
    return got


def _sink(manifest: Manifest, to: Destination) -> PlacingSink:
    from opsconsole_protocol.host.content.sink import PlacingSink
    from opsconsole_protocol.host.content.sparing_sink import SparingSink

    try:
        to.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remedy = "make room for it there" if to.mark else "name another folder with --to"
        raise Conflict(f"{shown(os.fsencode(to.folder))} can't be made ({error.strerror}): {remedy}") from None
    if to.force:
        return PlacingSink(manifest, to.folder, b"", replace=True)
    return SparingSink(manifest, to.folder, b"", mark=to.mark.encode())
