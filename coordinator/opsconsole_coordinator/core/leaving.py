"""Tasks that leave their worker before they are done: for a job of a higher priority band, or because it is drained.

One that can save a checkpoint is asked to, and is ended if it hasn't in the time that its job gives it; any other is ended. It costs a task
none of its retries, and it waits in the queue again. When nobody needs its place any more, one that still saves just goes on.
"""

from collections.abc import Iterator

from opsconsole_coordinator.core.desired import set_want
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.gang import end_for_next_round, is_saving, living_attempts
from opsconsole_coordinator.core.model import SYSTEM, Attempt, Job, Worker
from opsconsole_protocol import link
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.link import Mode
from opsconsole_protocol.quantity import spell_duration
from opsconsole_protocol.spec import PauseBy


def attempts_on_workers(fleet: Fleet) -> Iterator[Attempt]:
    """All that hold a place on a worker."""
    return (attempt for worker in fleet.workers.values() for attempt in worker.live.values() if attempt.index >= 0)


def can_save(job: Job, attempt: Attempt) -> bool:
    """Whether it saves a checkpoint where it is asked to."""
    return job.spec.pause_by is PauseBy.CHECKPOINT and attempt.has_started


def is_late(job: Job, attempt: Attempt, now_ms: int) -> bool:
    """Whether it was asked to save a checkpoint longer ago than its job gives it."""
    return attempt.save_asked_ms is not None and now_ms - attempt.save_asked_ms > job.spec.save_within_ms


def leave(fleet: Fleet, attempt: Attempt, reason: str, now_ms: int) -> None:
    """Tell an attempt that runs to leave its worker."""
    job = fleet.jobs[attempt.job_id]
    attempt.is_leaving = True
    if can_save(job, attempt):
        attempt.save_asked_ms = now_ms
        attempt.is_save_late = False
        want = link.Want(mode=Mode.PAUSE, reason=reason, grace_ms=job.spec.grace_ms, by=PauseBy.CHECKPOINT)
        set_want(fleet, attempt, want)
        task = job.tasks[attempt.index]
        fleet.set_task(job, task, task.state, f"asked to save a checkpoint: {reason}")
    else:
        end_for_next_round(fleet, job, attempt, reason)
    _tell(fleet, job, attempt, reason, now_ms)


def watch_leaving(fleet: Fleet, now_ms: int) -> None:
    """Have those leave whose workers have been drained for long enough; end those that save for too long, let those stay that need not go."""
    for worker in fleet.workers.values():
        if worker.drain_until_ms is not None and now_ms >= worker.drain_until_ms and worker.live and not fleet.adopting:
            _empty(fleet, worker, now_ms)
    for attempt in [one for one in attempts_on_workers(fleet) if one.is_leaving and is_saving(one)]:
        job = fleet.jobs[attempt.job_id]
        if not _must_leave(fleet, attempt, now_ms):
            _stay(fleet, job, attempt)
        elif is_late(job, attempt, now_ms):
            words = f"{attempt.want.reason}, and saved no checkpoint within {spell_duration(job.spec.save_within_ms)}"
            end_for_next_round(fleet, job, attempt, words)
            _tell(fleet, job, attempt, words, now_ms)


def _empty(fleet: Fleet, worker: Worker, now_ms: int) -> None:
    """What would be run again leaves a worker, with the rest of its gang; what an operator has frozen waits for that operator elsewhere."""
    why = f" for {worker.drain_reason}" if worker.drain_reason else ""
    for attempt in list(worker.live.values()):
        job = fleet.jobs[attempt.job_id]
        if job.fault or not (job.spec.max_retries_preemption or can_save(job, attempt)):
            continue
        for one in living_attempts(fleet, job) if job.spec.gang else [attempt]:
            if one.want.mode is Mode.RUN:
                leave(fleet, one, f"{worker.name} is drained{why}", now_ms)


def _must_leave(fleet: Fleet, attempt: Attempt, now_ms: int) -> bool:
    if attempt.makes_way_for is not None:
        job = fleet.jobs.get(attempt.makes_way_for)
        return job is not None and not job.is_finished and bool(job.ready)
    job = fleet.jobs[attempt.job_id]
    attempts = living_attempts(fleet, job) if job.spec.gang else [attempt]
    return any(
        worker.drain_until_ms is not None
        or (
            worker.booked is not None
            and any(one is other for other in worker.booked.unwelcome(worker, worker.live.values(), now_ms))
        )
        for one in attempts
        for worker in (fleet.workers[one.worker_id],)
    )


def _stay(fleet: Fleet, job: Job, attempt: Attempt) -> None:
    attempt.is_leaving, attempt.makes_way_for = False, None
    set_want(fleet, attempt, link.Want(grace_ms=job.spec.grace_ms))
    task = job.tasks[attempt.index]
    fleet.set_task(job, task, task.state, "")


def _tell(fleet: Fleet, job: Job, attempt: Attempt, words: str, now_ms: int) -> None:
    text = f"attempt {attempt.number}: {words}"
    fleet.audit(now_ms, SYSTEM, EventKind.PREEMPTED, text, job.task_id(attempt.index))
