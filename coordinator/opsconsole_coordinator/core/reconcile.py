"""Desired against observed: what a worker says it has, held against what it should have."""

from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from opsconsole_coordinator.core import gang
from opsconsole_coordinator.core.adoption import adopt, find_task
from opsconsole_coordinator.core.desired import desired_of, forget, send_desired, set_want
from opsconsole_coordinator.core.ending import end_attempt, settle_job
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Attempt, Worker, job_folder
from opsconsole_coordinator.core.restore import begin_adopting, restored_seq
from opsconsole_coordinator.core.trouble import hear
from opsconsole_protocol import PROTOCOL_VERSION, link
from opsconsole_protocol.bound import check_tree, cut
from opsconsole_protocol.end_cause import EndCause
from opsconsole_protocol.error import Conflict, InvalidRequest, ProtocolError, Unavailable, VersionMismatch
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import AttemptId, SessionId
from opsconsole_protocol.link import HEARTBEAT_MS, SILENT_AFTER_MS, Mode, Observed
from opsconsole_protocol.name import check_name, check_worker_name
from opsconsole_protocol.state import (
    ATTEMPT_MOVES,
    AttemptState,
    TaskState,
    WorkerConnection,
    WorkerStatus,
    is_attempt_finished,
    is_task_waiting,
)

UNPROVED_MAX = 1_000
"""How many attempts that a worker can't prove to be its own are counted."""


def register(
    fleet: Fleet,
    session: SessionId,
    message: link.Register,
    finished: Collection[AttemptId],
    now_ms: int,
    name: str = "",
) -> Worker:
    """An agent introduces itself with its whole observed set; it is answered with its whole desired set.

    `finished` are those of its attempts that the store knows as ended; `name` is what its invitation calls it, if it
    does. Raises VersionMismatch, Conflict or Unavailable, and then nothing changed.
    """
    worker = fleet.workers.get(message.worker_id)
    if not name and worker is not None and worker.is_named:
        name = worker.name
    message = msgspec.structs.replace(message, name=name or message.name)
    check_register(fleet, message, now_ms)
    if worker is None:
        worker = Worker(id=message.worker_id, name=message.name, joined_at_ms=now_ms)
        fleet.workers[worker.id] = worker
        fleet.audit(now_ms, worker.actor, EventKind.JOINED, f"worker {message.name} joined", message.name)
    elif worker.session is not None:
        fleet.close(worker, "conflict", "this worker has connected anew")
    if worker.connection == WorkerConnection.LOST:
        fleet.audit(now_ms, worker.actor, EventKind.RETURNED, f"worker {worker.name} is back", worker.name)
    worker.is_named = worker.is_named or bool(name)
    _take_description(worker, message, session, now_ms)
    hear(fleet, worker, message.troubles, now_ms)
    fleet.touch_worker(worker)
    fleet.must_schedule = True
    worker.unproved = set()
    known_seq = restored_seq(fleet, message, finished)
    if known_seq is not None:
        begin_adopting(fleet, worker, known_seq, now_ms)
    fleet.send(
        worker,
        link.Registered(
            protocol=PROTOCOL_VERSION,
            coordinator=fleet.name,
            store_id=fleet.store_id,
            store_seq=fleet.seq,
            heartbeat_ms=HEARTBEAT_MS,
            attempt_log_bytes=fleet.attempt_log_bytes,
            store_seal=fleet.seal.of_seq(worker.id, fleet.seq),
        ),
    )
    _reconcile(fleet, worker, message.observed, finished, now_ms, seen=None)
    send_desired(fleet, worker)
    return worker


def check_register(fleet: Fleet, message: link.Register, now_ms: int) -> None:
    """Whether this agent may register at all."""
    if message.protocol != PROTOCOL_VERSION:
        raise VersionMismatch(
            f"the agent speaks protocol {message.protocol} and the coordinator {PROTOCOL_VERSION}: install the same version on both"
        )
    checked_properties(message.properties)
    check_worker_name(message.name, message.worker_id)
    check_tags(message.tags)
    others = [one for one in fleet.workers.values() if one.id != message.worker_id and not one.revoked]
    if any(message.name == one.id or message.worker_id == one.name for one in others):
        raise Conflict(f"{message.name} is another worker's id, or the other way round: start it with another --name")
    if any(one.name == message.name for one in others):
        raise Conflict(f"there is a worker named {message.name} already: start this agent with another --name")
    worker = fleet.workers.get(message.worker_id)
    is_heard = worker is not None and worker.session is not None and now_ms - worker.heard_at_ms < SILENT_AFTER_MS
    if worker is not None and is_heard and worker.run_id != message.run_id:
        raise Unavailable(
            f"another agent with the identity of {worker.name} is connected; was its state folder copied? delete the copy"
        )
    if worker is not None and worker.run_id == message.run_id and 0 < message.dial <= worker.dial:
        raise Unavailable("this connection is an older one: the agent has dialled again since")


def check_tags(tags: Iterable[str]) -> None:
    """Raise InvalidRequest for what can't be a tag."""
    for tag in tags:
        check_name(tag, "a tag")


def checked_properties(properties: dict[str, Any]) -> dict[str, Any]:
    """The properties, if they can be told to everybody, and those that are looked into have their shape.

    Raises ProtocolError.
    """
    try:
        check_tree("a worker's properties", properties)
        msgspec.convert(properties.get("io_paths") or {}, link.IoPaths)
    except msgspec.ValidationError as error:
        raise ProtocolError(f"the property io_paths has the wrong shape: {error}") from None
    except InvalidRequest as error:
        raise ProtocolError(error.message) from None
    return properties


def _take_description(worker: Worker, message: link.Register, session: SessionId, now_ms: int) -> None:
    worker.name = message.name
    worker.tags = message.tags
    worker.properties = checked_properties(message.properties)
    worker.max_concurrent_jobs = message.max_concurrent_jobs
    worker.gpus = message.gpus
    worker.gpu_message = message.gpu_message
    worker.boot_id = message.boot_id
    worker.run_id = message.run_id
    worker.dial = message.dial
    worker.revoked = False
    worker.session = session
    worker.seq = 0
    worker.heard_at_ms = worker.last_seen_ms = now_ms
    worker.connection = "connected"


def observation(
    fleet: Fleet, worker: Worker, message: link.Observation, finished: Collection[AttemptId], now_ms: int
) -> None:
    """A whole observed set in the middle of a session; what it hasn't `seen` yet can't be missing from it."""
    _reconcile(fleet, worker, message.attempts, finished, now_ms, seen=message.seen)


def report(fleet: Fleet, worker: Worker, message: link.Report, finished: Collection[AttemptId], now_ms: int) -> None:
    """Attempts whose observed state changed."""
    for observed in message.attempts:
        _take(fleet, worker, observed, finished, now_ms)


def _reconcile(
    fleet: Fleet, worker: Worker, observed: Iterable[Observed], finished: Collection[AttemptId], now_ms: int,
    seen: int | None,
) -> None:  # fmt: skip
    there: set[AttemptId] = set()
    for one in observed:
        there.add(one.attempt_id)
        _take(fleet, worker, one, finished, now_ms)
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
    for attempt in _without_rest(worker, there):
        forget(fleet, attempt)
        settle_job(fleet, fleet.jobs[attempt.job_id], now_ms)


def _without_rest(worker: Worker, there: Collection[AttemptId]) -> list[Attempt]:
    """Ended attempts whose logs were still outstanding, but which their worker has no more: nothing will come."""
    return [attempt for attempt in worker.ended.values() if attempt.id not in there]


def _end_unstarted(fleet: Fleet, attempt: Attempt, now_ms: int) -> None:
    is_retracted = attempt.want.mode is Mode.RETRACT
    state = AttemptState.WORKER_FAILED if is_retracted else attempt.stopped_as
    cause = EndCause.RETRACTED if is_retracted else attempt.stop_cause
    end_attempt(fleet, attempt, state, attempt.want.reason, cause, now_ms)


def _take(fleet: Fleet, worker: Worker, observed: Observed, finished: Collection[AttemptId], now_ms: int) -> None:
    attempt = fleet.attempts.get(observed.attempt_id)
    if attempt is None and fleet.adopting and observed.attempt_id not in finished:
        attempt = adopt(fleet, worker, observed, now_ms)
    if attempt is None or attempt.worker_id != worker.id:
        _take_unknown(fleet, worker, observed, finished)
    elif attempt.is_finished:
        if not attempt.open:
            _answer_finished(fleet, worker, observed)
        else:
            if attempt.seen is None or attempt.seen.log_sizes != observed.log_sizes:
                attempt.seen = observed
            check_logs(fleet, attempt)  # all of it may have been stored just before we were restarted
    else:
        _apply(fleet, attempt, observed, now_ms)


def _take_unknown(fleet: Fleet, worker: Worker, observed: Observed, finished: Collection[AttemptId]) -> None:
    if observed.attempt_id in finished:
        _answer_finished(fleet, worker, observed)
    elif fleet.attempts.get(observed.attempt_id) is None and _may_be_ours(fleet, observed):
        _leave_alone(fleet, worker, observed)
    elif is_attempt_finished(observed.state) and not fleet.adopting:
        fleet.send(worker, link.Forget(seq=fleet.next_seq(worker), attempt_ids=(observed.attempt_id,)))
    elif not fleet.adopting:
        stop = link.Want(mode=Mode.STOP, reason="the coordinator doesn't know this attempt")
        fleet.send(worker, link.SetWant(seq=fleet.next_seq(worker), attempt_id=observed.attempt_id, want=stop))


def _may_be_ours(fleet: Fleet, observed: Observed) -> bool:
    """Whether a task waits here that this might be an attempt of. One that was proved would have been adopted."""
    return not fleet.restore_confirmed and find_task(fleet, observed) is not None


def _leave_alone(fleet: Fleet, worker: Worker, observed: Observed) -> None:
    """A worker's bare word: it gets no more work and a remark until an operator decides, and nobody else notices."""
    if len(worker.unproved) < UNPROVED_MAX:
        worker.unproved.add(observed.attempt_id)
    fleet.show_worker(worker)


def _answer_finished(fleet: Fleet, worker: Worker, observed: Observed) -> None:
    """Its end is committed here. If it still lives there it was replaced meanwhile, and is stopped."""
    if is_attempt_finished(observed.state):
        fleet.send(worker, link.Forget(seq=fleet.next_seq(worker), attempt_ids=(observed.attempt_id,)))
    else:
        stop = link.Want(mode=Mode.STOP, reason="it was given up for lost and has been replaced")
        fleet.send(worker, link.SetWant(seq=fleet.next_seq(worker), attempt_id=observed.attempt_id, want=stop))


def _apply(fleet: Fleet, attempt: Attempt, observed: Observed, now_ms: int) -> None:
    if observed.state is not attempt.state and observed.state not in ATTEMPT_MOVES[attempt.state]:
        return  # an older report that arrives late changes nothing
    is_news = attempt.seen != observed
    attempt.reported = True
    if attempt.lost:
        _welcome_back(fleet, attempt, now_ms)
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
        _follow(fleet, attempt, observed, now_ms)


def _note_output(fleet: Fleet, attempt: Attempt, observed: Observed) -> None:
    """Every attempt writes at or below `…/jobs/{job_id}`: where that is the same for all, it is the job's."""
    job = fleet.jobs[attempt.job_id]
    if len(job.tasks) == 1 or observed.output_path is None:
        return
    worker = fleet.workers.get(attempt.worker_id)
    if folder := job_folder(observed.output_path, job.id):
        job.output_folders.add((folder, attempt.worker_id if worker is None else worker.output_place))


def _follow(fleet: Fleet, attempt: Attempt, observed: Observed, now_ms: int) -> None:
    job = fleet.jobs[attempt.job_id]
    task = job.tasks[attempt.index]
    if observed.state is not attempt.state:
        subject = job.task_id(attempt.index)
        fleet.audit(
            now_ms, attempt.actor, EventKind(observed.state), f"{observed.state} on {attempt.worker_name}", subject
        )
        fleet.set_attempt(attempt, observed.state)
    if attempt.want.mode is Mode.RETRACT and observed.state is not AttemptState.ASSIGNED:
        set_want(fleet, attempt, link.Want(grace_ms=job.spec.grace_ms))  # too late: it has started
    reason = attempt.want.reason if attempt.want.mode is not Mode.RUN else observed.reason
    fleet.set_task(job, task, TaskState(observed.state), reason)


def _outcome(attempt: Attempt, observed: Observed) -> tuple[AttemptState, str, str]:
    """What a reported end means here, in words, by what cause: who asked for it decides between killed, taken back and lost."""
    if observed.state is not AttemptState.KILLED:
        return observed.state, observed.error, observed.cause
    if attempt.want.mode is Mode.RETRACT:
        return AttemptState.WORKER_FAILED, attempt.want.reason, EndCause.RETRACTED
    if attempt.want.mode is Mode.STOP:
        return attempt.stopped_as, attempt.want.reason, attempt.stop_cause or observed.cause
    words = observed.error or observed.reason or "stopped by its worker"
    return AttemptState.WORKER_FAILED, words, EndCause.STOPPED_BY_WORKER


def _welcome_back(fleet: Fleet, attempt: Attempt, now_ms: int) -> None:
    job = fleet.jobs[attempt.job_id]
    task = job.tasks[attempt.index]
    attempt.lost = False
    attempt.error = attempt.cause = ""
    fleet.touch_attempt(attempt)
    if is_task_waiting(task.state) and task.current == attempt.id:
        if attempt.has_started:
            task.preemptions -= 1  # as if nothing had been
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
            gang.keep_together(fleet, job, now_ms)


def _want_as_held(fleet: Fleet, attempt: Attempt, held: bool, reason: str) -> None:
    """What an operator did to the task while its attempt was out of reach is now done to the attempt."""
    grace_ms = attempt.want.grace_ms
    if held and attempt.want.mode is Mode.RUN:
        set_want(fleet, attempt, link.Want(mode=Mode.PAUSE, reason=reason, grace_ms=grace_ms))
    elif not held and attempt.want.mode is Mode.PAUSE:
        set_want(fleet, attempt, link.Want(grace_ms=grace_ms))


def check_logs(fleet: Fleet, attempt: Attempt) -> None:
    """Once the whole log of an ended attempt is stored, its worker may forget it."""
    if attempt.is_finished and attempt.open and attempt.is_log_complete:
        forget(fleet, attempt)
        job = fleet.jobs.get(attempt.job_id)
        if job is not None:
            fleet.touch_job(job)


def logs_stored(fleet: Fleet, attempt_id: AttemptId, source: str, offset: int) -> None:
    """So many bytes of a source are stored."""
    attempt = fleet.attempts.get(attempt_id)
    if attempt is not None:
        attempt.log_offsets[source] = offset
        check_logs(fleet, attempt)


def update_metadata(fleet: Fleet, worker: Worker, message: link.UpdateMetadata, now_ms: int) -> None:
    """Tags, properties or status change. Raises ProtocolError for a status that isn't one."""
    properties = dict(message.properties)
    status = properties.pop("status", None)
    described = checked_properties({**worker.properties, **properties})
    if status is not None:
        if status not in (WorkerStatus.AVAILABLE, WorkerStatus.RESERVED, WorkerStatus.BUSY, WorkerStatus.MAINTENANCE):
            raise ProtocolError(f"{cut(str(status), 40)!r} is not a status: available, reserved, busy or maintenance")
        if (status == WorkerStatus.MAINTENANCE) != worker.maintenance:
            worker.maintenance = status == WorkerStatus.MAINTENANCE
            fleet.audit(now_ms, worker.actor, EventKind(str(status)), f"{worker.name} is {status}", worker.name)
    worker.properties = described
    if message.tags is not None:
        check_tags(message.tags)
        worker.tags = message.tags
    fleet.touch_worker(worker)
    fleet.send(worker, link.MetadataUpdated())
    fleet.must_schedule = True
