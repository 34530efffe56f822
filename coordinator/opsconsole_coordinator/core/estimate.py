"""How long jobs of the same kind took, as this coordinator has seen since its start."""

from opsconsole_coordinator.core.demand import kind_of, prefetch_of
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Attempt, Job
from opsconsole_protocol.ids import WorkerId
from opsconsole_protocol.spec import JobSpec

KINDS_MAX = 2_000
WEIGHT = 0.3
"""How much the newest duration counts in the running mean."""


def record(fleet: Fleet, job: Job, attempt: Attempt) -> None:
    """Count a succeeded attempt's duration into the means of its job, and of its kind on that worker."""
    seen = attempt.seen
    if seen is None or seen.started_at_ms is None or seen.finished_at_ms is None:
        return
    prefetched = prefetch_of(job) > 0
    took_ms = float(max(0, seen.finished_at_ms - seen.started_at_ms))
    job.mean_duration_ms = _mean(job.mean_duration_ms, took_ms)
    if job.ready and prefetched != (prefetch_of(job) > 0):
        fleet.queue(job)
        fleet.must_schedule = True
    kind = kind_of(job.spec)
    workers = fleet.durations.pop(kind, {})
    workers[attempt.worker_id] = _mean(workers.get(attempt.worker_id), took_ms)
    fleet.durations[kind] = workers
    if len(fleet.durations) > KINDS_MAX:
        del fleet.durations[next(iter(fleet.durations))]


class Estimates:
    """How long tasks of one kind took, by worker, as it is known now."""

    def __init__(self, fleet: Fleet, spec: JobSpec) -> None:
        self._known = fleet.durations.get(kind_of(spec), {})
        self._mean_ms: float | None = None

    def on(self, worker_id: WorkerId) -> float:
        """Milliseconds on a worker; where it is unknown the mean of those that are, or 0."""
        found = self._known.get(worker_id)
        if found is not None:
            return found
        if self._mean_ms is None:
            self._mean_ms = sum(self._known.values()) / len(self._known) if self._known else 0.0
        return self._mean_ms


def estimate(fleet: Fleet, spec: JobSpec, worker_id: WorkerId | None = None) -> float | None:
    """Milliseconds that a task of this spec is expected to take on a worker, or on any; None when nobody knows."""
    known = fleet.durations.get(kind_of(spec))
    if not known:
        return None
    if worker_id is not None and worker_id in known:
        return known[worker_id]
    return sum(known.values()) / len(known)


def _mean(mean: float | None, value: float) -> float:
    return value if mean is None else mean + WEIGHT * (value - mean)
