"""What has to be in memory at a start: jobs that are live, with their tasks, and the attempts that belong there.

A hundred thousand jobs may wait, most of them like others: rows come in pages, and what two of them have in common is read once.
"""

import sqlite3
from collections.abc import Iterable
from copy import copy
from typing import NamedTuple

from opsconsole_coordinator.core.model import Attempt, Job
from opsconsole_coordinator.core.task import Fresh, as_fresh
from opsconsole_coordinator.store import query
from opsconsole_coordinator.store.blob import damaged
from opsconsole_protocol.ids import ALPHABET, JobId

_ROWS_AT_ONCE = 2_000
_TASKS = "a job's list of tasks"
_KNOWN_MAX = 4_096
"""How many different blobs are remembered during a start."""
_SELECT = (
    "SELECT jobs.job_id, tasks.task_index, tasks.data, seq, created_at_ms, finished_at_ms, name, "
    "CASE WHEN task_index > 0 THEN NULL ELSE spec END, CASE WHEN task_index > 0 THEN NULL ELSE jobs.data END "
    "FROM jobs {} LEFT JOIN tasks ON tasks.job_id = jobs.job_id WHERE is_live = 1"
)
"""One statement for all: one for each of 100,000 jobs would take longer than all the rest of a start."""
BY_INDEX = _SELECT.format("INDEXED BY jobs_live")
"""The index is named, since a planner that saw the table while it was small would read all of it."""
_ALL = _SELECT.format("NOT INDEXED")
_SAMPLE = [first + second for first in ALPHABET[::4] for second in ALPHABET[::4]]
_OPEN = "SELECT data FROM attempts INDEXED BY attempts_open WHERE is_open = 1"
_Row = tuple[JobId, int | None, bytes, int, int, int | None, str, bytes, bytes]


class LiveJobs(NamedTuple):
    """What is live, first come first. `titles` has the titles of the jobs, which else had to be made out of their commands."""

    jobs: list[Job]
    attempts: list[Attempt]
    titles: dict[JobId, str]


def live_jobs(connection: sqlite3.Connection) -> LiveJobs:
    """Unfinished jobs and those with open attempts, and the attempts that belong there. Raises StoreError for what is damaged."""
    reading = _Reading()
    cursor = connection.execute(_ALL if _are_most_live(connection) else BY_INDEX)
    while rows := cursor.fetchmany(_ROWS_AT_ONCE):
        reading.add(rows)
    jobs = reading.end()
    return LiveJobs(jobs, _attempts(connection, jobs), reading.titles)


def _are_most_live(connection: sqlite3.Connection) -> bool:
    """Whether most jobs are live, by a sample: then reading the whole table is faster than looking up each of them."""
    found = [
        connection.execute("SELECT is_live FROM jobs WHERE job_id >= ? ORDER BY job_id LIMIT 1", (key,)).fetchone()
        for key in _SAMPLE
    ]
    live = [row for row in found if row is not None and row[0] == 1]
    return 2 * len(live) > len(found)


class _Reading:
    """The jobs as they come, and what is known of blobs, numbers and texts that several of them have."""

    def __init__(self) -> None:
        self.titles: dict[JobId, str] = {}
        self._jobs: list[Job] = []
        self._of_several: dict[str, tuple[Job, list[bytes]]] = {}
        """Jobs with several tasks, which are given them at the end."""
        self._records: dict[bytes, Job] = {}
        self._lone_tasks: dict[bytes, Fresh] = {}
        self._times: dict[int, int] = {}
        self._titles: dict[str, str] = {}

    def add(self, rows: Iterable[_Row]) -> None:
        """Add tasks; with the first of a job comes the job. Raises StoreError."""
        for job_id, index, data, seq, created_at_ms, finished_at_ms, title, spec, record in rows:
            if index is None:
                raise damaged(_TASKS)
            if index:
                if job_id not in self._of_several:
                    raise damaged(_TASKS)
                self._of_several[job_id][1].append(data)
                continue
            is_sound = (
                type(spec) is bytes and type(record) is bytes and type(seq) is int and type(created_at_ms) is int
                and type(title) is str and type(job_id) is str
                and (finished_at_ms is None or type(finished_at_ms) is int)
            )  # fmt: skip
            if not is_sound:
                raise damaged("a job")
            known = self._records.get(record)
            job = self._read_record(record) if known is None else copy(known)
            job.id, job.seq, job.finished_at_ms = job_id, seq, finished_at_ms
            job.created_at_ms = self._times.setdefault(created_at_ms, created_at_ms)
            job.terms, job.own = query.read_spec(spec)
            found = self._lone_tasks.get(data)
            if found is None:
                self._add_first_task(job, data)
            elif job.terms.spec.num_tasks == 1:
                job.kept_tasks, job.counts = found, found.counts
            else:
                self._of_several[job_id] = job, [data]
            self._jobs.append(job)
            self.titles[job_id] = self._titles.setdefault(title, title)

    def _read_record(self, data: bytes) -> Job:
        """A job with what its record says; the rest is put in its place."""
        record = query.read_record(data)
        job = query.new_job(record)
        if not record.handed and len(self._records) < _KNOWN_MAX:
            self._records[data] = copy(job)
        return job

    def _add_first_task(self, job: Job, data: bytes) -> None:
        if job.terms.spec.num_tasks > 1:
            self._of_several[job.id] = job, [data]
            return
        tasks = [query.read_task(data)]
        query.give_tasks(job, tasks)
        found = as_fresh(tasks)
        if found is not None:
            query.give_tasks(job, found)
            if len(self._lone_tasks) < _KNOWN_MAX:
                self._lone_tasks[data] = found

    def end(self) -> list[Job]:
        """All jobs, first come first. Raises StoreError."""
        for job, blobs in self._of_several.values():
            tasks = sorted(map(query.read_task, blobs), key=lambda task: task.index)
            query.give_tasks(job, tasks)
            query.give_tasks(job, as_fresh(tasks) or tasks)
        self._jobs.sort(key=lambda job: job.seq)
        return self._jobs


def _attempts(connection: sqlite3.Connection, jobs: list[Job]) -> list[Attempt]:
    """The attempts of jobs that are open, or the last of their tasks."""
    begun = {job.id: job for job in jobs if not job.is_fresh}
    found: dict[str, list[Attempt]] = {}
    for (data,) in connection.execute(_OPEN):
        attempt = query.read_attempt(data)
        found.setdefault(attempt.job_id, []).append(attempt)
    known = {attempt.id for some in found.values() for attempt in some}
    last = [task.current for job in begun.values() for task in job.tasks if task.current is not None]
    for some, marks in query.portions([one for one in last if one not in known]):
        for (data,) in connection.execute(f"SELECT data FROM attempts WHERE attempt_id IN ({marks})", some):
            attempt = query.read_attempt(data)
            found.setdefault(attempt.job_id, []).append(attempt)
    kept: list[Attempt] = []
    for job in jobs:
        if job.id in found:
            kept += query.keep_attempts(job, sorted(found[job.id], key=lambda one: (one.index, one.number)))
    return kept
