"""Time passes: workers fall silent and are lost, waits and time-outs end."""

from opsconsole_coordinator.core.avoidance import end_avoidance, note_gpus
from opsconsole_coordinator.core.capacity import usable_gpus
from opsconsole_coordinator.core.ending import end_attempt, settle_job, stop_job, wait_again
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.gpu_share import watch_share
from opsconsole_coordinator.core.leaving import watch_leaving
from opsconsole_coordinator.core.model import SYSTEM, Attempt, ProjectStatus, Worker
from opsconsole_coordinator.core.offering import watch_offers
from opsconsole_coordinator.core.reserving import watch_reservations
from opsconsole_coordinator.core.retraction import retract_waiting
from opsconsole_coordinator.core.schedule import schedule
from opsconsole_coordinator.core.skew import note_clock
from opsconsole_coordinator.core.time_limit import watch_limits, watch_saving
from opsconsole_coordinator.core.trouble import note_troubles
from opsconsole_protocol import link
from opsconsole_protocol.end_cause import EndCause
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import AttemptId, SessionId
from opsconsole_protocol.link import SILENT_AFTER_MS, Mode
from opsconsole_protocol.quantity import spell_duration
from opsconsole_protocol.state import AttemptState, TaskState, WorkerConnection

WORKER_LOST_AFTER_MS = 60_000
TICK_MS = 500


def heartbeat(fleet: Fleet, worker: Worker, message: link.Heartbeat, now_ms: int) -> None:
    """A worker gives a sign of life. Its readings are kept in memory only."""
    worker.heard_at_ms = worker.last_seen_ms = now_ms
    note_clock(worker, message.at_ms, now_ms)
    worker.host = message.host
    worker.gpu_message = message.gpu_message
    note_troubles(fleet, worker, message.troubles, now_ms)
    if message.gpus is not None:
        if usable_gpus(message.gpus) != usable_gpus(worker.gpus):
            fleet.show_worker(worker)
            fleet.must_schedule = True
            note_gpus(fleet, worker, message.gpus, now_ms)
        worker.gpus = message.gpus
    for attempt_id, usage in message.usage.items():
        attempt = worker.live.get(AttemptId(attempt_id))
        if attempt is not None:
            attempt.usage = usage
            if attempt.share_mb and (words := watch_share(fleet, attempt)):
                text = f"attempt {attempt.number} on {worker.name} {words}"
                fleet.audit(now_ms, worker.actor, EventKind.TROUBLE, text, f"{attempt.job_id}/task-{attempt.index}")
    for attempt_id, progress in message.progress.items():
        attempt = worker.live.get(AttemptId(attempt_id))
        if attempt is None or attempt.progress_first is not None:
            continue  # what it reports itself counts more than what its output looks like
        if attempt.progress != progress and is_sound(progress):
            attempt.progress = progress
            fleet.show_job(fleet.jobs[attempt.job_id])
    if worker.connection != WorkerConnection.CONNECTED:
        if worker.connection == WorkerConnection.LOST:
            fleet.audit(now_ms, worker.actor, EventKind.RETURNED, f"worker {worker.name} answers again", worker.name)
        worker.connection = WorkerConnection.CONNECTED
        fleet.show_worker(worker)
        fleet.must_schedule = True
        if any(attempt.lost for attempt in worker.live.values()):
            # Its whole set will say what became of the attempts that were given up.
            fleet.send(worker, link.Observe(exchange=worker.seq))
    fleet.show_readings(worker)


def is_sound(progress: link.TaskProgress) -> bool:
    """Whether progress can be shown: a worker may say anything, also what isn't a number."""
    return 0 <= progress.done <= progress.total and 0 < progress.total <= link.COUNT_MAX


def disconnected(fleet: Fleet, worker: Worker, session: SessionId) -> None:
    """A worker's session has ended. Its silence counts from its last heartbeat all the same."""
    if worker.session == session:
        worker.session = None
        fleet.show_worker(worker)


def allow_for_delay(fleet: Fleet, held_up_ms: int, now_ms: int) -> None:
    """The coordinator itself was held up for `held_up_ms`: a worker of which it heard nothing meanwhile isn't silent."""
    for worker in fleet.workers.values():
        worker.heard_at_ms = min(now_ms, worker.heard_at_ms + held_up_ms)


def tick(fleet: Fleet, now_ms: int) -> None:
    """Do all that is due because time has passed: silences, losses, limits, retractions and a pass of the scheduler."""
    for worker in fleet.workers.values():
        _watch_worker(fleet, worker, now_ms)
        end_avoidance(fleet, worker, now_ms)
    _expire(fleet, now_ms)
    watch_limits(fleet, now_ms)
    watch_saving(fleet, now_ms)
    if fleet.reservations:
        watch_reservations(fleet, now_ms)
    watch_offers(fleet, now_ms)
    watch_leaving(fleet, now_ms)
    retract_waiting(fleet, now_ms)
    fleet.usage.tick(now_ms)
    if (
        fleet.workers or fleet.must_schedule or fleet.order.has_due(now_ms)
    ):  # a queue that nobody could take costs nothing
        schedule(fleet, now_ms, explains=True)


def _watch_worker(fleet: Fleet, worker: Worker, now_ms: int) -> None:
    silence_ms = now_ms - worker.heard_at_ms
    connection = worker.connection
    if silence_ms > WORKER_LOST_AFTER_MS:
        connection = WorkerConnection.LOST
    elif silence_ms > SILENT_AFTER_MS:
        connection = WorkerConnection.SILENT
    if connection != worker.connection and worker.connection != WorkerConnection.LOST:
        worker.connection = connection
        fleet.show_worker(worker)
        fleet.audit(
            now_ms,
            SYSTEM,
            EventKind(connection),
            f"worker {worker.name} is {connection}: {_silence(silence_ms)}",
            worker.name,
        )
        for attempt in worker.live.values():
            if (job := fleet.jobs.get(attempt.job_id)) is not None and job.stop_reason:
                fleet.touch_job(job)  # its row says what its end waits for
    if silence_ms <= SILENT_AFTER_MS:
        return
    for attempt in list(worker.live.values()):
        job = fleet.jobs[attempt.job_id]
        if not attempt.lost and silence_ms > job.spec.lost_after_ms:
            _give_up(fleet, worker, attempt, silence_ms, now_ms)


def _give_up(fleet: Fleet, worker: Worker, attempt: Attempt, silence_ms: int, now_ms: int) -> None:
    """Give an attempt up, so that its task may run elsewhere. Until that happens the attempt may still come back."""
    job = fleet.jobs[attempt.job_id]
    task = job.tasks[attempt.index]
    error = f"worker {worker.name} is lost: {_silence(silence_ms)}"
    is_last = task.preemptions >= job.spec.max_retries_preemption and attempt.reported
    if is_last or attempt.want.mode is Mode.STOP or not attempt.reported:
        end_attempt(fleet, attempt, AttemptState.WORKER_FAILED, error, EndCause.LOST, now_ms)
        return
    attempt.lost = True
    attempt.error = error
    attempt.cause = EndCause.LOST
    fleet.touch_attempt(attempt)
    if attempt.has_started:
        task.preemptions += 1
    task.pending_since_ms = now_ms
    fleet.audit(now_ms, SYSTEM, EventKind.LOST, f"attempt {attempt.number}: {error}", job.task_id(task.index))
    wait_again(fleet, job, task, attempt, error)
    settle_job(fleet, job, now_ms)


def _expire(fleet: Fleet, now_ms: int) -> None:
    """Tasks that weren't placed within their `scheduling_timeout` become unschedulable."""
    for job_id in list(fleet.timed_waits):
        job = fleet.jobs[job_id]
        limit_ms = job.spec.scheduling_timeout_ms
        if limit_ms is None or TaskState.PENDING not in job.counts:
            continue
        is_paused = fleet.project_status(job.spec.project) is not ProjectStatus.ACTIVE
        if job.waiting_on or is_paused or fleet.adopting:
            job.ready_since_ms = now_ms  # it waits for something else than a worker
            continue
        late = [
            task
            for task in job.tasks
            if job.can_start(task)
            and not task.attempts
            and now_ms - max(task.pending_since_ms, job.ready_since_ms) > limit_ms
        ]
        for task in late:
            words = f"found no worker within {spell_duration(limit_ms)}: {job.reason or 'no free slot'}"
            fleet.set_task(job, task, TaskState.UNSCHEDULABLE, words, EndCause.NO_WORKER)
            fleet.audit(now_ms, SYSTEM, EventKind.UNSCHEDULABLE, words, job.task_id(task.index))
        if late and job.spec.gang and not job.is_finished:
            words = f"task-{late[0].index} of its gang found no worker in time"
            stop_job(fleet, job, words, SYSTEM, now_ms, EndCause.GANG_ENDED)
        if late:
            settle_job(fleet, job, now_ms)


def _silence(silence_ms: int) -> str:
    return f"nothing heard for {spell_duration(silence_ms // 1000 * 1000)}"
