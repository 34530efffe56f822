"""The one writer: a batch of the core is one transaction."""

import sqlite3
from collections.abc import Callable, Sequence

import msgspec

from opsconsole_coordinator.core.batch import Batch
from opsconsole_coordinator.core.dependent import JobRecord
from opsconsole_coordinator.core.model import Attempt, Job, OutputCopy, Worker, WorkerRecord
from opsconsole_coordinator.giving_way import giving_way
from opsconsole_coordinator.store.database import Database
from opsconsole_protocol.api import EventRow, JobRow
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import JobId

_pack = msgspec.msgpack.Encoder().encode

# An upsert leaves the indexes alone whose columns stay as they are; REPLACE would write all of them anew.
_PUT_TASK = (
    "INSERT INTO tasks VALUES (?,?,?,?) "
    "ON CONFLICT (job_id, task_index) DO UPDATE SET state = excluded.state, data = excluded.data"
)
_PUT_ATTEMPT = (
    "INSERT INTO attempts VALUES (?,?,?,?,?,?,?) "
    "ON CONFLICT (attempt_id) DO UPDATE SET state = excluded.state, is_open = excluded.is_open, data = excluded.data"
)


SMALL_BATCH_JOBS = 100
"""A batch with more new jobs than that is large: others have their turn while it is encoded."""


async def commit(
    database: Database,
    batch: Batch,
    rows: dict[str, JobRow],
    make_row: Callable[[Job], JobRow] | None = None,
    /,
    **meta: str,
) -> dict[JobId, msgspec.Raw]:
    """Write a batch, with each dirty job's row, in one transaction. Raises StoreError; then nothing was written.

    Everything is encoded before the first await: the core may go on while the disk works. With `make_row` events, and those new jobs
    without a row, are left for later: nobody changes them any more (`Batch.take_calm`), and others have their turn between them.
    Returns the rows of these jobs, encoded.
    """
    calm = [] if make_row is None else [job for job in batch.jobs_added if job.id not in rows]
    left = {job.id for job in calm}
    added = [_new_job(job, rows[job.id]) for job in batch.jobs_added if job.id not in left]
    new = {job.id for job in batch.jobs_added}
    changed = [_changed_job(job, rows[job.id]) for job in batch.jobs if job.id not in new]
    specs = [(_pack(job.spec), job.id) for job in batch.specs if job.id not in new]
    tasks = [(job, task.index, str(task.state), _pack(task)) for job, task in batch.tasks]
    tasks += [one for job in batch.jobs_added if job.id not in left for one in _new_tasks(job)]
    attempts = [_attempt(attempt) for attempt in batch.attempts]
    workers = [(worker.id, worker.name, _worker_record(worker)) for worker in batch.workers]
    removed = [(worker,) for worker in batch.workers_removed]
    projects = [(project.name, _pack(project)) for project in batch.projects]
    people = [(name, _pack(share)) for name, share in batch.people]
    usage = [(one.day, one.project, one.person, _pack(one)) for one in batch.usage]
    versions = [(template.name, template.version, _pack(template)) for template in batch.templates]
    templates = [(name, data) for name, _, data in versions]
    templates_removed = [(name,) for name in batch.templates_removed]
    reservations = [(one.id, _pack(one)) for one in batch.reservations.values() if one is not None]
    cancelled = [(key,) for key, one in batch.reservations.items() if one is None]
    output_copies = [(one.job_id, one.index, str(one.state), _pack(_stored(one))) for one in batch.output_copies]
    events = [] if make_row is not None else [_event(event) for event in batch.events]
    first, mark = batch.epoch
    pairs = [*meta.items(), ("seq", str(batch.seq)), ("adopting", str(int(batch.adopting))), (f"epoch.{first}", mark)]

    steps: tuple[tuple[str, Sequence[tuple[object, ...]]], ...] = (
        ("INSERT INTO jobs VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", added),
        ("UPDATE jobs SET state=?, is_live=?, finished_at_ms=?, data=?, row=? WHERE job_id=?", changed),
        ("UPDATE jobs SET spec=? WHERE job_id=?", specs),
        (_PUT_TASK, tasks),
        (_PUT_ATTEMPT, attempts),
        ("DELETE FROM workers WHERE worker_id = ?", removed),
        ("INSERT OR REPLACE INTO workers VALUES (?,?,?)", workers),
        ("INSERT OR REPLACE INTO projects VALUES (?,?)", projects),
        ("INSERT OR REPLACE INTO people VALUES (?,?)", people),
        ("INSERT OR REPLACE INTO usage VALUES (?,?,?,?)", usage),
        ("INSERT OR REPLACE INTO template_versions VALUES (?,?,?)", versions),
        ("INSERT OR REPLACE INTO templates VALUES (?,?)", templates),
        ("DELETE FROM templates WHERE name = ?", templates_removed),
        ("DELETE FROM reservations WHERE id = ?", cancelled),
        ("INSERT OR REPLACE INTO reservations VALUES (?,?)", reservations),
        ("DELETE FROM output_copies WHERE job_id = ? AND task_index = ?", batch.output_copies_removed),
        ("INSERT OR REPLACE INTO output_copies VALUES (?,?,?,?)", output_copies),
        ("INSERT INTO events VALUES (?,?,?,?,?,?,?)", events),
        ("INSERT OR REPLACE INTO meta VALUES (?,?)", pairs),
    )

    made: dict[JobId, msgspec.Raw] = {}
    if make_row is not None:
        async for job in giving_way(calm):
            row = make_row(job)
            data = _pack(row)
            made[job.id] = msgspec.Raw(data)
            added.append(_encoded_job(job, row.name, data))
            tasks += _new_tasks(job)
        events += [_event(event) async for event in giving_way(batch.events)]

    def write(connection: sqlite3.Connection) -> None:
        for statement, values in steps:
            if values:
                connection.executemany(statement, values)

    await database.write(write)
    return made


def _new_tasks(job: Job) -> list[tuple[JobId, int, str, bytes]]:
    return [(job.id, task.index, str(task.state), _pack(task)) for task in job.look_at_tasks()]


def _is_live(job: Job) -> int:
    """Whether the job has to be in memory: it isn't finished, or an agent still holds something of it."""
    return int(not job.is_finished or bool(job.open_attempts))


def _record(job: Job) -> bytes:
    return _pack(JobRecord(**{name: getattr(job, name) for name in JobRecord.__struct_fields__}))


def _new_job(job: Job, row: JobRow) -> tuple[object, ...]:
    return _encoded_job(job, row.name, _pack(row))


def _encoded_job(job: Job, name: str, row: bytes) -> tuple[object, ...]:
    return (
        job.id, job.seq, job.terms.spec.project, name, str(job.state), _is_live(job), job.created_at_ms,
        job.finished_at_ms, _pack(job.spec), _record(job), row,
        job.submitted_by,
    )  # fmt: skip


def _changed_job(job: Job, row: JobRow) -> tuple[object, ...]:
    return (str(job.state), _is_live(job), job.finished_at_ms, _record(job), _pack(row), job.id)


def _attempt(attempt: Attempt) -> tuple[object, ...]:
    return (
        attempt.id, attempt.job_id, attempt.index, attempt.number, str(attempt.state), int(attempt.open), _pack(attempt)
    )  # fmt: skip


def _worker_record(worker: Worker) -> bytes:
    return _pack(WorkerRecord(**{name: getattr(worker, name) for name in WorkerRecord.__struct_fields__}))


def _stored(copy: OutputCopy) -> OutputCopy:
    """Without what is found in the job, and what only counts while it is in memory."""
    return msgspec.structs.replace(copy, patterns=(), is_asked=False, tries=0, not_before_ms=0)


def _event(event: EventRow) -> tuple[object, ...]:
    subject = event.subject
    job_id = subject.split("/", 1)[0] if "/" in subject or event.kind in _JOB_EVENTS else ""
    return (event.seq, event.at_ms, event.actor, event.kind, subject, job_id, event.text)


_JOB_EVENTS = frozenset(
    {
        EventKind.SUBMITTED, EventKind.CANCEL, EventKind.PAUSE, EventKind.RESUME, EventKind.HOLD, EventKind.RELEASE,
        EventKind.RETRY, EventKind.PRIORITY, EventKind.MOVE, EventKind.PARALLEL, EventKind.ADD, EventKind.FINISHED, EventKind.BLOCKED, EventKind.UNBLOCKED,
        EventKind.TIMEOUT, EventKind.GANG,
    }
)  # fmt: skip
