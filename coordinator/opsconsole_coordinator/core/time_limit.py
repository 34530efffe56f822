"""Time-outs of whole jobs. They count from the first start, over all tasks and retries, and not while all that lives is paused."""

from opsconsole_coordinator.core.ending import stop_job
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.leaving import attempts_on_workers, is_late
from opsconsole_coordinator.core.model import SYSTEM, Job
from opsconsole_protocol.end_cause import EndCause
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.quantity import spell_duration
from opsconsole_protocol.spec import PauseBy
from opsconsole_protocol.state import TaskState

_GOES_ON = (TaskState.RUNNING, TaskState.BUILDING, TaskState.ASSIGNED)


def watch_limits(fleet: Fleet, now_ms: int) -> None:
    """End the jobs whose time is over; their tasks count as failed. After a restored backup nothing is ended."""
    if fleet.adopting:
        return
    for job_id in list(fleet.timed_jobs):
        job = fleet.jobs[job_id]
        limit_ms = job.spec.job_timeout_ms
        if limit_ms is None or job.limit_from_ms is None or job.is_finished or job.stop_reason:
            continue
        _follow_pauses(fleet, job, now_ms)
        if job.still_since_ms is None and now_ms - job.limit_from_ms > limit_ms:
            stop_job(fleet, job, f"job timed out after {spell_duration(limit_ms)}", SYSTEM, now_ms, EndCause.TIMED_OUT)


def watch_saving(fleet: Fleet, now_ms: int) -> None:
    """Tell once of every task that was asked to save a checkpoint and hasn't in the time that its job gives it."""
    for attempt in attempts_on_workers(fleet):
        if attempt.save_asked_ms is None or attempt.is_save_late or attempt.want.by is not PauseBy.CHECKPOINT:
            continue
        job = fleet.jobs[attempt.job_id]
        if attempt.is_leaving or not is_late(job, attempt, now_ms):
            continue  # of one that leaves nobody has to choose
        attempt.is_save_late = True
        task = job.tasks[attempt.index]
        words = f"hasn't saved a checkpoint within {spell_duration(job.spec.save_within_ms)}: freeze it, cancel it, or wait on"
        fleet.audit(now_ms, SYSTEM, EventKind.SAVE_LATE, words, job.task_id(task.index))
        fleet.set_task(job, task, task.state, words)


def _follow_pauses(fleet: Fleet, job: Job, now_ms: int) -> None:
    """Note when the job is paused. When it goes on, move the start of its limit on by the length of the pause."""
    is_still = _stands_still(job)
    if is_still and job.still_since_ms is None:
        job.still_since_ms = now_ms
        fleet.touch_job(job)
    elif not is_still and job.still_since_ms is not None and job.limit_from_ms is not None:
        job.limit_from_ms += now_ms - job.still_since_ms
        job.still_since_ms = None
        fleet.touch_job(job)


def _stands_still(job: Job) -> bool:
    """Whether an operator has paused all that lives of it, or holds all that is left."""
    counts = job.counts
    if any(counts.get(state) for state in _GOES_ON):
        return False
    is_held = bool(counts.get(TaskState.HELD)) and not counts.get(TaskState.PENDING)
    return bool(counts.get(TaskState.PAUSED)) or is_held
