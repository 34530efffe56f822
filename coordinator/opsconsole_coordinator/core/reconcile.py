"""Desired and observed: what a worker says it has is compared with what it should have."""

from collections.abc import Collection, Iterable

from opsconsole_coordinator.core import gang
from opsconsole_coordinator.core.adoption import adopt, find_task
from opsconsole_coordinator.core.checkpointing import renew_parked_words
from opsconsole_coordinator.core.desired import desired_of, forget, set_want
from opsconsole_coordinator.core.ending import end_attempt, settle_job
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Attempt, Job, Worker, job_folder
from opsconsole_coordinator.core.task import Task
from opsconsole_protocol import link
from opsconsole_protocol.bound import WHOLE_MAX
from opsconsole_protocol.end_cause import SAVED_EXIT_CODE, EndCause
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Mode, Observed
from opsconsole_protocol.log import Source
from opsconsole_protocol.state import (
    ATTEMPT_MOVES,
    AttemptState,
    TaskState,
    is_attempt_finished,
    is_task_waiting,
)

UNPROVED_MAX = 1_000
"""How many attempts at most are counted that a worker can't prove to be its own."""


def observation(
    fleet: Fleet, worker: Worker, message: link.Observation, finished: Collection[AttemptId], now_ms: int
) -> None:
    """A worker tells its whole observed set in the middle of a session. What it hadn't `seen` then isn't missing from it."""
    reconcile_all(fleet, worker, message.attempts, finished, now_ms, seen=message.seen)


def report(fleet: Fleet, worker: Worker, message: link.Report, finished: Collection[AttemptId], now_ms: int) -> None:
    """A worker tells the attempts whose observed state has changed."""
    for observed in message.attempts:
        _note_observed(fleet, worker, observed, finished, now_ms)


def reconcile_all(
    fleet: Fleet, worker: Worker, observed: Iterable[Observed], finished: Collection[AttemptId], now_ms: int,
    seen: int | None,
) -> None:  # fmt: skip
    there: set[AttemptId] = set()
    for one in observed:
        there.add(one.attempt_id)
        _note_observed(fleet, worker, one, finished, now_ms)
    for attempt in list(worker.live.values()):
        if attempt.id in there or attempt.is_finished:
            continue
        if seen is not None and attempt.assigned_seq > seen:
            continue
        if attempt.reported:
            reason = f"{worker.name} no longer has it"
            end_attempt(fleet, attempt, AttemptState.WORKER_FAILED, reason, EndCause.LOST, now_ms)
        elif attempt.want.mode in {Mode.STOP, Mode.RETRACT}:
            _end_unstarted(fleet, attempt, now_ms)
        elif seen is not None:
            attempt.assigned_seq = fleet.next_seq(worker)
            desired = desired_of(fleet, fleet.jobs[attempt.job_id], attempt)
            fleet.send(worker, link.JobAssignment(seq=attempt.assigned_seq, desired=desired))
    for attempt in _without_logs(worker, there):
        forget(fleet, attempt)
        settle_job(fleet, fleet.jobs[attempt.job_id], now_ms)


def _without_logs(worker: Worker, there: Collection[AttemptId]) -> list[Attempt]:
    """Ended attempts whose logs are incomplete and stay so: their worker no longer has them."""
    return [attempt for attempt in worker.ended.values() if attempt.id not in there]


def _end_unstarted(fleet: Fleet, attempt: Attempt, now_ms: int) -> None:
    is_retracted = attempt.want.mode is Mode.RETRACT
    state = AttemptState.WORKER_FAILED if is_retracted else attempt.stopped_as
    cause = EndCause.RETRACTED if is_retracted else attempt.stop_cause
    end_attempt(fleet, attempt, state, attempt.want.reason, cause, now_ms)


def _note_observed(
    fleet: Fleet, worker: Worker, observed: Observed, finished: Collection[AttemptId], now_ms: int
) -> None:
    attempt = fleet.attempts.get(observed.attempt_id)
    if attempt is None and fleet.adopting and observed.attempt_id not in finished:
        attempt = adopt(fleet, worker, observed, now_ms)
    if attempt is None or attempt.worker_id != worker.id:
        _answer_unknown(fleet, worker, observed, finished)
    elif attempt.is_finished:
        if not attempt.open:
            _answer_finished(fleet, worker, observed)
        else:
            if attempt.seen is None or attempt.seen.log_sizes != observed.log_sizes:
                attempt.seen = observed
            check_logs(fleet, attempt)  # all of it may have been stored just before we were restarted
    else:
        _update_attempt(fleet, attempt, observed, now_ms)


def _answer_unknown(fleet: Fleet, worker: Worker, observed: Observed, finished: Collection[AttemptId]) -> None:
    if observed.attempt_id in finished:
        _answer_finished(fleet, worker, observed)
    elif fleet.attempts.get(observed.attempt_id) is None and _may_be_ours(fleet, observed):
        _note_unproved(fleet, worker, observed)
    elif is_attempt_finished(observed.state) and not fleet.adopting:
        fleet.send(worker, link.Forget(seq=fleet.next_seq(worker), attempt_ids=(observed.attempt_id,)))
    elif not fleet.adopting:
        stop = link.Want(mode=Mode.STOP, reason="the coordinator doesn't know this attempt")
        fleet.send(worker, link.SetWant(seq=fleet.next_seq(worker), attempt_id=observed.attempt_id, want=stop))


def _may_be_ours(fleet: Fleet, observed: Observed) -> bool:
    """Whether this might be an attempt of a task that waits here. If that were proved it would have been adopted."""
    return not fleet.restore_confirmed and find_task(fleet, observed) is not None


def _note_unproved(fleet: Fleet, worker: Worker, observed: Observed) -> None:
    """A worker claims an attempt without proof: until an operator decides, that worker gets no more work and a remark."""
    if len(worker.unproved) < UNPROVED_MAX:
        worker.unproved.add(observed.attempt_id)
    fleet.show_worker(worker)


def _answer_finished(fleet: Fleet, worker: Worker, observed: Observed) -> None:
    """A worker still has an attempt whose end is committed here: it forgets it, or stops it where it still lives."""
    if is_attempt_finished(observed.state):
        fleet.send(worker, link.Forget(seq=fleet.next_seq(worker), attempt_ids=(observed.attempt_id,)))
    else:
        stop = link.Want(mode=Mode.STOP, reason="it was given up for lost and has been replaced")
        fleet.send(worker, link.SetWant(seq=fleet.next_seq(worker), attempt_id=observed.attempt_id, want=stop))


def _update_attempt(fleet: Fleet, attempt: Attempt, observed: Observed, now_ms: int) -> None:
    if observed.state is not attempt.state and observed.state not in ATTEMPT_MOVES[attempt.state]:
        return  # an older report that arrives late changes nothing
    is_news = attempt.seen != observed
    attempt.reported = True
    if attempt.lost:
        _undo_loss(fleet, attempt, now_ms)
    if not is_news:
        return
    attempt.seen = observed
    fleet.touch_attempt(attempt)
    _note_output(fleet, attempt, observed)
    job = fleet.jobs[attempt.job_id]
    if observed.started_at_ms is not None and job.started_at_ms is None:
        job.started_at_ms = now_ms
        fleet.touch_job(job)
    if observed.started_at_ms is not None and job.limit_from_ms is None and job.spec.job_timeout_ms is not None:
        job.limit_from_ms = now_ms
        fleet.touch_job(job)
    if is_attempt_finished(observed.state):
        end_attempt(fleet, attempt, *_outcome(attempt, observed), now_ms)
    else:
        _follow_state(fleet, attempt, observed, now_ms)


def _note_output(fleet: Fleet, attempt: Attempt, observed: Observed) -> None:
    """Note the job's folder in which an attempt writes: where all attempts share one, it is shown as the job's."""
    job = fleet.jobs[attempt.job_id]
    _add_outputs(fleet, job, job.tasks[attempt.index], observed)
    if len(job.tasks) == 1 or observed.output_path is None:
        return
    worker = fleet.workers.get(attempt.worker_id)
    if folder := job_folder(observed.output_path, job.id):
        job.output_folders |= {(folder, attempt.worker_id if worker is None else worker.output_place)}


def _add_outputs(fleet: Fleet, job: Job, task: Task, observed: Observed) -> None:
    """Count what a task left into what its job left, in the place of what its attempt before left in the same folder."""
    if observed.output_files is None or task.current != observed.attempt_id:
        return
    files, size_bytes = observed.output_files, observed.output_bytes or 0
    job.output_files = _sum((job.output_files or 0) - task.output_files + files)
    job.output_bytes = _sum((job.output_bytes or 0) - task.output_bytes + size_bytes)
    task.output_files, task.output_bytes = files, size_bytes
    fleet.touch_task(job, task)


def _sum(number: int) -> int:
    """A sum as far as it can be stored: a worker may say anything."""
    return max(0, min(number, WHOLE_MAX))


def _follow_state(fleet: Fleet, attempt: Attempt, observed: Observed, now_ms: int) -> None:
    job = fleet.jobs[attempt.job_id]
    task = job.tasks[attempt.index]
    if observed.state is not attempt.state:
        subject = job.task_id(attempt.index)
        fleet.audit(
            now_ms, attempt.actor, EventKind(observed.state), f"{observed.state} on {attempt.worker_name}", subject
        )
        if attempt.state is AttemptState.BUILDING:
            attempt.progress = None  # that was how far its preparation was
        fleet.set_attempt(attempt, observed.state)
    if attempt.want.mode is Mode.RETRACT and observed.state is not AttemptState.ASSIGNED:
        set_want(fleet, attempt, link.Want(grace_ms=job.spec.grace_ms))  # too late: it has started
    reason = attempt.want.reason if attempt.want.mode is not Mode.RUN else observed.reason
    if gang.is_saving(attempt):
        reason = task.reason  # what it was asked for, or that it is late
    fleet.set_task(job, task, TaskState(observed.state), reason)


def _outcome(attempt: Attempt, observed: Observed) -> tuple[AttemptState, str, str]:
    """The state, words and cause of a reported end. Whether a killed one counts as such depends on who asked for that."""
    if observed.state is AttemptState.FAILED and observed.exit_code == SAVED_EXIT_CODE and attempt.save_asked_ms:
        return AttemptState.PREEMPTED, "saved a checkpoint and made way", EndCause.CHECKPOINTED
    if observed.state is not AttemptState.KILLED:
        return observed.state, observed.error, observed.cause
    if attempt.want.mode is Mode.RETRACT:
        return AttemptState.WORKER_FAILED, attempt.want.reason, EndCause.RETRACTED
    if attempt.want.mode is Mode.STOP:
        return attempt.stopped_as, attempt.want.reason, attempt.stop_cause or observed.cause
    words = observed.error or observed.reason or "stopped by its worker"
    return AttemptState.WORKER_FAILED, words, EndCause.STOPPED_BY_WORKER


def _undo_loss(fleet: Fleet, attempt: Attempt, now_ms: int) -> None:
    job = fleet.jobs[attempt.job_id]
    task = job.tasks[attempt.index]
    attempt.lost = False
    attempt.error = attempt.cause = ""
    fleet.touch_attempt(attempt)
    if is_task_waiting(task.state) and task.current == attempt.id:
        if attempt.has_started:
            task.preemptions -= 1  # as if nothing had been
        attempt.is_leaving = False
        _want_as_held(fleet, attempt, task.held, task.reason)
        task.held = False
        fleet.set_task(job, task, TaskState(attempt.state))
        subject = job.task_id(task.index)
        fleet.audit(
            now_ms,
            attempt.actor,
            EventKind.ADOPTED,
            f"{attempt.worker_name} is back with attempt {attempt.number}",
            subject,
        )
        if job.spec.gang:
            gang.restart_broken_round(fleet, job, now_ms)


def _want_as_held(fleet: Fleet, attempt: Attempt, held: bool, reason: str) -> None:
    """Do to the attempt what an operator did to its task while the attempt was out of reach."""
    grace_ms = attempt.want.grace_ms
    if held and attempt.want.mode is Mode.RUN:
        set_want(fleet, attempt, link.Want(mode=Mode.PAUSE, reason=reason, grace_ms=grace_ms))
    elif not held and attempt.want.mode is Mode.PAUSE:
        set_want(fleet, attempt, link.Want(grace_ms=grace_ms))


def check_logs(fleet: Fleet, attempt: Attempt) -> None:
    """Let the worker forget an attempt that has ended and whose whole log is stored."""
    if attempt.is_finished and attempt.open and attempt.is_log_complete:
        forget(fleet, attempt)
        job = fleet.jobs.get(attempt.job_id)
        if job is not None:
            fleet.touch_job(job)


def logs_stored(fleet: Fleet, attempt_id: AttemptId, source: str, offset: int) -> None:
    """The log of an attempt is stored up to a byte offset."""
    attempt = fleet.attempts.get(attempt_id)
    if attempt is not None:
        attempt.log_offsets[source] = offset
        job = fleet.jobs.get(attempt.job_id)
        if job is not None and source == Source.REPORT and attempt.is_finished:
            fleet.look_again(job)  # its task may wait for that
            renew_parked_words(fleet, job, attempt)
        check_logs(fleet, attempt)
