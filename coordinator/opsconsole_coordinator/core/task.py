"""The tasks of a job: each by itself, or, as long as nothing has happened to any of them, all in few words."""

from collections.abc import Mapping
from functools import lru_cache

import msgspec

from opsconsole_coordinator.core.checkpoint import KeptCheckpoint, LatestCheckpoint
from opsconsole_protocol.ids import AttemptId, WorkerId
from opsconsole_protocol.state import TaskState


class Task(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One unit of a job. `current` is the live attempt, or the last one."""

    index: int
    state: TaskState = TaskState.PENDING
    attempts: int = 0
    failures: int = 0
    preemptions: int = 0
    unstarted: int = 0
    """How many of its attempts in a row ended before their start, at no cost to its retries."""
    not_before_ms: int = 0
    pending_since_ms: int = 0
    avoid: tuple[WorkerId, ...] = ()
    """Workers on which an attempt of this task failed: it is tried on others first."""
    strays: tuple[WorkerId, ...] = ()
    """Workers that were given up on while an attempt of this task ran there: it may still be writing its results."""
    current: AttemptId | None = None
    reason: str = ""
    cause: str = ""
    """An EndCause: why it ended, if it did other than well."""
    latest: LatestCheckpoint | None = None
    """The newest checkpoint that any of its attempts has reported, and that may still be there."""
    kept: KeptCheckpoint | None = None
    """The newest that the coordinator has a copy of: the same, or an older one."""
    uncopied: str = ""
    """Why there is no copy of the newest one, where none is to come."""
    copied_at_ms: int | None = None
    """When the last copy was made."""
    held: bool = False
    """An operator wants it to wait, whatever else keeps it from running at the moment."""
    priority: int | None = None
    """Its own, where that isn't its job's."""
    collected: AttemptId | None = None
    """The attempt whose results the coordinator wants, or has."""
    output_files: int = 0
    """How many files its last attempt left, as far as its worker said: a part of the job's sum."""
    output_bytes: int = 0


class Fresh(msgspec.Struct, frozen=True):
    """Tasks to which nothing has happened since they came in together. Jobs whose tasks stand alike share one."""

    count: int
    state: TaskState
    since_ms: int
    held: bool
    counts: Mapping[TaskState, int]
    """How many are in each state."""
    ready: range
    """The ranks of those that may wait for nothing but a worker (`ready.py`)."""

    def __len__(self) -> int:
        return self.count

    def make(self) -> list[Task]:
        """The tasks."""
        return [
            Task(index=index, state=self.state, pending_since_ms=self.since_ms, held=self.held)
            for index in range(self.count)
        ]


@lru_cache(maxsize=1_024)
def fresh(count: int, state: TaskState, since_ms: int, held: bool) -> Fresh:
    """The one object for such tasks."""
    return Fresh(
        count, state, since_ms, held, _counts(count, state), range(count) if state is TaskState.PENDING else range(0)
    )


@lru_cache(maxsize=1_024)
def _counts(count: int, state: TaskState) -> Mapping[TaskState, int]:
    return {state: count}


def as_fresh(tasks: list[Task]) -> Fresh | None:
    """The tasks in few words; None where something has happened to one of them."""
    first = tasks[0]
    found = fresh(len(tasks), first.state, first.pending_since_ms, first.held)
    return found if all(one == task for one, task in zip(found.make(), tasks, strict=True)) else None
