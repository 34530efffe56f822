"""The one writer: a batch of the core is one transaction."""

import sqlite3

import msgspec

from opsconsole_coordinator.core.batch import Batch
from opsconsole_coordinator.core.model import Attempt, Job, JobRecord, Worker
from opsconsole_coordinator.store.database import Database
from opsconsole_protocol.api import EventRow, JobRow
from opsconsole_protocol.event_kind import EventKind

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


async def commit(database: Database, batch: Batch, rows: dict[str, JobRow], **meta: str) -> None:
    """Write a batch, with each dirty job's row, in one transaction. Raises StoreError; then nothing was written.

    Everything is encoded before the first await: the core may go on while the disk works.
    """
    added = [_new_job(job, rows[job.id]) for job in batch.jobs_added]
    new = {job.id for job in batch.jobs_added}
    changed = [_changed_job(job, rows[job.id]) for job in batch.jobs if job.id not in new]
    tasks = [(job, task.index, str(task.state), _pack(task)) for job, task in batch.tasks]
    tasks += [(job.id, task.index, str(task.state), _pack(task)) for job in batch.jobs_added for task in job.tasks]
    attempts = [_attempt(attempt) for attempt in batch.attempts]
    workers = [(worker.id, worker.name, _pack(_stored_worker(worker))) for worker in batch.workers]
    removed = [(worker,) for worker in batch.workers_removed]
    projects = [(project.name, _pack(project)) for project in batch.projects]
    templates = [(template.name, _pack(template)) for template in batch.templates]
    events = [_event(event) for event in batch.events]
    pairs = [*meta.items(), ("seq", str(batch.seq)), ("adopting", str(int(batch.adopting)))]

    def write(connection: sqlite3.Connection) -> None:
        many = connection.executemany
        if added:
            many("INSERT INTO jobs VALUES (?,?,?,?,?,?,?,?,?,?,?)", added)
        if changed:
            many("UPDATE jobs SET state=?, is_live=?, finished_at_ms=?, data=?, row=? WHERE job_id=?", changed)
        if tasks:
            many(_PUT_TASK, tasks)
        if attempts:
            many(_PUT_ATTEMPT, attempts)
        if removed:
            many("DELETE FROM workers WHERE worker_id = ?", removed)
        if workers:
            many("INSERT OR REPLACE INTO workers VALUES (?,?,?)", workers)
        if projects:
            many("INSERT OR REPLACE INTO projects VALUES (?,?)", projects)
        if templates:
            many("INSERT OR REPLACE INTO templates VALUES (?,?)", templates)
        if events:
            many("INSERT INTO events VALUES (?,?,?,?,?,?,?)", events)
        many("INSERT OR REPLACE INTO meta VALUES (?,?)", pairs)

    await database.write(write)


def _is_live(job: Job) -> int:
    """Whether the job has to be in memory: it isn't finished, or an agent still holds something of it."""
    return int(not job.is_finished or bool(job.open_attempts))


def _record(job: Job) -> bytes:
    return _pack(JobRecord(**{name: getattr(job, name) for name in JobRecord.__struct_fields__}))


def _new_job(job: Job, row: JobRow) -> tuple[object, ...]:
    return (
        job.id, job.seq, job.spec.project, job.spec.title, str(job.state), _is_live(job), job.created_at_ms,
        job.finished_at_ms, _pack(job.spec), _record(job), _pack(row),
    )  # fmt: skip


def _changed_job(job: Job, row: JobRow) -> tuple[object, ...]:
    return (str(job.state), _is_live(job), job.finished_at_ms, _record(job), _pack(row), job.id)


def _attempt(attempt: Attempt) -> tuple[object, ...]:
    return (
        attempt.id, attempt.job_id, attempt.index, attempt.number, str(attempt.state), int(attempt.open), _pack(attempt)
    )  # fmt: skip


def _stored_worker(worker: Worker) -> Worker:
    return Worker(
        id=worker.id,
        name=worker.name,
        tags=worker.tags,
        properties=worker.properties,
        max_concurrent_jobs=worker.max_concurrent_jobs,
        gpus=worker.gpus,
        maintenance=worker.maintenance,
        is_named=worker.is_named,
        revoked=worker.revoked,
        boot_id=worker.boot_id,
        joined_at_ms=worker.joined_at_ms,
        last_seen_ms=worker.last_seen_ms,
    )


def _event(event: EventRow) -> tuple[object, ...]:
    subject = event.subject
    job_id = subject.split("/", 1)[0] if "/" in subject or event.kind in _JOB_EVENTS else ""
    return (event.seq, event.at_ms, event.actor, event.kind, subject, job_id, event.text)


_JOB_EVENTS = frozenset(
    {
        EventKind.SUBMITTED, EventKind.CANCEL, EventKind.PAUSE, EventKind.RESUME, EventKind.HOLD, EventKind.RELEASE,
        EventKind.RETRY, EventKind.PRIORITY, EventKind.FINISHED, EventKind.BLOCKED, EventKind.UNBLOCKED,
        EventKind.TIMEOUT, EventKind.GANG,
    }
)  # fmt: skip
