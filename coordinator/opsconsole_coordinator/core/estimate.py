"""How long tasks are expected to take, as ranges, and how wrong that was. Nothing is claimed of what never ran."""

from collections.abc import Iterable, Sequence
from statistics import median

from opsconsole_coordinator.core.demand import STARTS_WITHIN_MS, kind_named, kind_of, prefetch_of, rounded_up, within_ms
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.history import SURE, Kind, Like, Run
from opsconsole_coordinator.core.model import Attempt, Job, Worker
from opsconsole_protocol.estimate import Estimate, EstimateError
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Mode
from opsconsole_protocol.spec import JobSpec

KINDS_MAX = 1_000
WEIGHT = 0.3
"""How much the newest duration counts in the running mean of a job."""


def _name_of(spec: JobSpec) -> str:
    return spec.template or spec.title


def record(fleet: Fleet, job: Job, attempt: Attempt) -> None:
    """Remember a succeeded attempt: how long it took, and what had been expected."""
    took_ms = _took_ms(attempt)
    if took_ms is None:
        return
    is_done = not job.ready  # nobody asks any more what is guessed of it
    prefetched = not is_done and prefetch_of(job) > 0
    mean = job.mean_duration_ms
    job.mean_duration_ms = took_ms if mean is None else mean + WEIGHT * (took_ms - mean)
    remember(fleet, job.spec, attempt)
    if is_done:
        return
    guess_ms = job.guess_ms
    note_guess(fleet, job)
    if (prefetched, guess_ms) != (prefetch_of(job) > 0, job.guess_ms):
        fleet.queue(job)
        fleet.must_schedule = True


def remember(fleet: Fleet, spec: JobSpec, attempt: Attempt) -> None:
    """Add a succeeded attempt to what is known of its kind: the newest last."""
    took_ms = _took_ms(attempt)
    if took_ms is None:
        return
    worker = fleet.workers.get(attempt.worker_id)
    run = Run(
        took_ms,
        attempt.worker_id,
        _model(worker, attempt.gpu_ids),
        _parameters(spec, attempt.index),
        _size(spec),
        attempt.estimate,
    )
    key = kind_of(spec)
    kind = fleet.kinds.pop(key, None) or Kind()
    kind.add(run)
    fleet.kinds[key] = kind
    if len(fleet.kinds) > KINDS_MAX:
        del fleet.kinds[next(iter(fleet.kinds))]


def note_guess(fleet: Fleet, job: Job, title: str | None = None) -> None:
    """Note in how long a job's tasks are guessed to end, where enough runs are known. `title`: that of its spec, if it is known."""
    job.guess_ms = 0
    if fleet.kinds and is_guessed(fleet, job.terms.spec, title or job.spec.title):
        found = estimate(fleet, job.spec)
        if found is not None and found.runs >= SURE:
            job.guess_ms = rounded_up(found.high_ms + STARTS_WITHIN_MS)


def is_guessed(fleet: Fleet, spec: JobSpec, title: str) -> bool:
    """Whether enough runs are known of what has these terms and this title to guess in how long it ends."""
    kind = None if within_ms(spec) else fleet.kinds.get(kind_named(spec, title))
    return kind is not None and len(kind.runs) >= SURE


def _took_ms(attempt: Attempt) -> float | None:
    seen = attempt.seen
    if seen is None or seen.started_at_ms is None or seen.finished_at_ms is None:
        return None
    return float(max(0, seen.finished_at_ms - seen.started_at_ms))


class Estimates:
    """How long a task of one spec would take, by worker, as it is known now."""

    def __init__(self, fleet: Fleet, spec: JobSpec, index: int = 0) -> None:
        self._kind = fleet.kinds.get(kind_of(spec)) if fleet.kinds else None
        if self._kind is None:
            return
        self._name = _name_of(spec)
        self._like = Like(_parameters(spec, index), _size(spec), None, "")
        self._has_gpus = spec.resources.gpus_asked > 0
        if self._like.parameters not in self._kind.parameters:
            # One answer for all whose parameters nothing had that ran: as many may wait as there are jobs.
            self._like = self._like._replace(parameters=None)

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return self._kind is not None

    def on(self, worker: Worker | None) -> Estimate | None:
        """The range on a worker, or on any; None where nothing of the kind ever succeeded."""
        if self._kind is None:
            return None
        like, name = self._like, ""
        if worker is not None:
            model = worker.gpus[0].name if self._has_gpus and worker.gpus else ""
            is_known = worker.id in self._kind.workers
            name = worker.name if is_known else ""
            like = Like(
                like.parameters, like.size, worker.id if is_known else None, model if model in self._kind.models else ""
            )
        return self._kind.expect(like, self._name, name)

    def mid_ms(self, worker: Worker) -> float:
        """The middle of it, or 0."""
        found = self.on(worker)
        return 0.0 if found is None else float(found.mid_ms)


def estimate(fleet: Fleet, spec: JobSpec, worker: Worker | None = None, index: int = 0) -> Estimate | None:
    """How long a task of this spec is expected to run on a worker, or on any; None when nobody knows."""
    return Estimates(fleet, spec, index).on(worker)


def remaining(job: Job, attempt: Attempt, now_ms: int, *, as_told: bool = True) -> Estimate | None:
    """How much longer a live attempt is expected to run; None where nobody knows, or where it has taken longer than expected.

    By what was expected when it was assigned, and, if `as_told`, by what the task says is left: the one narrows the other. No more
    is left than its --timeout allows.
    """
    if attempt.is_finished or attempt.want.mode is Mode.PAUSE:
        return None
    told_ms = attempt.seen.started_at_ms if attempt.seen is not None else None
    is_right = told_ms is not None and attempt.assigned_at_ms <= told_ms <= now_ms  # by its worker's clock
    gone_ms = max(0, now_ms - (told_ms if told_ms is not None and is_right else attempt.assigned_at_ms))
    found = _left(attempt.estimate, gone_ms)
    told = attempt.progress.eta_ms if as_told and attempt.progress is not None else None
    if told is not None:
        low, high = told // 2, 2 * told
        if found is not None:
            low, high = min(told, max(low, found.low_ms)), max(told, min(high, found.high_ms))
        found = Estimate(low, told, high)
    if found is None or job.spec.timeout_ms is None:
        return found
    most_ms = max(0, job.spec.timeout_ms + job.spec.grace_ms - gone_ms)
    return Estimate(min(found.low_ms, most_ms), min(found.mid_ms, most_ms), min(found.high_ms, most_ms), found.runs)


def ends_on(fleet: Fleet, workers: Iterable[Worker], now_ms: int) -> dict[AttemptId, Estimate | None]:
    """How much longer all that runs on some workers is expected to run, by what was expected when it was assigned."""
    return {
        attempt.id: remaining(fleet.jobs[attempt.job_id], attempt, now_ms, as_told=False)
        for worker in workers
        for attempt in worker.live.values()
    }


def _left(expected: Estimate | None, gone_ms: int) -> Estimate | None:
    if expected is None or gone_ms >= expected.high_ms:
        return None
    high = expected.high_ms - gone_ms
    mid = expected.mid_ms - gone_ms if gone_ms < expected.mid_ms else high // 2
    return Estimate(max(0, expected.low_ms - gone_ms), mid, high, expected.runs)


def errors(fleet: Fleet, count: int) -> tuple[EstimateError, ...]:
    """How wrong estimates were, by kind: of `count` kinds at most, those that ran last first."""
    found = list(fleet.kinds.items())[: -count - 1 : -1]
    return tuple(_error(key, list(kind.runs)) for key, kind in found)


def _error(key: str, runs: Sequence[Run]) -> EstimateError:
    project, _, name = key.partition("\0")
    judged = [(run.took_ms, run.expected.mid_ms) for run in runs if run.expected is not None]
    off = [abs(took - mid) / max(mid, 1) for took, mid in judged]
    return EstimateError(
        project=project,
        name=name,
        runs=len(runs),
        judged=len(judged),
        held=sum(run.is_held for run in runs),
        off_percent=round(100 * median(off)) if off else 0,
        median_ms=round(median(run.took_ms for run in runs)),
    )


def _parameters(spec: JobSpec, index: int) -> int:
    """The same number for the same parameters, or where there are none for the same command."""
    if spec.parameters:
        return hash(repr(sorted(spec.parameters[index].items()))) if index < len(spec.parameters) else 0
    return hash(spec.command)


def _size(spec: JobSpec) -> int:
    """The same number for inputs that lie within the same power of two of bytes."""
    return sum(one.size_bytes for one in spec.uploads).bit_length()


def _model(worker: Worker | None, gpu_ids: Sequence[str]) -> str:
    if worker is None or not gpu_ids:
        return ""
    return next((gpu.name for gpu in worker.gpus if gpu.uuid == gpu_ids[0]), "")
