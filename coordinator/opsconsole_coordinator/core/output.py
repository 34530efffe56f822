"""Where outputs of ended jobs lie, which worker is asked about each, and which of them may go by themselves."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from opsconsole_coordinator.core.model import Worker
from opsconsole_protocol.ids import JobId, WorkerId

DAY_MS = 24 * 3600 * 1000
LOCAL = "local"


class OutputFolder(NamedTuple):
    """A job's output folder, and on which workers its attempts wrote there."""

    job_id: JobId
    ended_at_ms: int
    path: str
    writers: tuple[WorkerId, ...]


class Plan(NamedTuple):
    """Which worker is asked about which jobs, and of how many folders nobody can be asked now, by worker."""

    asked: dict[WorkerId, list[JobId]]
    unknown: dict[WorkerId, int]


def filesystem(worker: Worker) -> str:
    """The label of the filesystem that its outputs are on."""
    return str((worker.properties.get("io_paths") or {}).get("filesystem") or LOCAL)


def place(worker: Worker) -> str:
    """What tells folders of the same path apart: the worker, or the filesystem that it shares with others."""
    label = filesystem(worker)
    return worker.id if label == LOCAL else label


def job_folder(output_path: str, job_id: str) -> str:
    """The job's folder, in or at which an attempt wrote; empty where it isn't below a `jobs/` of its name."""
    before, mark, _ = f"{output_path}/".partition(f"/jobs/{job_id}/")
    return f"{before}/jobs/{job_id}" if mark else ""


def plan(
    folders: Iterable[OutputFolder],
    workers: Mapping[WorkerId, Worker],
    meant: Collection[WorkerId],
    up: Collection[WorkerId],
) -> Plan:
    """Every folder is asked for once a place: of one of the `meant` workers that is `up`, best of one that wrote there."""
    found = Plan({}, {})
    for folder in folders:
        places: dict[str, list[WorkerId]] = {}
        for writer in folder.writers:
            if writer in workers and writer in meant:
                places.setdefault(place(workers[writer]), []).append(writer)
        for where, writers in places.items():
            others = (one for one in sorted(meant) if one in workers and _holds(workers[one], where, folder.path))
            chosen = next((one for one in (*writers, *others) if one in up), None)
            if chosen is None:
                found.unknown[writers[0]] = found.unknown.get(writers[0], 0) + 1
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
    return place(worker) == where and path.startswith(f"{own}/jobs/")
