"""The fleet in memory from the store: at start, and after a commit that failed."""

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any

from opsconsole_coordinator.core import estimate, loading, reserving
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.templates import Templates
from opsconsole_coordinator.core.usage_day import DAY_MS, REMEMBERED_DAYS
from opsconsole_coordinator.store import ended, live, query, waiting
from opsconsole_protocol.bound import check_tree
from opsconsole_protocol.error import InvalidRequest


def load(connection: sqlite3.Connection, random_bits: Callable[[int], int], name: str, now_ms: int) -> Fleet:
    """The fleet with all that is live. Workers count as heard of now, so that they have time to come back."""
    fleet = Fleet(
        random_bits,
        seq=query.committed_seq(connection),
        store_id=query.meta(connection, "store_id"),
        name=name,
        key=query.meta(connection, "seal_key").encode(),
    )
    loading.begin_epoch(fleet, query.epochs(connection))
    fleet.adopting = query.meta(connection, "adopting") == "1"
    fleet.projects = {project.name: project for project in query.projects(connection)}
    fleet.people = query.people(connection)
    fleet.usage.restore(query.usage(connection, now_ms // DAY_MS - REMEMBERED_DAYS))
    fleet.templates = Templates(query.templates(connection), query.last_versions(connection))
    for worker in query.workers(connection):
        worker.heard_at_ms = now_ms
        worker.connection = "silent"
        worker.describe(_tellable(worker.properties))
        fleet.workers[worker.id] = worker
    for spec, attempt in ended.recent_runs(connection):
        estimate.remember(fleet, spec, attempt)
    reserving.load_reservations(fleet, query.reservations(connection))
    found = live.live_jobs(connection)
    fleet.jobs = {job.id: job for job in found.jobs}
    loading.load_alike(fleet, found.alike)
    others = [fleet.jobs[job_id] for job_id in found.titles]
    awaited = {one for job in others for one in job.terms.dependencies if one.job not in fleet.jobs}
    loading.load_jobs(fleet, others, found.attempts, waiting.standings(connection, awaited), found.titles)
    for copy in query.wanted_output_copies(connection):
        fleet.output_copies.add(copy)
    loading.load_results(fleet, partial(query.output_copies_of, connection), now_ms)
    fleet.job_seq = max((max(job.seq, job.place) for job in found.jobs[-1:] + others), default=0)
    fleet.note_all_changed()
    return fleet


def _tellable(properties: dict[str, Any]) -> dict[str, Any]:
    """A worker's properties, unless they are what would break every list: then it tells them again when it returns."""
    try:
        check_tree("a worker's properties", properties)
    except InvalidRequest:
        return {}
    return properties
