"""What has to be in memory at a start: jobs that are live, with their tasks, and the attempts that belong there.

A hundred thousand jobs may wait, most of them like others: rows come in pages, and what two of them have in common is read once.
"""

import sqlite3
from collections.abc import Iterable
from itertools import chain
from operator import attrgetter
from typing import NamedTuple

from opsconsole_coordinator.core.loading import Alike
from opsconsole_coordinator.core.model import Attempt, Job, copy_job
from opsconsole_coordinator.core.task import Fresh, Task, as_fresh
from opsconsole_coordinator.core.terms import Terms, split
from opsconsole_coordinator.store import query
from opsconsole_coordinator.store.blob import damaged, guarded
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
_SEQ = attrgetter("seq")
_Row = tuple[JobId, int | None, bytes, int, int, int | None, str, bytes, bytes]


class LiveJobs(NamedTuple):
    """What is live, first come first. `titles` has the titles of those jobs that aren't in `alike`: they would have to be made out
    of their commands."""

    jobs: list[Job]
    attempts: list[Attempt]
    titles: dict[JobId, str]
    alike: list[Alike]


def live_jobs(connection: sqlite3.Connection) -> LiveJobs:
    """Unfinished jobs and those with open attempts, and the attempts that belong there. Raises StoreError for what is damaged."""
    reading = _Reading()
    cursor = connection.execute(_ALL if _are_most_live(connection) else BY_INDEX)
    add = guarded(reading.add, "a job")
    while rows := cursor.fetchmany(_ROWS_AT_ONCE):
        add(rows)
    jobs = reading.end()
    begun = [job for job in reading.others if not job.is_fresh]
    return LiveJobs(jobs, _attempts(connection, begun), reading.titles, reading.alike)


def _are_most_live(connection: sqlite3.Connection) -> bool:
    """Whether most jobs are live, by a sample: then reading the whole table is faster than looking up each of them."""
    found = [
        connection.execute("SELECT is_live FROM jobs WHERE job_id >= ? ORDER BY job_id LIMIT 1", (key,)).fetchone()
        for key in _SAMPLE
    ]
    live = [row for row in found if row is not None and row[0] == 1]
    return 2 * len(live) > len(found)


class _Kind:
    """Jobs with the same terms and the same record."""

    __slots__ = ("jobs", "model", "titles", "waits")

    def __init__(self, model: Job) -> None:
        self.model = model
        """What they are copied from."""
        self.waits = model.terms.is_plain and not (model.handed or model.after or model.place)
        """Whether nothing of one has begun as long as its tasks are fresh, and its number is where it stands."""
        self.jobs: list[Job] = []
        self.titles: list[str] = []


class _Reading:
    """The jobs as they come, and what is known of blobs, numbers and texts that several of them have."""

    def __init__(self) -> None:
        self.others: list[Job] = []
        """Those that aren't alike."""
        self.titles: dict[JobId, str] = {}
        self.alike: list[Alike] = []
        self._of_several: dict[str, tuple[Job, list[bytes], str, _Kind]] = {}
        """Jobs with several tasks, which are given them at the end."""
        self._kinds: dict[tuple[bytes, Terms], _Kind] = {}
        self._lone_tasks: dict[bytes, Fresh] = {}
        self._times: dict[int, int] = {}
        self._texts: dict[str, str] = {}

    def add(self, rows: Iterable[_Row]) -> None:
        """Add tasks; with the first of a job comes the job. Raises StoreError, or what `split` does for what is damaged."""
        known_kinds, known_tasks, times, texts = self._kinds, self._lone_tasks, self._times, self._texts
        for job_id, index, data, seq, created_at_ms, finished_at_ms, name, spec, record in rows:
            if index != 0:
                self._add_later_task(job_id, index, data)
                continue
            is_sound = (
                type(spec) is bytes and type(record) is bytes and type(seq) is int and type(created_at_ms) is int
                and type(name) is str and type(job_id) is str
                and (finished_at_ms is None or type(finished_at_ms) is int)
            )  # fmt: skip
            if not is_sound:
                raise damaged("a job")
            terms, own = split(spec)
            kind = known_kinds.get((record, terms))
            if kind is None:
                kind = self._new_kind(record, terms)
            job = copy_job(kind.model)
            job.id, job.seq, job.own = job_id, seq, own
            job.created_at_ms = times.setdefault(created_at_ms, created_at_ms)
            if finished_at_ms is not None:
                job.finished_at_ms = finished_at_ms
            title = texts.setdefault(name, name)
            if terms.spec.num_tasks > 1:
                self._of_several[job_id] = job, [data], title, kind
                continue
            tasks = known_tasks.get(data) or self._read_lone_task(data)
            if isinstance(tasks, Fresh):
                job.kept_tasks, job.counts, job.ready = tasks, tasks.counts, tasks.ready
                if kind.waits and job.ready:
                    kind.jobs.append(job)
                    kind.titles.append(title)
                    continue
            else:
                query.give_tasks(job, tasks)
            self.others.append(job)
            self.titles[job_id] = title

    def _add_later_task(self, job_id: JobId, index: int | None, data: bytes) -> None:
        if index is None or job_id not in self._of_several:
            raise damaged(_TASKS)
        self._of_several[job_id][1].append(data)

    def _new_kind(self, data: bytes, terms: Terms) -> _Kind:
        model = query.new_job(query.read_record(data))
        model.terms = terms
        kind = _Kind(model)
        if len(self._kinds) >= _KNOWN_MAX or model.handed:
            kind.waits = False  # it isn't remembered for others, so there are none like it
        else:
            self._kinds[data, terms] = kind
        return kind

    def _read_lone_task(self, data: bytes) -> Fresh | list[Task]:
        """The task of a job that has one."""
        tasks = [query.read_task(data)]
        if tasks[0].index:
            raise damaged(_TASKS)
        found = as_fresh(tasks)
        if found is not None and len(self._lone_tasks) < _KNOWN_MAX:
            self._lone_tasks[data] = found
        return found or tasks

    def end(self) -> list[Job]:
        """All jobs, first come first. Raises StoreError."""
        for job, blobs, title, kind in self._of_several.values():
            tasks = sorted(map(query.read_task, blobs), key=lambda task: task.index)
            query.give_tasks(job, tasks)
            found = as_fresh(tasks)
            if found is not None:
                job.kept_tasks, job.counts, job.ready = found, found.counts, found.ready
            if kind.waits and found is not None and found.ready:
                kind.jobs.append(job)
                kind.titles.append(title)
            else:
                self.others.append(job)
                self.titles[job.id] = title
        self.alike = [Alike(kind.jobs, kind.titles) for kind in self._kinds.values() if kind.jobs]
        self.others.sort(key=_SEQ)
        jobs = list(chain(self.others, *(one.jobs for one in self.alike)))
        jobs.sort(key=_SEQ)
        return jobs


def _attempts(connection: sqlite3.Connection, jobs: list[Job]) -> list[Attempt]:
    """The attempts of jobs to which something has happened: those that are open, or the last of their tasks."""
    found: dict[str, list[Attempt]] = {}
    for (data,) in connection.execute(_OPEN):
        attempt = query.read_attempt(data)
        found.setdefault(attempt.job_id, []).append(attempt)
    known = {attempt.id for some in found.values() for attempt in some}
    last = [task.current for job in jobs for task in job.tasks if task.current is not None]
    for some, marks in query.portions([one for one in last if one not in known]):
        for (data,) in connection.execute(f"SELECT data FROM attempts WHERE attempt_id IN ({marks})", some):
            attempt = query.read_attempt(data)
            found.setdefault(attempt.job_id, []).append(attempt)
    kept: list[Attempt] = []
    for job in jobs:
        if job.id in found:
            kept += query.keep_attempts(job, sorted(found[job.id], key=lambda one: (one.index, one.number)))
    return kept
