"""What is stored of a job beside its spec, and what is derived of the jobs that it waits for."""

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from enum import StrEnum
from heapq import nsmallest
from typing import NamedTuple

import msgspec

from opsconsole_protocol.dependency import Dependency
from opsconsole_protocol.ids import JobId, TaskId
from opsconsole_protocol.job_content import Upload

NAMED_MAX = 5
"""Of more jobs than that the first are named, and how many more there are."""


def some_names(names: Collection[str]) -> str:
    """Some of these names in order, and how many more there are."""
    shown = ", ".join(nsmallest(NAMED_MAX, names))
    return f"{shown} and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else shown


class RootKind(StrEnum):
    """Why a job is blocked in the end."""

    FAILED = "failed"
    """That job or task didn't succeed."""
    SUCCEEDED = "succeeded"
    """It did, and was to fail."""
    RESULTS = "results"
    """What was to be kept of it isn't."""


class Root(NamedTuple):
    """A job or task that blocks others, and isn't blocked itself."""

    kind: RootKind
    name: str
    reason: str = ""


class Element(msgspec.Struct, kw_only=True):
    """What one task of a job waits for on its own, the same task of other jobs; and what of that blocks it, with the roots of that."""

    waiting_on: set[TaskId] = set()
    blocked_by: dict[TaskId, frozenset[Root]] = {}


class JobRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What changes of a job and is stored with it: written and read back field by field."""

    submitted_by: str = ""
    priority: int = 0
    after: tuple[JobId, ...] = ()
    started_at_ms: int | None = None
    failed_tasks: int = 0
    stop_reason: str = ""
    ready_since_ms: int = 0
    """Since when nothing but a free worker is missing; kept where there is a `scheduling_timeout`."""
    limit_from_ms: int | None = None
    """Since when its `job_timeout` counts: its first start, moved on by the time that it stood still."""
    still_since_ms: int | None = None
    """Since when all that lives of it is paused; kept where there is a `job_timeout`."""
    worker_names: frozenset[str] = frozenset()
    output_folders: frozenset[tuple[str, str]] = frozenset()
    """The job's folders under its workers' output paths, with the filesystem that each is on."""
    mean_duration_ms: float | None = None
    reason: str = ""
    output_files: int | None = None
    """How many files its tasks left, as far as their workers said."""
    output_bytes: int | None = None
    handed: dict[str, Upload] = {}
    """The results that it was given of tasks of other jobs."""
    met_ms: int = 0
    """Since when a task of it waits for no other job any more; 0 where it never waited for one, or still does."""
    place: int = 0
    """Where somebody moved it to among jobs like it, as the number that it would have come in with; 0: nobody did."""


class Waits(msgspec.Struct, kw_only=True):
    """What a job waits for of others."""

    needs: dict[JobId, tuple[Dependency, ...]] = {}
    """What it waits for of each job that it comes after."""
    waiting_on: set[str] = set()
    blocked_by: dict[str, frozenset[Root]] = {}
    """What blocks it, and the roots of that."""
    roots: dict[Root, int] = {}
    """What blocks it in the end, and by how many of those that block it."""
    elements: dict[int, Element] = {}
    """What its tasks wait for on their own, by their indices."""
    expected: dict[JobId, int] = {}
    """Of how many tasks it takes the results, of each job of which it does."""
    refused: dict[str, str] = {}
    """Why it can't have the results of some tasks of these."""


_NOTHING = Waits()
"""What a job waits for that comes after no other: one for all of them, because a hundred thousand may wait."""


class Dependent(JobRecord, kw_only=True, omit_defaults=True):
    """A job that may wait for others. All of that is derived. Only `waits` is changed; the rest is for reading."""

    _waits: Waits | None = None

    @property
    def waits(self) -> Waits:
        """What it waits for of others, to be changed; made when that is first asked for."""
        if self._waits is None:
            self._waits = Waits()
        return self._waits

    @property
    def needs(self) -> Mapping[JobId, tuple[Dependency, ...]]:
        """What it waits for of each job that it comes after."""
        return (self._waits or _NOTHING).needs

    @property
    def waiting_on(self) -> AbstractSet[str]:
        """The jobs and tasks, or the results of jobs, that are still to come."""
        return (self._waits or _NOTHING).waiting_on

    @property
    def blocked_by(self) -> Mapping[str, frozenset[Root]]:
        """What blocks it, and the roots of that."""
        return (self._waits or _NOTHING).blocked_by

    @property
    def roots(self) -> Mapping[Root, int]:
        """What blocks it in the end, and by how many of those that block it."""
        return (self._waits or _NOTHING).roots

    @property
    def elements(self) -> Mapping[int, Element]:
        """What its tasks wait for on their own, by their indices."""
        return (self._waits or _NOTHING).elements

    @property
    def expected(self) -> Mapping[JobId, int]:
        """Of how many tasks it takes the results, of each job of which it does."""
        return (self._waits or _NOTHING).expected

    @property
    def refused(self) -> Mapping[str, str]:
        """Why it can't have the results of some tasks of these."""
        return (self._waits or _NOTHING).refused

    def is_task_waiting(self, index: int) -> bool:
        """Whether one of its tasks waits for a task of another job on its own, be that one blocked or not."""
        element = self.elements.get(index)
        return element is not None and bool(element.waiting_on or element.blocked_by)

    def is_task_blocked(self, index: int) -> bool:
        """Whether one of its tasks is blocked by a task of another job, on its own."""
        element = self.elements.get(index)
        return element is not None and bool(element.blocked_by)
