"""Which worker is asked about which output folders of ended jobs, and which of these may go by themselves. Pure."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from opsconsole_coordinator.core.model import Worker
from opsconsole_coordinator.server.retention import DAY_MS
from opsconsole_coordinator.store.ended import OutputFolder
from opsconsole_protocol.ids import JobId, WorkerId


class Plan(NamedTuple):
    """Which worker is asked about which jobs, and of how many folders and which jobs nobody can be asked now."""

    asked: dict[WorkerId, list[JobId]]
    unknown: dict[WorkerId, int]
    """By worker."""
    unknown_jobs: set[JobId]


def plan(
    folders: Iterable[OutputFolder],
    workers: Mapping[WorkerId, Worker],
    meant: Collection[WorkerId],
    up: Collection[WorkerId],
) -> Plan:
    """Every folder is asked for once a place: of one of the `meant` workers that is `up`, best of one that wrote there."""
    found = Plan({}, {}, set())
    for folder in folders:
        places: dict[str, list[WorkerId]] = {}
        for writer in folder.writers:
            if writer in workers and writer in meant:
                places.setdefault(workers[writer].output_place, []).append(writer)
        for where, writers in places.items():
            others = (one for one in sorted(meant) if one in workers and _holds(workers[one], where, folder.path))
            chosen = next((one for one in (*writers, *others) if one in up), None)
            if chosen is None:
                found.unknown[writers[0]] = found.unknown.get(writers[0], 0) + 1
                found.unknown_jobs.add(folder.job_id)
            else:
                found.asked.setdefault(chosen, []).append(folder.job_id)
    return found


def is_due(
    folder: OutputFolder, keep_days: Mapping[WorkerId, float], workers: Mapping[WorkerId, Worker], now_ms: int
) -> bool:
    """Whether it goes by itself: all who wrote there let it go, and the longest of their times is over.

    A worker that is still known but hasn't said how long it keeps outputs keeps them.
    """
    days = [keep_days.get(one, 0) for one in folder.writers if one in workers and not workers[one].revoked]
    return bool(days) and all(days) and folder.ended_at_ms < now_ms - max(days) * DAY_MS


def _holds(worker: Worker, where: str, path: str) -> bool:
    own = (worker.properties.get("io_paths") or {}).get("output")
    return worker.output_place == where and path.startswith(f"{own}/jobs/")
