"""What the store knows of ended jobs that could be removed: their output folders, and how many bytes their history takes."""

import contextlib
import sqlite3
from collections.abc import Collection
from typing import NamedTuple

from opsconsole_coordinator.core.model import Attempt, job_folder
from opsconsole_coordinator.store import query
from opsconsole_coordinator.store.blob import reader
from opsconsole_coordinator.store.schema import StoreError
from opsconsole_protocol.ids import JobId, WorkerId
from opsconsole_protocol.spec import JobSpec

JOBS_AT_ONCE = 200
_JOBS_READ = 1_000
_RUNS_READ = 20
_SPEC_BYTES_READ = 64 << 10


_spec = reader(JobSpec, "a job")
_attempt = reader(Attempt, "an attempt")


class OutputFolder(NamedTuple):
    """A job's output folder, and on which workers its attempts wrote there."""

    job_id: JobId
    ended_at_ms: int
    path: str
    writers: tuple[WorkerId, ...]


class EndedJob(NamedTuple):
    """An ended job."""

    job_id: JobId
    name: str
    ended_at_ms: int


_SIZES = (
    "SELECT coalesce(sum(length(spec) + length(data) + length(row)), 0) FROM jobs WHERE job_id = ?",
    "SELECT coalesce(sum(length(data)), 0) FROM tasks WHERE job_id = ?",
    "SELECT coalesce(sum(length(data)), 0) FROM attempts WHERE job_id = ?",
    "SELECT coalesce(sum(length(data)), 0) FROM output_copies WHERE job_id = ?",
    "SELECT coalesce(sum(length(text)), 0) FROM events WHERE job_id = ? AND job_id <> ''",
)


def jobs(
    connection: sqlite3.Connection, before_ms: int, after: tuple[int, str] = (0, ""), limit: int = JOBS_AT_ONCE
) -> list[EndedJob]:
    """A page of the jobs that ended before a time, oldest end first, after the one named by `after`."""
    rows = connection.execute(
        "SELECT job_id, name, finished_at_ms FROM jobs WHERE is_live = 0 AND finished_at_ms >= ? AND finished_at_ms < ? "
        "AND (finished_at_ms, job_id) > (?, ?) ORDER BY finished_at_ms, job_id LIMIT ?",
        (after[0], before_ms, *after, limit),
    )
    return [EndedJob(JobId(job_id), name, ended_at_ms) for job_id, name, ended_at_ms in rows]


def recent_runs(connection: sqlite3.Connection) -> list[tuple[JobSpec, Attempt]]:
    """Succeeded attempts of the jobs that ended last, the oldest end first: some of each job."""
    found: list[tuple[JobSpec, Attempt]] = []
    rows = connection.execute(
        "SELECT job_id, spec FROM jobs WHERE is_live = 0 AND state = 'succeeded' AND length(spec) <= ? "
        "ORDER BY finished_at_ms DESC LIMIT ?",
        (_SPEC_BYTES_READ, _JOBS_READ),
    )
    for job_id, spec in rows.fetchall()[::-1]:
        attempts = connection.execute(
            "SELECT data FROM attempts WHERE job_id = ? AND state = 'succeeded' ORDER BY task_index LIMIT ?",
            (job_id, _RUNS_READ),
        )
        with contextlib.suppress(StoreError):  # what is damaged there tells nobody how long it took
            found += [(_spec(spec), _attempt(data)) for (data,) in attempts]
    return found


def named(connection: sqlite3.Connection, job_ids: Collection[JobId]) -> list[EndedJob]:
    """Those of these jobs that have ended."""
    statement = "SELECT name, finished_at_ms FROM jobs WHERE job_id = ? AND is_live = 0 AND finished_at_ms IS NOT NULL"
    found = ((one, connection.execute(statement, (one,)).fetchone()) for one in job_ids)
    return [EndedJob(one, *row) for one, row in found if row is not None]


def kept_bytes(connection: sqlite3.Connection, job_id: str) -> int:
    """How many bytes of a job's results the coordinator keeps."""
    return sum(one.size_bytes for one in query.output_copies(connection, job_id).values())


def outputs(connection: sqlite3.Connection, ended: Collection[EndedJob]) -> list[OutputFolder]:
    """The output folders of these jobs' attempts."""
    found: list[OutputFolder] = []
    for job in ended:
        writers: dict[str, dict[WorkerId, None]] = {}
        for attempts in query.attempts(connection, job.job_id).values():
            for one in attempts:
                path = (one.seen.output_path if one.seen is not None else None) or ""
                if folder := job_folder(path, job.job_id):
                    writers.setdefault(folder, {})[one.worker_id] = None
        found += [OutputFolder(job.job_id, job.ended_at_ms, path, tuple(those)) for path, those in writers.items()]
    return found


def size(connection: sqlite3.Connection, job_id: str) -> int:
    """About how many bytes of the store a job takes."""
    return sum(connection.execute(statement, (job_id,)).fetchone()[0] for statement in _SIZES)
