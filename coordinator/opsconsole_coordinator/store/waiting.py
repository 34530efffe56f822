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


def dependents_since(connection: sqlite3.Connection, job_id: str, limit: int) -> dict[JobId, set[JobId]]:
    """By job those that wait for it, among the `limit` jobs that came with or after this one."""
    rows = connection.execute(
        "SELECT job_id, spec FROM jobs WHERE created_at_ms >= (SELECT created_at_ms FROM jobs WHERE job_id = ?)"
        " ORDER BY created_at_ms, job_id LIMIT ?",
        (job_id, limit),
    )
    found: dict[JobId, set[JobId]] = {}
    for dependent, spec in rows:
        for one in _waits(spec).read():
            found.setdefault(JobId(one.job), set()).add(JobId(dependent))
    return found
