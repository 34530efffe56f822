"""Whether failures are a worker's fault. A worker that seems to be at fault is avoided for a while.

A failure counts against the worker when its cause is the worker's own (nothing can be started there, its disk is full,
its GPU is broken), or when jobs of different people fail there one after the other. Failures of one person's jobs
don't count: they may all have the same mistake.
"""

from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import SYSTEM, Attempt, Worker
from opsconsole_protocol.end_cause import EndCause
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.link import Gpu, Mode
from opsconsole_protocol.quantity import spell_duration
from opsconsole_protocol.state import AttemptState

AVOID_AFTER_JOBS = 3
AVOID_AFTER_PEOPLE = 2
AVOID_AFTER_FAULTS = 2
AVOID_MS = 60_000
GPU_BLAME_MS = 30_000
"""A GPU's trouble is told with a heartbeat, so it may be heard up to this long after the failure that it caused."""


def note_end(fleet: Fleet, attempt: Attempt, now_ms: int) -> None:
    """Note what an attempt's end says about its worker."""
    worker: Worker | None = fleet.workers.get(attempt.worker_id)
    if worker is None:
        return
    if attempt.state is AttemptState.SUCCEEDED:
        clear_failures(worker)
    elif (
        attempt.state is AttemptState.FAILED
        and attempt.want.mode is not Mode.STOP
        and attempt.cause != EndCause.BROKEN_DATASET
    ):  # neither a job that is out of time nor a dataset that is broken says anything
        _judge_failure(fleet, worker, attempt, now_ms)


def clear_failures(worker: Worker) -> None:
    """Forget the failures that counted against a worker."""
    worker.faults_in_row = 0
    worker.failed_jobs.clear()
    worker.failed_people.clear()


def _judge_failure(fleet: Fleet, worker: Worker, attempt: Attempt, now_ms: int) -> None:
    worker.failed_gpus |= dict.fromkeys(attempt.gpu_ids, now_ms)
    broken = next((gpu for gpu in worker.gpus if gpu.uuid in attempt.gpu_ids and gpu.state != "ok"), None)
    if broken is not None:
        _blame_gpu(fleet, worker, broken, now_ms)
        return
    if attempt.seen is not None and attempt.seen.worker_fault:
        worker.faults_in_row += 1
        if worker.faults_in_row >= AVOID_AFTER_FAULTS:
            why = f"{worker.faults_in_row} failures of its own in a row"
            _avoid(fleet, worker, why, f"{why}, the last one: {attempt.error}", now_ms)
        return
    worker.failed_jobs.add(attempt.job_id)
    worker.failed_people.add(fleet.jobs[attempt.job_id].submitted_by)
    if len(worker.failed_jobs) >= AVOID_AFTER_JOBS and len(worker.failed_people) >= AVOID_AFTER_PEOPLE:
        why = f"{len(worker.failed_jobs)} jobs of {len(worker.failed_people)} people failed in a row"
        _avoid(fleet, worker, why, why, now_ms)


def note_gpus(fleet: Fleet, worker: Worker, now: tuple[Gpu, ...], now_ms: int) -> None:
    """A worker's GPU states have changed: note which broke or recovered, and which failures that explains.

    To be called before the new readings replace the old ones.
    """
    before = {gpu.uuid: gpu.state for gpu in worker.gpus}
    for gpu in now:
        if gpu.state == before.get(gpu.uuid, "ok"):
            continue
        if gpu.state == "ok":
            fleet.audit(
                now_ms, worker.actor, EventKind.GPU, f"GPU {gpu.index} of {worker.name} is ok again", worker.name
            )
            continue
        words = f"GPU {gpu.index} of {worker.name}: {gpu.message or gpu.state}"
        fleet.audit(now_ms, worker.actor, EventKind.GPU, words, worker.name)
        failed_at_ms = worker.failed_gpus.get(gpu.uuid)
        if failed_at_ms is not None and now_ms - failed_at_ms <= GPU_BLAME_MS:
            _blame_gpu(fleet, worker, gpu, now_ms)
    if worker.failed_gpus:
        worker.failed_gpus = {gpu: at_ms for gpu, at_ms in worker.failed_gpus.items() if now_ms - at_ms <= GPU_BLAME_MS}


def end_avoidance(fleet: Fleet, worker: Worker, now_ms: int) -> None:
    """Use a worker again once the time for which it was avoided is over."""
    if worker.avoided_until_ms and worker.avoided_until_ms <= now_ms:
        worker.avoided_until_ms = 0
        fleet.audit(now_ms, SYSTEM, EventKind.USED_AGAIN, f"{worker.name} is no longer avoided", worker.name)
        fleet.show_worker(worker)
        fleet.must_schedule = True


def _blame_gpu(fleet: Fleet, worker: Worker, gpu: Gpu, now_ms: int) -> None:
    words = f"an attempt failed on GPU {gpu.index}, which is in trouble: {gpu.message or gpu.state}"
    _avoid(fleet, worker, f"a failure on GPU {gpu.index}, which is in trouble", words, now_ms)


def _avoid(fleet: Fleet, worker: Worker, why: str, words: str, now_ms: int) -> None:
    worker.avoided_until_ms = now_ms + AVOID_MS
    worker.avoided_after = why
    text = f"avoided for {spell_duration(AVOID_MS)}, where there is another worker: {words}"
    fleet.audit(now_ms, SYSTEM, EventKind.AVOIDED, text, worker.name)
    fleet.show_worker(worker)
