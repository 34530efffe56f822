"""The fleet in memory from the store: at start, and after a commit that failed."""

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from opsconsole_coordinator.core.dependency import note_dependency
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Attempt, Job
from opsconsole_coordinator.store import query
from opsconsole_protocol.bound import check_tree
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.state import TaskState


def load(connection: sqlite3.Connection, random_bits: Callable[[int], int], name: str, now_ms: int) -> Fleet:
    """Everything that is live. Workers count as heard of now: they get the time to come back."""
    fleet = Fleet(
        random_bits,
        seq=query.committed_seq(connection),
        store_id=query.meta(connection, "store_id"),
        name=name,
        key=query.meta(connection, "seal_key").encode(),
    )
    fleet.adopting = query.meta(connection, "adopting") == "1"
    fleet.paused_projects = query.paused_projects(connection)
    for worker in query.workers(connection):
        worker.heard_at_ms = now_ms
        worker.connection = "silent"
        worker.properties = _tellable(worker.properties)
        fleet.workers[worker.id] = worker
    jobs, attempts = query.live_jobs(connection)
    for job in jobs:
        enter(fleet, job, [])
    for attempt in attempts:
        _enter_attempt(fleet, attempt)
    for job in jobs:
        _depend(fleet, job, query.states(connection, job.after))
    fleet.job_seq = max((job.seq for job in jobs), default=0)
    fleet.must_schedule = True
    return fleet


def _tellable(properties: dict[str, Any]) -> dict[str, Any]:
    """A worker's properties, unless they are what would break every list: then it tells them again when it returns."""
    try:
        check_tree("a worker's properties", properties)
    except InvalidRequest:
        return {}
    return properties


def enter(fleet: Fleet, job: Job, attempts: list[Attempt], after: Mapping[JobId, TaskState] | None = None) -> None:
    """Put a job that the store holds into memory, without noting anything as changed.

    `after` says how the jobs that it comes after stand in the store.
    """
    fleet.jobs[job.id] = job
    fleet.take_in(job)
    for attempt in attempts:
        _enter_attempt(fleet, attempt)
    if job.ready:
        fleet.order.add(job)
    if after is not None:
        _depend(fleet, job, after)


def _enter_attempt(fleet: Fleet, attempt: Attempt) -> None:
    fleet.attempts[attempt.id] = attempt
    worker = fleet.workers.get(attempt.worker_id)
    if worker is None:
        return
    if not attempt.is_finished:
        worker.live[attempt.id] = attempt
    elif attempt.open:
        worker.ended[attempt.id] = attempt


def _depend(fleet: Fleet, job: Job, known: Mapping[JobId, TaskState]) -> None:
    for other in job.after:
        live = fleet.jobs.get(other)
        note_dependency(job, other, live.state if live is not None else known.get(other, TaskState.FAILED))
