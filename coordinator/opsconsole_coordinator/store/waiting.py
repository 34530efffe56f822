"""What the store knows of jobs that wait for each other."""

import sqlite3
from collections.abc import Iterable, Sequence

import msgspec

from opsconsole_coordinator.store import query
from opsconsole_coordinator.store.blob import damaged, reader
from opsconsole_protocol.dependency import Dependency, End, read_dependency
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.ids import JobId, task_id
from opsconsole_protocol.state import TaskState


def standings(connection: sqlite3.Connection, dependencies: Iterable[Dependency]) -> dict[str, TaskState]:
    """How the jobs stand that are waited for, by their whole ids; and all their tasks, by theirs, where one of them matters."""
    jobs: dict[JobId, None] = {}
    whole: dict[JobId, None] = {}
    for one in dependencies:
        jobs[JobId(one.job)] = None
        if one.each or one.task_index is not None or one.end is End.RESULTS:
            whole[JobId(one.job)] = None
    found: dict[str, TaskState] = {}
    found.update(query.states(connection, list(jobs)).items())
    for job_id in whole:
        for index, state in connection.execute("SELECT task_index, state FROM tasks WHERE job_id = ?", (job_id,)):
            found[task_id(job_id, index)] = query.read_state(state)
    return found


JOBS_AT_ONCE = 5_000
_MARKS = (b"after", b"takes")
"""A stored spec without these words waits for no other job."""
_KEY = "(created_at_ms, job_id)"
_END = (1 << 62, "~")


class _Waits(msgspec.Struct, frozen=True):
    """The part of a spec that names other jobs."""

    after: tuple[str, ...] = ()
    after_failure: tuple[str, ...] = ()
    after_any: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()

    def read(self) -> tuple[Dependency, ...]:
        """What can be read of them."""
        try:
            return tuple(read_dependency(text, end) for end in End for text in getattr(self, end))
        except InvalidRequest:
            return ()


_waits = reader(_Waits, "a job")


def dependencies(connection: sqlite3.Connection, job_ids: Sequence[str]) -> dict[JobId, tuple[Dependency, ...]]:
    """What some jobs wait for, or waited for, of others."""
    found: dict[JobId, tuple[Dependency, ...]] = {}
    for some, marks in query.portions(job_ids):
        for job_id, spec in connection.execute(f"SELECT job_id, spec FROM jobs WHERE job_id IN ({marks})", some):
            found[JobId(job_id)] = _waits(spec).read()
    return found


def as_submitted(connection: sqlite3.Connection, job_ids: Sequence[str]) -> list[JobId]:
    """Some jobs in the order in which they came."""
    found: list[tuple[int, str]] = []
    for some, marks in query.portions(job_ids):
        found += connection.execute(f"SELECT seq, job_id FROM jobs WHERE job_id IN ({marks})", some)
    if not all(isinstance(seq, int) for seq, _ in found):
        raise damaged("a job's number")
    return [JobId(one) for _, one in sorted(found)]


class DependentSearch:
    """Looks for the jobs that wait, or waited, for a job, and for those that do for these, among all that came later.

    Some are passed in a step, so that others read the store between. `dependents` has by job those that wait for it.
    """

    def __init__(self, job_id: JobId, most: int) -> None:
        self.dependents: dict[JobId, set[JobId]] = {}
        self._reached = {job_id}
        self._most = most
        self._place: tuple[int, str] | None = None
        self._alike: list[tuple[int, str, bytes]] = []
        """What came with the last ones and may wait for one that comes with the next."""

    def step(self, connection: sqlite3.Connection) -> bool:
        """Pass the next jobs, and return whether any are left; none are where more than `most` were found."""
        if self._place is None:
            [first] = self._reached
            row = connection.execute("SELECT created_at_ms FROM jobs WHERE job_id = ?", (first,)).fetchone()
            if row is None:
                return False
            self._place = (row[0], "")
        last = connection.execute(
            f"SELECT created_at_ms, job_id FROM jobs INDEXED BY jobs_listed WHERE {_KEY} > (?, ?)"
            f" ORDER BY created_at_ms, job_id LIMIT 1 OFFSET {JOBS_AT_ONCE - 1}",
            self._place,
        ).fetchone()
        rows = connection.execute(
            f"SELECT created_at_ms, job_id, spec FROM jobs INDEXED BY jobs_listed WHERE {_KEY} > (?, ?)"
            f" AND {_KEY} <= (?, ?) AND (instr(spec, ?) OR instr(spec, ?))",
            (*self._place, *(last or _END), *_MARKS),
        )
        self._look(rows.fetchall())
        self._place = last
        return last is not None and len(self._reached) <= self._most

    def _look(self, rows: Sequence[tuple[int, str, bytes]]) -> None:
        """What is submitted at once has one time, and its order isn't that in which it waits."""
        rows = [*self._alike, *rows]
        latest = max((created_at_ms for created_at_ms, _, _ in rows), default=0)
        self._alike = [one for one in rows if one[0] == latest]
        after: dict[JobId, list[JobId]] = {}
        for _, job_id, spec in rows:
            for one in _waits(spec).read():
                after.setdefault(JobId(one.job), []).append(JobId(job_id))
        left = [first for first in after if first in self._reached]
        while left:
            first = left.pop()
            found = after.pop(first, [])
            self.dependents.setdefault(first, set()).update(found)
            self._reached.update(found)
            left += (second for second in found if second in after)
