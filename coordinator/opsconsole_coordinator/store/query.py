"""Reading: the live state at start, and pages of history. Plain functions on a connection."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import starmap
from typing import NamedTuple, TypedDict, Unpack

import msgspec

from opsconsole_coordinator.core.calendar import Reservation
from opsconsole_coordinator.core.dependent import JobRecord
from opsconsole_coordinator.core.model import Attempt, Job, OutputCopy, Project, Worker, WorkerRecord
from opsconsole_coordinator.core.task import Fresh, Task
from opsconsole_coordinator.core.terms import Terms, split
from opsconsole_coordinator.core.usage_day import UsageDay
from opsconsole_coordinator.store.blob import damaged, guarded, reader, row_reader, text_reader
from opsconsole_protocol.api import EventRow, JobRow, ProjectRow, TemplateRow
from opsconsole_protocol.ids import AttemptId, JobId
from opsconsole_protocol.share import Share
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.state import TaskState

_spec = reader(JobSpec, "a job")
read_record = reader(JobRecord, "a job")
read_task = reader(Task, "a task")
read_attempt = reader(Attempt, "an attempt")
read_spec = guarded(split, "a job")
_NO_TERMS = Terms(JobSpec(command=("",)), (), (), "")
_output_copy = reader(OutputCopy, "the copy of an output")
_worker = reader(WorkerRecord, "a worker")
_row = reader(JobRow, "a job")
_project = reader(Project, "a project")
_template = reader(TemplateRow, "a template")
_reservation = reader(Reservation, "a reservation")
_share = reader(Share, "a person's share")
_usage_day = reader(UsageDay, "what was had on a day")
_job_columns = row_reader(tuple[str, int, int, int | None, bytes, bytes], "a job")
_events = text_reader(list[EventRow], "an event")
_EVENTS = f"json_group_array(json_object({', '.join(f'{name!r}, {name}' for name in EventRow.__struct_fields__)}))"


_PORTION = 500


class Detail(NamedTuple):
    """What is shown of one job: itself without its tasks, a page of them with all their attempts, its newest events.

    `output_copies` has the results of those tasks that the coordinator keeps, or wants.
    """

    job: Job
    row: JobRow
    tasks: list[Task]
    attempts: dict[int, list[Attempt]]
    events: list[EventRow]
    output_copies: dict[int, OutputCopy]


_JOB = "job_id, seq, created_at_ms, finished_at_ms, spec, data"
_LIVE = "jobs INDEXED BY jobs_live WHERE is_live = 1"
"""The index is named, since a planner that saw the table while it was small would read all of it."""


def meta(connection: sqlite3.Connection, key: str, default: str = "") -> str:
    """A value of the meta table."""
    found = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return str(found[0]) if found is not None else default


def committed_seq(connection: sqlite3.Connection) -> int:
    """The number of the last event."""
    return _whole(meta(connection, "seq", "0"), "the last event's number")


def _whole(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise damaged(what)
    return int(text)


def epochs(connection: sqlite3.Connection) -> dict[int, str]:
    """The marks of all epochs by the first sequence number of each."""
    found: dict[int, str] = {}
    for key, mark in connection.execute("SELECT key, value FROM meta WHERE key GLOB 'epoch.*'"):
        found[_whole(key.removeprefix("epoch."), "an epoch's number")] = str(mark)
    return found


def workers(connection: sqlite3.Connection) -> list[Worker]:
    """Every worker that ever joined and wasn't removed."""
    return [_worker_of(_worker(data)) for (data,) in connection.execute("SELECT data FROM workers ORDER BY name")]


def _worker_of(record: WorkerRecord) -> Worker:
    return Worker(**{name: getattr(record, name) for name in record.__struct_fields__})


def projects(connection: sqlite3.Connection) -> list[Project]:
    """Every project that was set, by name."""
    return [_project(data) for (data,) in connection.execute("SELECT data FROM projects ORDER BY name")]


def people(connection: sqlite3.Connection) -> dict[str, Share]:
    """What people were given of the fleet, by name, where that isn't what everybody has."""
    return {str(name): _share(data) for name, data in connection.execute("SELECT name, data FROM people ORDER BY name")}


def usage(connection: sqlite3.Connection, from_day: int) -> list[UsageDay]:
    """What was had of the fleet on this day and since, oldest first."""
    found = connection.execute("SELECT data FROM usage WHERE day >= ? ORDER BY day", (from_day,))
    return [_usage_day(data) for (data,) in found]


def reservations(connection: sqlite3.Connection) -> list[Reservation]:
    """What of workers is reserved, and windows of maintenance."""
    return [_reservation(data) for (data,) in connection.execute("SELECT data FROM reservations ORDER BY id")]


def templates(connection: sqlite3.Connection) -> list[TemplateRow]:
    """Every template, by name."""
    return [_template(data) for (data,) in connection.execute("SELECT data FROM templates ORDER BY name")]


def template_versions(
    connection: sqlite3.Connection, name: str, *, version: int | None = None, before: int | None = None, limit: int = 1
) -> list[TemplateRow]:
    """Versions of a template, newest first: this one, or those before one."""
    where, value = ("version = ?", version) if version is not None else ("version < ?", before or 1 << 62)
    sql = f"SELECT data FROM template_versions WHERE name = ? AND {where} ORDER BY version DESC LIMIT ?"
    return [_template(data) for (data,) in connection.execute(sql, (name, value, limit))]


def last_versions(connection: sqlite3.Connection) -> dict[str, int]:
    """The number of the last version of every template there ever was."""
    found = connection.execute("SELECT name, max(version) FROM template_versions GROUP BY name")
    return {str(name): int(version) for name, version in found}


def job(connection: sqlite3.Connection, job_id: str) -> tuple[Job, list[Attempt]] | None:
    """One job with its tasks and the attempts that belong in memory, live or not."""
    found = _head(connection, job_id)
    if found is None:
        return None
    of_tasks = attempts(connection, job_id).values()
    give_tasks(found, tasks(connection, job_id))
    return found, keep_attempts(found, [one for some in of_tasks for one in some])


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
        attempt = read_attempt(data)
        found.setdefault(attempt.index, []).append(attempt)
    return found


def finished_at(connection: sqlite3.Connection, job_ids: Collection[JobId]) -> dict[JobId, int | None]:
    """When these jobs ended, as far as there are such; None where one hasn't ended."""
    found: dict[JobId, int | None] = {}
    for some, marks in portions(job_ids):
        sql = f"SELECT job_id, finished_at_ms FROM jobs WHERE job_id IN ({marks})"
        found |= {JobId(job_id): at_ms for job_id, at_ms in connection.execute(sql, some)}
    return found


def ended(connection: sqlite3.Connection, attempt_ids: Collection[AttemptId]) -> set[AttemptId]:
    """Which of these attempts, none of them in memory, the store knows: those have ended."""
    found: set[AttemptId] = set()
    for some, marks in portions(attempt_ids):
        sql = f"SELECT attempt_id FROM attempts WHERE attempt_id IN ({marks})"
        found.update(AttemptId(one) for (one,) in connection.execute(sql, some))
    return found


def ids_with_prefix(connection: sqlite3.Connection, prefix: str, limit: int = 10) -> list[str]:
    """Job ids that begin with `prefix`, the whole id first."""
    rows = connection.execute(
        "SELECT job_id FROM jobs WHERE job_id >= ? AND job_id < ? ORDER BY job_id LIMIT ?",
        (prefix, prefix + "{", limit),
    )
    return [row[0] for row in rows]


class Page(TypedDict, total=False):
    """Which jobs, newest first: of a project, those that have ended, those before one of that time and id."""

    project: str
    ended_only: bool
    before_ms: int | None
    before_id: str
    limit: int


class EncodedRow(NamedTuple):
    """A job's row as it is stored, which is how it is told."""

    job_id: JobId
    data: msgspec.Raw


def job_rows(connection: sqlite3.Connection, **page: Unpack[Page]) -> Iterable[JobRow]:
    """Rows of jobs, newest first. Lazy: the caller stops when it has enough."""
    return (_row(data) for _, data in _stored_rows(connection, **page))


def encoded_job_rows(connection: sqlite3.Connection, **page: Unpack[Page]) -> list[EncodedRow]:
    """Encoded rows of jobs, newest first."""
    return list(starmap(_encoded, _stored_rows(connection, **page)))


def _stored_rows(
    connection: sqlite3.Connection,
    *,
    project: str = "",
    ended_only: bool = False,
    before_ms: int | None = None,
    before_id: str = "",
    limit: int = 100,
) -> Iterator[tuple[str, bytes]]:
    where, values = ["1"], list[object]()
    if project:
        where.append("project = ?")
        values.append(project)
    if ended_only:
        where.append("is_live = 0")
    if before_ms is not None:
        where.append("(created_at_ms, job_id) < (?, ?)")
        values += [before_ms, before_id or "~"]
    sql = f"SELECT job_id, row FROM jobs WHERE {' AND '.join(where)} ORDER BY created_at_ms DESC, job_id DESC LIMIT ?"
    return connection.execute(sql, (*values, limit))


def encoded_live_rows(connection: sqlite3.Connection) -> list[EncodedRow]:
    """The rows of all jobs that are live, first come first."""
    return list(starmap(_encoded, connection.execute(f"SELECT job_id, row FROM {_LIVE} ORDER BY seq")))


def _encoded(job_id: str, data: bytes) -> EncodedRow:
    """A stored row, looked at first: a damaged one must not reach those who can't read it."""
    _row(data)
    return EncodedRow(JobId(job_id), msgspec.Raw(data))


def job_row(connection: sqlite3.Connection, job_id: str) -> JobRow | None:
    """One job's row."""
    found = connection.execute("SELECT row FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
    return _row(found[0]) if found is not None else None


def task_state(connection: sqlite3.Connection, job_id: str, index: int) -> TaskState | None:
    """One task's state."""
    found = connection.execute(
        "SELECT state FROM tasks WHERE job_id = ? AND task_index = ?", (job_id, index)
    ).fetchone()
    return read_state(found[0]) if found is not None else None


def tasks(connection: sqlite3.Connection, job_id: str, first: int = 0, limit: int = 1_000_000) -> list[Task]:
    """Some of a job's tasks, by index."""
    rows = connection.execute(
        "SELECT data FROM tasks WHERE job_id = ? AND task_index >= ? AND task_index < ? ORDER BY task_index",
        (job_id, first, first + limit),
    )
    return [read_task(data) for (data,) in rows]


def output_copies(
    connection: sqlite3.Connection, job_id: str, first: int = 0, limit: int = 1_000_000
) -> dict[int, OutputCopy]:
    """The results of some of a job's tasks that the coordinator keeps, or wants, by task index."""
    rows = connection.execute(
        "SELECT data FROM output_copies WHERE job_id = ? AND task_index >= ? AND task_index < ?",
        (job_id, first, first + limit),
    )
    return {one.index: one for one in (_output_copy(data) for (data,) in rows)}


def output_copies_of(connection: sqlite3.Connection, job_id: str) -> dict[int, OutputCopy]:
    """The results of all tasks of a job that the coordinator keeps, or wants, or gave up."""
    rows = connection.execute("SELECT data FROM output_copies WHERE job_id = ?", (job_id,))
    return {one.index: one for one in (_output_copy(data) for (data,) in rows)}


def wanted_output_copies(connection: sqlite3.Connection) -> list[OutputCopy]:
    """The results that the coordinator doesn't have yet, with the patterns of their jobs. None of jobs that are removed."""
    rows = connection.execute(
        "SELECT data FROM output_copies INDEXED BY output_copies_wanted WHERE state = 'wanted' ORDER BY job_id"
    )
    found = [_output_copy(data) for (data,) in rows]
    patterns = {job_id: _patterns(connection, job_id) for job_id in {one.job_id for one in found}}
    for one in found:
        one.patterns = patterns[one.job_id]
    return [one for one in found if one.patterns]


def _patterns(connection: sqlite3.Connection, job_id: str) -> tuple[str, ...]:
    found = connection.execute("SELECT spec FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
    return _spec(found[0]).collect if found is not None else ()


def detail(connection: sqlite3.Connection, job_id: str, first: int, limit: int, events_limit: int) -> Detail | None:
    """A job, some of its tasks with their attempts, and its newest events, newest first."""
    head, row = _head(connection, job_id), job_row(connection, job_id)
    if head is None or row is None:
        return None
    return Detail(
        job=head,
        row=row,
        tasks=tasks(connection, job_id, first, limit),
        attempts=attempts(connection, job_id, first, limit),
        events=events(connection, job_id=job_id, limit=events_limit),
        output_copies=output_copies(connection, job_id, first, limit),
    )


def states(connection: sqlite3.Connection, job_ids: Sequence[str]) -> dict[JobId, TaskState]:
    """The states of some jobs."""
    found: dict[JobId, TaskState] = {}
    for some, marks in portions(job_ids):
        for job_id, state in connection.execute(f"SELECT job_id, state FROM jobs WHERE job_id IN ({marks})", some):
            found[JobId(job_id)] = read_state(state)
    return found


def count_jobs(connection: sqlite3.Connection) -> dict[str, dict[str, int]]:
    """Jobs by project and state."""
    found: dict[str, dict[str, int]] = {}
    for project, state, count in connection.execute(
        "SELECT project, state, count(*) FROM jobs GROUP BY project, state"
    ):
        found.setdefault(project, {})[state] = count
    return found


def project_names(connection: sqlite3.Connection) -> frozenset[str]:
    """The names of the projects that were set or have jobs."""
    return frozenset(
        {project.name for project in projects(connection)}
        | {name for (name,) in connection.execute("SELECT DISTINCT project FROM jobs")}
    )


def project_rows(connection: sqlite3.Connection) -> tuple[ProjectRow, ...]:
    """Every project that was set or has jobs, by name, with its jobs counted by state."""
    known = {project.name: project for project in projects(connection)}
    counts = count_jobs(connection)
    first_ms = dict(connection.execute("SELECT project, min(created_at_ms) FROM jobs GROUP BY project").fetchall())
    rows: list[ProjectRow] = []
    for name in sorted({*known, *counts}):
        project = known.get(name) or Project(name=name)
        since_ms = project.created_at_ms or first_ms.get(name, 0)
        rows.append(
            ProjectRow(
                name=name,
                description=project.description,
                status=project.status,
                created_at_ms=since_ms,
                updated_at_ms=project.updated_at_ms or since_ms,
                job_counts=counts.get(name, {}),
                share=project.share,
                preemptible=project.preemptible,
                place=project.place,
            )
        )
    return tuple(rows)


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
            where.append(
                f"{column} = ? AND {column} <> ''"
            )  # the partial index is used only where its condition is repeated
            values.append(value)
    if before_seq is not None:
        where.append("seq < ?")
        values.append(before_seq)
    found = f"SELECT * FROM events WHERE {' AND '.join(where)} ORDER BY seq DESC LIMIT ?"
    # In one row: the interpreter's lock is given up at each, and a busy coordinator takes its time to give it back.
    (told,) = connection.execute(f"SELECT {_EVENTS} FROM ({found})", (*values, limit)).fetchone()
    return _events(told)


def _head(connection: sqlite3.Connection, job_id: str) -> Job | None:
    """A job without its tasks."""
    row = connection.execute(f"SELECT {_JOB} FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
    return _job(row) if row is not None else None


def portions(values: Collection[str]) -> Iterator[tuple[list[str], str]]:
    """The values in portions that one statement takes, each with as many question marks."""
    rest = list(values)
    for start in range(0, len(rest), _PORTION):
        some = rest[start : start + _PORTION]
        yield some, ",".join("?" * len(some))


def _job(row: tuple[object, ...]) -> Job:
    job_id, seq, created_at_ms, finished_at_ms, spec_data, data = _job_columns(row)
    job = new_job(read_record(data))
    job.id, job.seq, job.created_at_ms, job.finished_at_ms = JobId(job_id), seq, created_at_ms, finished_at_ms
    job.terms, job.own = read_spec(spec_data)
    return job


def new_job(record: JobRecord) -> Job:
    """A job with what its record says, without a spec, tasks, or a number."""
    return Job(id=JobId(""), terms=_NO_TERMS, seq=0, created_at_ms=0, **msgspec.structs.asdict(record))


def read_state(text: str) -> TaskState:
    try:
        return TaskState(text)
    except ValueError:
        raise damaged("a state") from None


def give_tasks(found: Job, tasks: list[Task] | Fresh) -> None:
    """Give a job its tasks. Raises StoreError where these aren't all."""
    if isinstance(tasks, Fresh):
        if len(tasks) != found.terms.spec.num_tasks:
            raise damaged("a job's list of tasks")
        found.kept_tasks, found.counts = tasks, tasks.counts
        return
    if [task.index for task in tasks] != list(range(found.terms.spec.num_tasks)):
        raise damaged("a job's list of tasks")
    counts: dict[TaskState, int] = {}
    for task in tasks:
        counts[task.state] = counts.get(task.state, 0) + 1
    found.kept_tasks, found.counts = tasks, counts


def keep_attempts(found: Job, everything: Iterable[Attempt]) -> list[Attempt]:
    """Those attempts of a job that belong in memory. Raises StoreError for those of a task that it hasn't."""
    current = {task.current for task in found.tasks if task.current is not None} if not found.is_fresh else set()
    kept = [attempt for attempt in everything if attempt.open or attempt.id in current]
    if any(attempt.job_id != found.id or attempt.index >= found.num_tasks for attempt in kept):
        raise damaged("an attempt")
    for attempt in kept:
        if attempt.open:
            found.note_open(attempt.id)
    return kept
