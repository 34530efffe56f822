"""The view of a fleet: a snapshot and then updates, folded. Live, recorded and simulated fleets look the same to it.

Pure: no clock, no loop, no socket. To fold an update twice changes nothing. Memory is bounded: of finished jobs and of events
only the newest stay here; the coordinator has the others.
"""

import heapq
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from opsconsole.outcome import is_finished_state
from opsconsole_protocol.api import EventRow, JobRow, ProjectRow, Snapshot, Update, WorkerRow
from opsconsole_protocol.state import TaskState, WorkerConnection, WorkerStatus

FINISHED_MAX = 2_000
EVENTS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Change:
    """What a fold changed: ids of workers and jobs, and the new events, oldest first. `reset`: everything may have changed."""

    workers: frozenset[str] = frozenset()
    workers_removed: frozenset[str] = frozenset()
    jobs: frozenset[str] = frozenset()
    jobs_removed: frozenset[str] = frozenset()
    events: tuple[EventRow, ...] = ()
    reset: bool = False

    def __bool__(self) -> bool:
        return self.reset or bool(
            self.workers or self.workers_removed or self.jobs or self.jobs_removed or self.events
        )  # fmt: skip

    def __or__(self, later: "Change") -> "Change":
        """Both changes as one, where `later` came after this one."""
        return Change(
            workers=(self.workers - later.workers_removed) | later.workers,
            workers_removed=(self.workers_removed - later.workers) | later.workers_removed,
            jobs=(self.jobs - later.jobs_removed) | later.jobs,
            jobs_removed=(self.jobs_removed - later.jobs) | later.jobs_removed,
            events=self.events + later.events,
            reset=self.reset or later.reset,
        )


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers in the console's header. Each worker is counted once (`worker_kind`)."""

    up: int = 0
    silent: int = 0
    lost: int = 0
    draining: int = 0
    gpus: int = 0
    gpus_used: int = 0
    tasks: Mapping[str, int] = field(default_factory=dict)
    """Tasks of unfinished jobs, by state."""

    @property
    def running(self) -> int:
        """Tasks with a live attempt that isn't paused."""
        return sum(self.tasks.get(state, 0) for state in _AT_WORK)

    @property
    def paused(self) -> int:
        """Tasks that are paused."""
        return self.tasks.get(TaskState.PAUSED, 0)

    @property
    def waiting(self) -> int:
        """Tasks without an attempt."""
        return sum(self.tasks.get(state, 0) for state in _WAITING)


_AT_WORK = (TaskState.RUNNING, TaskState.BUILDING, TaskState.ASSIGNED)
_WAITING = (TaskState.PENDING, TaskState.HELD, TaskState.BLOCKED)


class Fleet:
    """All workers, all unfinished jobs, the newest finished jobs and the newest events.

    Read `workers` (by id), `jobs` (by id), `projects` (by name) and `events` (oldest first) freely; only `reset` and
    `fold` write them.
    """

    def __init__(self, *, finished_max: int = FINISHED_MAX, events_max: int = EVENTS_MAX) -> None:
        self.coordinator = ""
        self.seq = -1
        self.workers: dict[str, WorkerRow] = {}
        self.jobs: dict[str, JobRow] = {}
        self.projects: dict[str, ProjectRow] = {}
        self.events: deque[EventRow] = deque(maxlen=events_max)
        self._begun_seq = -1
        """The snapshot's: updates of that number bring the rest of it."""
        self.jobs_total = 0
        """Jobs that the coordinator knows of, finished ones that aren't here included, as of the snapshot."""
        self._finished_max = finished_max
        self._finished: dict[str, tuple[int, str]] = {}
        self._tasks: Counter[str] = Counter()
        self._event_seq = -1
        self._counts: Counts | None = None

    def reset(self, snapshot: Snapshot) -> Change:
        """Start anew from a snapshot."""
        self.coordinator = snapshot.coordinator
        self.seq = self._begun_seq = snapshot.seq
        self.workers.clear()
        self.jobs.clear()
        self.events.clear()
        self._finished.clear()
        self._tasks.clear()
        self._event_seq = -1
        self._counts = None
        self.projects = {row.name: row for row in snapshot.projects}
        self.jobs_total = snapshot.jobs_total
        self.workers.update((row.id, row) for row in snapshot.workers)
        for row in snapshot.jobs:
            self._put_job(row)
        self._drop_finished()
        events = self._add_events(snapshot.events)
        return Change(frozenset(self.workers), frozenset(), frozenset(self.jobs), frozenset(), events, reset=True)

    def fold(self, update: Update) -> Change:
        """Take in an update, and return what it changed. An update older than what is known changes nothing."""
        if update.seq < self.seq:
            return Change()
        self.seq = update.seq
        workers = frozenset(row.id for row in update.workers if self._put_worker(row))
        removed = frozenset(id_ for id_ in update.workers_removed if self.workers.pop(id_, None) is not None)
        before = {row.id for row in update.jobs if row.id in self.jobs}
        jobs = {row.id for row in update.jobs if self._put_job(row)}
        dropped = self._drop_finished()
        events = self._add_events(update.events)
        if update.seq > self._begun_seq:
            self.jobs_total += len(jobs - before - dropped)
        if workers or removed or jobs:
            self._counts = None
        return Change(
            workers=workers - removed,
            workers_removed=removed,
            jobs=frozenset(jobs - dropped),
            jobs_removed=frozenset(dropped - (jobs - before)),
            events=events,
        )

    @property
    def counts(self) -> Counts:
        """The header's numbers as of now."""
        if self._counts is None:
            self._counts = _count(self.workers.values(), self._tasks)
        return self._counts

    def _put_worker(self, row: WorkerRow) -> bool:
        if self.workers.get(row.id) == row:
            return False
        self.workers[row.id] = row
        return True

    def _put_job(self, row: JobRow) -> bool:
        old = self.jobs.get(row.id)
        if old == row:
            return False
        if old is not None:
            self._forget_job(old)
        self.jobs[row.id] = row
        if is_finished_state(row.state):
            self._finished[row.id] = (row.finished_at_ms or row.created_at_ms, row.id)
        else:
            self._tasks.update(row.task_counts)
        return True

    def _forget_job(self, row: JobRow) -> None:
        if self._finished.pop(row.id, None) is None:
            self._tasks.subtract(row.task_counts)

    def _drop_finished(self) -> set[str]:
        excess = len(self._finished) - self._finished_max
        if excess <= 0:
            return set()
        oldest = heapq.nsmallest(excess, self._finished, key=self._finished.__getitem__)
        for id_ in oldest:
            self._forget_job(self.jobs.pop(id_))
        return set(oldest)

    def _add_events(self, rows: Iterable[EventRow]) -> tuple[EventRow, ...]:
        fresh = sorted((row for row in rows if row.seq > self._event_seq), key=lambda row: row.seq)
        if fresh:
            self._event_seq = fresh[-1].seq
            self.events.extend(fresh)
        return tuple(fresh)


def _count(workers: Iterable[WorkerRow], tasks: Counter[str]) -> Counts:
    kinds: Counter[str] = Counter()
    gpus = gpus_used = 0
    for worker in workers:
        kinds[worker_kind(worker)] += 1
        gpus += len(worker.gpus)
        gpus_used += len(worker.gpus) - len(worker.gpus_free)
    return Counts(
        up=kinds["up"],
        silent=kinds[WorkerConnection.SILENT],
        lost=kinds[WorkerConnection.LOST],
        draining=kinds["draining"],
        gpus=gpus,
        gpus_used=gpus_used,
        tasks={state: number for state, number in tasks.items() if number},
    )


def worker_kind(worker: WorkerRow) -> str:
    """`lost`, `silent`, `draining` or `up`: a worker is counted once, and a lost one isn't drained."""
    if worker.connection in (WorkerConnection.LOST, WorkerConnection.SILENT):
        return worker.connection
    return "draining" if worker.status == WorkerStatus.MAINTENANCE else "up"
