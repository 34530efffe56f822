"""Reading: the live state at start, and pages of history. Plain functions on a connection."""

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Raw

from opsconsole_coordinator.core.model import Attempt, Job, Task, Worker
from opsconsole_coordinator.store.journal import StoredJob
from opsconsole_protocol import requirement
from opsconsole_protocol.api import EventRow, JobRow, ProjectRow
from opsconsole_protocol.ids import AttemptId, JobId
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.state import TaskState

_spec = msgspec.msgpack.Decoder(JobSpec).decode
_stored = msgspec.msgpack.Decoder(StoredJob).decode
_task = msgspec.msgpack.Decoder(Task).decode
_attempt = msgspec.msgpack.Decoder(Attempt).decode
_worker = msgspec.msgpack.Decoder(Worker).decode
_row = msgspec.msgpack.Decoder(JobRow).decode
_project = msgspec.msgpack.Decoder(ProjectRow).decode


class Detail(NamedTuple):
    """What is shown of one job: itself without its tasks, a page of them with all their attempts, its newest events."""

    job: Job
    row: JobRow
    tasks: list[Task]
    attempts: dict[int, list[Attempt]]
    events: list[EventRow]


_JOB = "job_id, seq, created_at_ms, finished_at_ms, spec, data"


def meta(connection: sqlite3.Connection, key: str, default: str = "") -> str:
    """A value of the meta table."""
    found = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return str(found[0]) if found is not None else default


def workers(connection: sqlite3.Connection) -> list[Worker]:
    """Every worker that ever joined and wasn't removed."""
    return [_worker(data) for (data,) in connection.execute("SELECT data FROM workers ORDER BY name")]


def paused_projects(connection: sqlite3.Connection) -> set[str]:
    """The names of the projects whose jobs wait: all that were made and aren't active."""
    rows = (_project(data) for (data,) in connection.execute("SELECT data FROM projects"))
    return {row.name for row in rows if row.status != "active"}


def live_jobs(connection: sqlite3.Connection) -> tuple[list[Job], list[Attempt]]:
    """What has to be in memory: unfinished jobs and those with open attempts, and the attempts that belong there."""
    jobs = [_job(row) for row in connection.execute(f"SELECT {_JOB} FROM jobs WHERE is_live = 1 ORDER BY seq")]
    attempts: list[Attempt] = []
    for job in jobs:
        attempts += _fill(connection, job)
    return jobs, attempts


def job(connection: sqlite3.Connection, job_id: str) -> tuple[Job, list[Attempt]] | None:
    """One job with its tasks and the attempts that belong in memory, live or not."""
    row = connection.execute(f"SELECT {_JOB} FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
    if row is None:
        return None
    found = _job(row)
    return found, _fill(connection, found)


def attempts(
    connection: sqlite3.Connection, job_id: str, first: int = 0, limit: int = 1_000_000
) -> dict[int, list[Attempt]]:
    """All attempts of some of a job's tasks, by task index, oldest first."""
    found: dict[int, list[Attempt]] = {}
    rows = connection.execute(
        "SELECT data FROM attempts WHERE job_id = ? AND task_index >= ? AND task_index < ? ORDER BY task_index, number",
        (job_id, first, first + limit),
    )
    for (data,) in rows:
        attempt = _attempt(data)
        found.setdefault(attempt.index, []).append(attempt)
    return found


def ended(connection: sqlite3.Connection, attempt_ids: Collection[AttemptId]) -> set[AttemptId]:
    """Which of these attempts the store knows; whoever isn't in memory has ended."""
    found: set[AttemptId] = set()
    for attempt_id in attempt_ids:
        if connection.execute("SELECT 1 FROM attempts WHERE attempt_id = ?", (attempt_id,)).fetchone():
            found.add(attempt_id)
    return found


def ids_with_prefix(connection: sqlite3.Connection, prefix: str, limit: int = 10) -> list[str]:
    """Job ids that begin with `prefix`, the whole id first."""
    rows = connection.execute(
        "SELECT job_id FROM jobs WHERE job_id >= ? AND job_id < ? ORDER BY job_id LIMIT ?",
        (prefix, prefix + "{", limit),
    )
    return [row[0] for row in rows]


def job_rows(
    connection: sqlite3.Connection,
    *,
    project: str = "",
    ended_only: bool = False,
    before_ms: int | None = None,
    before_id: str = "",
    limit: int = 100,
) -> Iterable[JobRow]:
    """Rows of jobs, newest first. Lazy: the caller stops when it has enough."""
    found = encoded_job_rows(
        connection, project=project, ended_only=ended_only, before_ms=before_ms, before_id=before_id, limit=limit
    )
    return map(_row, found)


def encoded_job_rows(
    connection: sqlite3.Connection,
    *,
    project: str = "",
    ended_only: bool = False,
    before_ms: int | None = None,
    before_id: str = "",
    limit: int = 100,
) -> Iterable[Raw]:
    """The same, as they are stored, which is how they are told."""
    where, values = ["1"], list[object]()
    if project:
        where.append("project = ?")
        values.append(project)
    if ended_only:
        where.append("is_live = 0")
    if before_ms is not None:
        where.append("(created_at_ms, job_id) < (?, ?)")
        values += [before_ms, before_id or "~"]
    sql = f"SELECT row FROM jobs WHERE {' AND '.join(where)} ORDER BY created_at_ms DESC, job_id DESC LIMIT ?"
    for (data,) in connection.execute(sql, (*values, limit)):
        yield Raw(data)


def encoded_live_rows(connection: sqlite3.Connection) -> list[Raw]:
    """The rows of all jobs that are live as they are stored, first come first."""
    return [Raw(data) for (data,) in connection.execute("SELECT row FROM jobs WHERE is_live = 1 ORDER BY seq")]


def job_row(connection: sqlite3.Connection, job_id: str) -> JobRow | None:
    """One job's row."""
    found = connection.execute("SELECT row FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
    return _row(found[0]) if found is not None else None


def task_state(connection: sqlite3.Connection, job_id: str, index: int) -> TaskState | None:
    """One task's state."""
    found = connection.execute(
        "SELECT state FROM tasks WHERE job_id = ? AND task_index = ?", (job_id, index)
    ).fetchone()
    return TaskState(found[0]) if found is not None else None


def detail(connection: sqlite3.Connection, job_id: str, first: int, limit: int, events_limit: int) -> Detail | None:
    """A job, some of its tasks with their attempts, and its newest events, newest first."""
    found = connection.execute(f"SELECT {_JOB}, row FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
    if found is None:
        return None
    tasks = connection.execute(
        "SELECT data FROM tasks WHERE job_id = ? AND task_index >= ? AND task_index < ? ORDER BY task_index",
        (job_id, first, first + limit),
    )
    return Detail(
        job=_job(found[:-1]),
        row=_row(found[-1]),
        tasks=[_task(data) for (data,) in tasks],
        attempts=attempts(connection, job_id, first, limit),
        events=events(connection, job_id=job_id, limit=events_limit),
    )


def states(connection: sqlite3.Connection, job_ids: Sequence[str]) -> dict[JobId, TaskState]:
    """The states of some jobs."""
    found: dict[JobId, TaskState] = {}
    for job_id in job_ids:
        row = connection.execute("SELECT state FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
        if row is not None:
            found[JobId(job_id)] = TaskState(row[0])
    return found


def count_jobs(connection: sqlite3.Connection) -> dict[str, dict[str, int]]:
    """Jobs by project and state."""
    found: dict[str, dict[str, int]] = {}
    for project, state, count in connection.execute(
        "SELECT project, state, count(*) FROM jobs GROUP BY project, state"
    ):
        found.setdefault(project, {})[state] = count
    return found


def events(
    connection: sqlite3.Connection,
    *,
    job_id: str = "",
    subject: str = "",
    before_seq: int | None = None,
    limit: int = 200,
) -> list[EventRow]:
    """Events, newest first: of a job with its tasks, of one subject, or of everything."""
    where, values = ["1"], list[object]()
    for column, value in (("job_id", job_id), ("subject", subject)):
        if value:
            where.append(f"{column} = ? AND {column} <> ''")  # said again for the partial index, which asks for it
            values.append(value)
    if before_seq is not None:
        where.append("seq < ?")
        values.append(before_seq)
    sql = f"SELECT seq, at_ms, actor, kind, text, subject FROM events WHERE {' AND '.join(where)} ORDER BY seq DESC LIMIT ?"
    return [
        EventRow(seq=seq, at_ms=at_ms, actor=actor, kind=kind, text=text, subject=subject_)
        for seq, at_ms, actor, kind, text, subject_ in connection.execute(sql, (*values, limit))
    ]


def _job(row: tuple[str, int, int, int | None, bytes, bytes]) -> Job:
    job_id, seq, created_at_ms, finished_at_ms, spec_data, data = row
    spec, stored = _spec(spec_data), _stored(data)
    return Job(
        id=JobId(job_id),
        spec=spec,
        seq=seq,
        submitted_by=stored.submitted_by,
        created_at_ms=created_at_ms,
        priority=stored.priority,
        after=tuple(JobId(other) for other in stored.after),
        started_at_ms=stored.started_at_ms,
        finished_at_ms=finished_at_ms,
        failed_tasks=stored.failed_tasks,
        stop_reason=stored.stop_reason,
        ready_since_ms=stored.ready_since_ms,
        worker_names=set(stored.worker_names),
        mean_duration_ms=stored.mean_duration_ms,
        reason=stored.reason,
        requirements=requirement.parse_all(spec.requirements),
    )


def _fill(connection: sqlite3.Connection, found: Job) -> list[Attempt]:
    rows = connection.execute("SELECT data FROM tasks WHERE job_id = ? ORDER BY task_index", (found.id,))
    found.tasks = [_task(data) for (data,) in rows]
    counts: dict[TaskState, int] = {}
    for task in found.tasks:
        counts[task.state] = counts.get(task.state, 0) + 1
    found.counts = counts
    found.ready = [task.index for task in found.tasks if task.state is TaskState.PENDING]
    current = {task.current for task in found.tasks if task.current is not None}
    kept: list[Attempt] = []
    for of_task in attempts(connection, found.id).values():
        kept += [attempt for attempt in of_task if attempt.open or attempt.id in current]
    found.open_attempts = {attempt.id for attempt in kept if attempt.open}
    return kept
