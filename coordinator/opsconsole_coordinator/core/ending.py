"""What an attempt's end means for its task and job: retries within two budgets, failure limits, dependants."""

from msgspec.structs import replace

from opsconsole_coordinator.core import estimate, gang
from opsconsole_coordinator.core.avoidance import note_end
from opsconsole_coordinator.core.checkpointing import (
    awaits_report,
    has_saved_nothing,
    hurry,
    is_parked,
    note_gone,
    parked_words,
    step_words,
)
from opsconsole_coordinator.core.checkpointing import forget as forget_checkpoint
from opsconsole_coordinator.core.collecting import forget_outputs, want_job_outputs
from opsconsole_coordinator.core.dependency import update_dependents
from opsconsole_coordinator.core.desired import forget, set_want
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import SYSTEM, Attempt, Job
from opsconsole_coordinator.core.task import Task
from opsconsole_protocol import link
from opsconsole_protocol.end_cause import EndCause
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.quantity import spell_duration
from opsconsole_protocol.state import AttemptState, TaskState, is_task_finished, is_task_waiting

BACKOFF_FIRST_MS = 1_000
BACKOFF_MAX_MS = 60_000
_HOW_ENDED = {AttemptState.FAILED: "failed", AttemptState.PREEMPTED: "was preempted", AttemptState.KILLED: "was killed"}


def end_attempt(fleet: Fleet, attempt: Attempt, state: AttemptState, error: str, cause: str, now_ms: int) -> None:
    """An attempt has ended in `state`: decide what becomes of its task. `error` says why in words, `cause` is an EndCause or empty."""
    job = fleet.jobs[attempt.job_id]
    task = job.tasks[attempt.index]
    was_lost = attempt.lost  # its loss was counted then, and its task waits
    fleet.set_attempt(attempt, state)
    attempt.error = error
    attempt.cause = cause
    attempt.finished_at_ms = now_ms
    attempt.lost = False
    fleet.release_slot(job, attempt, now_ms)
    note_end(fleet, attempt, now_ms)
    if task.current == attempt.id and not was_lost and not is_task_finished(task.state):
        _move_task(fleet, job, task, attempt, now_ms)
    hurry(fleet, job, task, now_ms)
    if job.spec.gang:
        _end_with_gang(fleet, job, attempt, now_ms)
    if state is AttemptState.WORKER_FAILED or attempt.is_log_complete:
        forget(fleet, attempt)
    settle_job(fleet, job, now_ms)


def _move_task(fleet: Fleet, job: Job, task: Task, attempt: Attempt, now_ms: int) -> None:
    where = f"on {attempt.worker_name}"
    subject = job.task_id(task.index)
    match attempt.state:
        case AttemptState.SUCCEEDED:
            task.held = False
            forget_checkpoint(fleet, job, task)
            fleet.set_task(job, task, TaskState.SUCCEEDED)
            estimate.record(fleet, job, attempt)
            words = f"attempt {attempt.number} succeeded {where}"
            if attempt.seen is not None and attempt.seen.note:
                words += f"; {attempt.seen.note}"
            fleet.audit(now_ms, attempt.actor, EventKind.SUCCEEDED, words, subject)
        case AttemptState.FAILED:
            fleet.audit(
                now_ms,
                attempt.actor,
                EventKind.FAILED,
                f"attempt {attempt.number} failed {where}: {attempt.error}{f'; {attempt.hint}' if attempt.hint else ''}",
                subject,
            )
            if gang.starts_over(attempt):
                wait_again(fleet, job, task, attempt, attempt.want.reason)
                return
            task.failures += 1
            may_retry = not job.stop_reason and attempt.want.mode is not link.Mode.STOP
            may_retry = may_retry and attempt.cause != EndCause.BROKEN_DATASET
            if task.failures <= job.spec.max_retries_failure and may_retry:
                _retry(
                    fleet, job, task, attempt, now_ms, f"failed {task.failures} of {job.spec.max_retries_failure + 1}"
                )
            else:
                fleet.set_task(job, task, TaskState.FAILED, attempt.error, attempt.cause)
                _count_failed_task(fleet, job, now_ms)
        case AttemptState.KILLED:
            fleet.audit(
                now_ms, SYSTEM, EventKind.KILLED, f"attempt {attempt.number} ended {where}: {attempt.error}", subject
            )
            fleet.set_task(job, task, TaskState.KILLED, attempt.error, attempt.cause)
        case AttemptState.WORKER_FAILED | AttemptState.PREEMPTED:
            _end_lost(fleet, job, task, attempt, now_ms)
        case _:
            raise AssertionError(attempt.state)


def _end_lost(fleet: Fleet, job: Job, task: Task, attempt: Attempt, now_ms: int) -> None:
    """An attempt was lost or preempted. Where that happened before its start, it costs no budget."""
    subject = job.task_id(task.index)
    is_preempted = attempt.state is AttemptState.PREEMPTED
    if attempt.want.mode is link.Mode.RETRACT:
        fleet.audit(
            now_ms, SYSTEM, EventKind.RETRACTED, f"attempt {attempt.number} taken back before its start", subject
        )
        wait_again(fleet, job, task, attempt)
        return
    if gang.starts_over(attempt):
        text = f"attempt {attempt.number} ended on {attempt.worker_name}: {attempt.want.reason}"
        fleet.audit(now_ms, SYSTEM, EventKind.PREEMPTED, text, subject)
        wait_again(fleet, job, task, attempt, attempt.want.reason)
        return
    if attempt.cause == EndCause.CHECKPOINTED and attempt.want.mode is not link.Mode.STOP:
        _park(fleet, job, task, attempt, now_ms)
        return
    if attempt.cause == EndCause.CHECKPOINT_GONE:
        if has_saved_nothing(job, task):
            _refuse_start(fleet, job, task, attempt, now_ms)
            return
        note_gone(fleet, job, attempt, now_ms)
    if attempt.cause == EndCause.DISK_FULL and not attempt.has_started and attempt.want.mode is not link.Mode.STOP:
        _look_elsewhere(fleet, job, task, attempt, now_ms)
        return
    kind = EventKind.PREEMPTED if is_preempted else EventKind.LOST
    fleet.audit(now_ms, SYSTEM, kind, f"attempt {attempt.number} {kind}: {attempt.error}", subject)
    if attempt.want.mode is link.Mode.STOP:
        _end_stopped(fleet, job, task, attempt.want.reason, attempt.stopped_as, attempt.stop_cause)
        return
    if attempt.has_started or attempt.state is not AttemptState.WORKER_FAILED:
        task.preemptions += 1
    if task.preemptions <= job.spec.max_retries_preemption:
        times = f"{kind} {task.preemptions} times" if task.preemptions else ""
        _retry(fleet, job, task, attempt, now_ms, times)
    else:
        end = TaskState.PREEMPTED if is_preempted else TaskState.WORKER_FAILED
        words = f"{attempt.error} (all {job.spec.max_retries_preemption} retries are used up)"
        fleet.set_task(job, task, end, words, attempt.cause)


def _refuse_start(fleet: Fleet, job: Job, task: Task, attempt: Attempt, now_ms: int) -> None:
    """The checkpoint at which its submitter lets the job begin isn't on the worker, and won't come there by itself."""
    words = f"the checkpoint {job.spec.resume_from} is not on {attempt.worker_name}: --worker names one that has it"
    text = f"attempt {attempt.number} not started: {words}"
    fleet.audit(now_ms, SYSTEM, EventKind.FAILED, text, job.task_id(task.index))
    fleet.set_task(job, task, TaskState.FAILED, words, attempt.cause)
    _count_failed_task(fleet, job, now_ms)


def _park(fleet: Fleet, job: Job, task: Task, attempt: Attempt, now_ms: int) -> None:
    """It has saved a checkpoint for a pause and holds nothing any more; where it was resumed meanwhile it goes on at once."""
    if awaits_report(fleet, task):
        saved = ""  # what it has saved is yet to be told
    else:
        saved = (
            "told of no checkpoint and "
            if attempt.checkpoint is None
            else f"saved {step_words(attempt.checkpoint)} and "
        )
    words = f"attempt {attempt.number} {saved}made way on {attempt.worker_name}"
    fleet.audit(now_ms, attempt.actor, EventKind.PAUSED, words, job.task_id(task.index))
    task.pending_since_ms = now_ms
    if attempt.is_leaving:
        wait_again(fleet, job, task, attempt, attempt.want.reason)
    elif attempt.want.mode is link.Mode.PAUSE:
        fleet.set_task(job, task, TaskState.PAUSED, parked_words(fleet, task, attempt))
    else:
        wait_again(fleet, job, task, attempt)


def _look_elsewhere(fleet: Fleet, job: Job, task: Task, attempt: Attempt, now_ms: int) -> None:
    """Its worker had no room for what the job brings along: at no cost it is placed anew, and there only once there is room."""
    words = f"attempt {attempt.number} not started on {attempt.worker_name}: {attempt.error}"
    fleet.audit(now_ms, SYSTEM, EventKind.RETRACTED, words, job.task_id(task.index))
    worker = fleet.workers.get(attempt.worker_id)
    if worker is not None:
        worker.host = replace(worker.host, cache_room_mb=0)  # until its next heartbeat says more
    _retry(fleet, job, task, attempt, now_ms)


def _retry(fleet: Fleet, job: Job, task: Task, attempt: Attempt, now_ms: int, why: str = "") -> None:
    """The task waits for another attempt: after one that ran, or several in a row that didn't start, for longer each time."""
    costs = attempt.has_started or attempt.state is not AttemptState.WORKER_FAILED
    if attempt.cause != EndCause.LOST:  # a worker that is away is not asked again and again
        task.unstarted = 0 if costs else task.unstarted + 1
    tries = task.failures + task.preemptions if costs else task.unstarted - 1
    delay_ms = min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS << min(tries - 1, 10)) if tries > 0 else 0
    task.not_before_ms = now_ms + delay_ms
    task.pending_since_ms = now_ms
    is_its_own = attempt.state is AttemptState.FAILED or attempt.cause == EndCause.DISK_FULL
    if is_its_own and attempt.worker_id not in task.avoid:
        task.avoid = (*task.avoid, attempt.worker_id)
    wait = f"again in {spell_duration(delay_ms)}" if delay_ms else ""
    note = ", ".join(word for word in (why, wait) if word)
    wait_again(fleet, job, task, attempt, f"{attempt.error} ({note})" if note else attempt.error)


def wait_again(fleet: Fleet, job: Job, task: Task, attempt: Attempt, reason: str = "") -> None:
    """The task waits for its next attempt, or for an operator if this one was paused: a loss doesn't undo a pause."""
    if attempt.want.mode is link.Mode.PAUSE and not attempt.is_leaving:
        task.held = True
        reason = f"{attempt.want.reason}; {reason}" if reason else attempt.want.reason
    fleet.set_task(job, task, TaskState.HELD if task.held else TaskState.PENDING, reason)


def _end_stopped(fleet: Fleet, job: Job, task: Task, reason: str, stopped_as: AttemptState, cause: str) -> None:
    """End a task that was to be stopped and has no attempt that could report its end."""
    is_failed = stopped_as is AttemptState.FAILED
    fleet.set_task(job, task, TaskState.FAILED if is_failed else TaskState.KILLED, reason, cause)
    job.failed_tasks += is_failed


def _end_with_gang(fleet: Fleet, job: Job, attempt: Attempt, now_ms: int) -> None:
    """The other tasks of its gang end with an attempt, or start over together with it."""
    task = job.tasks[attempt.index]
    how = _HOW_ENDED.get(attempt.state, "is lost")
    words = f"task-{task.index} of its gang {how}{': ' + attempt.error if attempt.error else ''}"
    if not is_task_finished(task.state):
        gang.restart_broken_round(fleet, job, now_ms, words)
    elif task.state is not TaskState.SUCCEEDED and not job.stop_reason and not job.is_finished:
        stop_job(fleet, job, words, SYSTEM, now_ms, EndCause.GANG_ENDED)


def _count_failed_task(fleet: Fleet, job: Job, now_ms: int) -> None:
    job.failed_tasks += 1
    limit = job.spec.max_task_failures
    if limit is None or job.spec.gang:
        return  # its tasks are independent; or it is a gang, which ends with the first
    if job.failed_tasks <= limit or job.stop_reason or job.is_finished:
        return
    allowed = f"{limit} may" if limit else "none may"
    words = f"{job.failed_tasks} of {len(job.tasks)} tasks failed, {allowed}"
    stop_job(fleet, job, words, SYSTEM, now_ms, EndCause.TOO_MANY_FAILURES)


def stop_job(
    fleet: Fleet, job: Job, reason: str, actor: str, now_ms: int, cause: EndCause = EndCause.CANCELLED
) -> None:
    """End all tasks of a job: those that wait at once, those that live by their workers.

    They count as failed where the job is out of time, else as killed.
    """
    job.stop_reason = reason
    fleet.audit(now_ms, actor, EventKind.TIMEOUT if cause is EndCause.TIMED_OUT else EventKind.CANCEL, reason, job.id)
    for task in job.tasks:
        stop_task(fleet, job, task, reason, now_ms, cause)
    settle_job(fleet, job, now_ms)


def stop_task(
    fleet: Fleet, job: Job, task: Task, reason: str, now_ms: int, cause: EndCause = EndCause.CANCELLED
) -> bool:
    """End one task, and return whether there was anything to end."""
    stopped_as = AttemptState.FAILED if cause is EndCause.TIMED_OUT else AttemptState.KILLED
    if is_task_waiting(task.state) or is_parked(fleet, task):
        lost = fleet.current(task)
        _end_stopped(fleet, job, task, reason, stopped_as, cause)
        if lost is not None and lost.lost:
            end_attempt(fleet, lost, AttemptState.WORKER_FAILED, lost.error, lost.cause, now_ms)
        return True
    attempt = fleet.current(task)
    if attempt is None or attempt.is_finished:
        return False
    is_cancelled = attempt.want.mode is link.Mode.STOP and attempt.stopped_as is AttemptState.KILLED
    if is_cancelled and stopped_as is not AttemptState.KILLED:
        return False  # a time-out doesn't change that it was cancelled
    attempt.stopped_as = stopped_as
    attempt.stop_cause = cause
    fleet.touch_attempt(attempt)
    set_want(fleet, attempt, link.Want(mode=link.Mode.STOP, reason=reason, grace_ms=job.spec.grace_ms))
    task.reason = f"ending: {reason}"
    fleet.set_task(job, task, task.state, task.reason)
    return True


def settle_job(fleet: Fleet, job: Job, now_ms: int) -> None:
    """The job's counts may have changed: note that it has ended or begun anew, and tell the jobs after it."""
    if job.is_finished and job.finished_at_ms is None:
        job.finished_at_ms = now_ms
        job.reason = ""
        fleet.order.discard(job)
        fleet.audit(now_ms, SYSTEM, EventKind.FINISHED, f"job {job.state}", job.id)
        want_job_outputs(fleet, job)
    elif not job.is_finished and job.finished_at_ms is not None:
        job.finished_at_ms = None
        forget_outputs(fleet, job)
    fleet.touch_job(job)
    update_dependents(fleet, job, now_ms)
