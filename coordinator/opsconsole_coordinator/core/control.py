"""What operators do to jobs, tasks and workers. The audit log says who did it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from opsconsole_coordinator.core.avoidance import clear_failures
from opsconsole_coordinator.core.checkpointing import is_parked
from opsconsole_coordinator.core.collecting import note_worker_gone
from opsconsole_coordinator.core.dependency import apply_dependencies
from opsconsole_coordinator.core.desired import forget, set_want
from opsconsole_coordinator.core.ending import end_attempt, settle_job, stop_job, stop_task
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.gang import end_for_next_round, is_saving, restart_broken_round, starts_over
from opsconsole_coordinator.core.model import Attempt, Job, Worker
from opsconsole_coordinator.core.project import check_takes_work
from opsconsole_coordinator.core.task import Task
from opsconsole_protocol import link
from opsconsole_protocol.end_cause import EndCause
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.near_name import did_you_mean
from opsconsole_protocol.quantity import spell_duration
from opsconsole_protocol.spec import PauseBy
from opsconsole_protocol.state import AttemptState, TaskState, is_task_finished, is_task_live
from opsconsole_protocol.task_selection import TaskSelection, words_of

VERBS = ("pause", "resume", "cancel", "retry", "hold", "release")


class Order(NamedTuple):
    """Who wants something done, and why; `by`: how to pause."""

    actor: str
    reason: str = ""
    by: PauseBy | None = None


def act(
    fleet: Fleet, verb: str, job_id: JobId, selection: TaskSelection | None, order: Order, now_ms: int
) -> str:  # fmt: skip
    """Do a verb to a job, or to some of its tasks, and return in one line what was done.

    What is done to one task of a gang is done to all of them. Raises NotFound, InvalidRequest or Conflict, and then
    nothing changed.
    """
    job = fleet.jobs.get(job_id)
    if job is None:
        raise NotFound(f"there is no live job {job_id}")
    chosen = None if selection is None else picked(job, selection)
    if verb not in _ACTIONS:
        raise InvalidRequest(f"{verb!r} is not a verb: use one of {', '.join(VERBS)}")
    if verb in {"retry", "release", "resume"}:
        check_takes_work(fleet, job.spec.project)
    is_whole = chosen is None or job.spec.gang
    tasks = job.tasks if is_whole or chosen is None else chosen
    words = _ACTIONS[verb](fleet, job, tasks, is_whole, order, now_ms)
    settle_job(fleet, job, now_ms)
    if chosen is not None and is_whole:
        return f"{words} (all tasks of its gang)"
    return words


def picked(job: Job, selection: TaskSelection) -> list[Task]:
    """The tasks that are meant, one at least. Raises NotFound or InvalidRequest."""
    indices = selection.pick([task.state for task in job.tasks], job.spec.parameters)
    if not indices:
        raise NotFound(f"no task of job {job.id} is meant: none is in that state, or meets that condition")
    return [job.tasks[index] for index in indices]


def _note(
    fleet: Fleet, job: Job, tasks: Sequence[Task], order: Order, kind: EventKind, words: str, now_ms: int
) -> str:  # fmt: skip
    """Note in the audit log what was done to a job, or to some of its tasks, and return that in words."""
    is_one = len(tasks) == 1 < len(job.tasks)
    if 1 < len(tasks) < len(job.tasks):
        words = f"{words} ({words_of([task.index for task in tasks])})"
    fleet.audit(now_ms, order.actor, kind, words, job.task_id(tasks[0].index) if is_one else job.id)
    return words


def _cancel(fleet: Fleet, job: Job, tasks: Sequence[Task], is_whole: bool, order: Order, now_ms: int) -> str:
    if all(is_task_finished(task.state) for task in tasks):
        return f"had ended already: {job.state if is_whole else tasks[0].state}"
    words = f"cancelled by {order.actor}{': ' + order.reason if order.reason else ''}"
    if is_whole:
        stop_job(fleet, job, words, order.actor, now_ms)
        return f"{words}; {job.state}" if job.is_finished else f"{words}; ending"
    doomed = [task for task in tasks if not is_task_finished(task.state)]
    told = _note(fleet, job, doomed, order, EventKind.CANCEL, words, now_ms)
    for task in doomed:
        stop_task(fleet, job, task, words, now_ms)
    return told


def _pause(fleet: Fleet, job: Job, tasks: Sequence[Task], is_whole: bool, order: Order, now_ms: int) -> str:
    del is_whole
    by = order.by or job.spec.pause_by
    words = f"paused by {order.actor}"
    live = _live_attempts(fleet, tasks)
    is_again = by is PauseBy.CHECKPOINT and bool(live) and all(map(is_saving, live))
    for attempt in live:
        is_other = order.by is not None and attempt.want.by is not by
        is_asked_again = by is PauseBy.CHECKPOINT and is_saving(attempt)  # it is given as much time once more
        if attempt.want.mode is not link.Mode.PAUSE or is_other or is_asked_again:
            _want_paused(fleet, job, attempt, by, order, now_ms)
    held = _hold_waiting(fleet, job, tasks, words)
    if job.spec.gang:
        restart_broken_round(
            fleet, job, now_ms, words
        )  # one that was to save is frozen, and another has failed meanwhile
    if not live and not held:
        raise Conflict(_nothing(job, tasks, "pause", "nothing of it runs or waits"))
    if is_again:
        words = f"given {spell_duration(job.spec.save_within_ms)} more by {order.actor} to save a checkpoint"
    words = _note(fleet, job, tasks, order, EventKind.PAUSE, words, now_ms)
    return words + (f" ({held} waiting tasks held)" if held and live else "")


def _want_paused(fleet: Fleet, job: Job, attempt: Attempt, by: PauseBy, order: Order, now_ms: int) -> None:
    """One that isn't known to run has nothing to save: it is kept from going on, or waits for the next round of its gang."""
    is_to_save = by is PauseBy.CHECKPOINT and attempt.has_started
    if by is PauseBy.CHECKPOINT and job.spec.gang and not is_to_save and not fleet.adopting:
        job.tasks[attempt.index].held = True
        end_for_next_round(fleet, job, attempt, f"paused by {order.actor}")
        return
    attempt.is_leaving = False
    if is_to_save:
        attempt.save_asked_ms = now_ms
        attempt.is_save_late = False
        fleet.touch_attempt(attempt)
    words = f"paused by {order.actor}"
    how = by if is_to_save else PauseBy.FREEZE
    want = link.Want(mode=link.Mode.PAUSE, reason=words, grace_ms=job.spec.grace_ms, by=how)
    set_want(fleet, attempt, want)
    task = job.tasks[attempt.index]
    fleet.set_task(job, task, task.state, f"asked to save a checkpoint by {order.actor}" if is_to_save else words)


def _resume(fleet: Fleet, job: Job, tasks: Sequence[Task], is_whole: bool, order: Order, now_ms: int) -> str:
    del is_whole
    words = f"resumed by {order.actor}"
    live = _live_attempts(fleet, tasks)
    paused = [one for one in live if one.want.mode is link.Mode.PAUSE and not one.is_leaving]
    for attempt in paused:
        if is_saving(attempt):  # it runs, and its worker has nothing new to say
            task = job.tasks[attempt.index]
            fleet.set_task(job, task, task.state, words)
        set_want(fleet, attempt, link.Want(reason=words, grace_ms=job.spec.grace_ms))
    parked = [task for task in tasks if is_parked(fleet, task)]
    for task in parked:
        task.pending_since_ms = now_ms
        fleet.set_task(job, task, TaskState.PENDING, words)
    released = _release_held(fleet, job, tasks, now_ms)
    if job.spec.gang and (parked or released):
        restart_broken_round(fleet, job, now_ms, words)
    if not paused and not parked and not released:
        raise Conflict(_nothing(job, tasks, "resume", "nothing of it is paused or held"))
    return _note(fleet, job, tasks, order, EventKind.RESUME, words, now_ms)


def _hold(fleet: Fleet, job: Job, tasks: Sequence[Task], is_whole: bool, order: Order, now_ms: int) -> str:
    del is_whole
    words = f"held by {order.actor}{': ' + order.reason if order.reason else ''}"
    if not _hold_waiting(fleet, job, tasks, words):
        raise Conflict(_nothing(job, tasks, "hold", "none of its tasks is waiting (pause stops running ones)"))
    return _note(fleet, job, tasks, order, EventKind.HOLD, words, now_ms)


def _release(fleet: Fleet, job: Job, tasks: Sequence[Task], is_whole: bool, order: Order, now_ms: int) -> str:
    del is_whole
    if not _release_held(fleet, job, tasks, now_ms):
        raise Conflict(_nothing(job, tasks, "release", "none of its tasks is held"))
    words = f"released by {order.actor}"
    return _note(fleet, job, tasks, order, EventKind.RELEASE, words, now_ms)


def _retry(fleet: Fleet, job: Job, tasks: Sequence[Task], is_whole: bool, order: Order, now_ms: int) -> str:
    again = [task for task in tasks if is_task_finished(task.state) and task.state is not TaskState.SUCCEEDED]
    if not again:
        hint = f"; to run it once more: opsconsole clone {job.id}" if job.is_finished else ""
        raise Conflict(_nothing(job, tasks, "retry", f"none of its tasks has failed{hint}"))
    if job.spec.gang and not job.is_finished:
        raise Conflict(_nothing(job, tasks, "retry", "others of its gang are still ending"))
    if job.is_finished or job.stop_reason:
        job.limit_from_ms = job.still_since_ms = None  # its time limit counts anew
    if is_whole or job.is_finished:
        job.stop_reason = ""
    job.failed_tasks -= sum(task.state is TaskState.FAILED for task in again)
    job.reason = ""
    for task in again:
        task.failures = task.preemptions = task.unstarted = task.not_before_ms = 0
        task.held = False
        task.pending_since_ms = now_ms
        task.avoid = ()
        fleet.set_task(job, task, TaskState.PENDING)
    words = f"retried by {order.actor}"
    if len(tasks) == len(job.tasks) > 1:
        words += f" ({len(again)} task{'s' if len(again) > 1 else ''})"
    words = _note(fleet, job, tasks if len(tasks) == len(job.tasks) else again, order, EventKind.RETRY, words, now_ms)
    if job.needs:
        apply_dependencies(fleet, job, now_ms)
    return words


_ACTIONS: dict[str, Callable[[Fleet, Job, Sequence[Task], bool, Order, int], str]] = {
    "pause": _pause,
    "resume": _resume,
    "cancel": _cancel,
    "retry": _retry,
    "hold": _hold,
    "release": _release,
}


class Drain(NamedTuple):
    """Why a worker is drained, and after what time (ms) what still runs there leaves; None: it may stay."""

    reason: str = ""
    within_ms: int | None = None


def set_maintenance(
    fleet: Fleet, name: str, action: str, actor: str, now_ms: int, drain: Drain = Drain()  # noqa: B008 - it never changes
) -> Worker:  # fmt: skip
    """Drain or undrain a worker by name or id. Raises NotFound or InvalidRequest."""
    worker = find_worker(fleet, name)
    if action != "drain" and drain != Drain():
        raise InvalidRequest("a reason and a time go with drain alone")
    match action:
        case "drain":
            worker.maintenance = True
            worker.drain_reason = drain.reason
            worker.drain_until_ms = None if drain.within_ms is None else now_ms + drain.within_ms
            leave = "" if drain.within_ms is None else f", and leave in {spell_duration(drain.within_ms)}"
            why = f" for {drain.reason}" if drain.reason else ""
            words = f"drained by {actor}{why}: {len(worker.live)} tasks go on{leave}, none is added"
        case "undrain":
            worker.maintenance, worker.drain_reason, worker.drain_until_ms = False, "", None
            worker.avoided_until_ms = 0
            clear_failures(worker)
            words = f"undrained by {actor}"
        case _:
            raise InvalidRequest(f"{action!r} is not something to do to a worker: remove, drain, undrain or revoke")
    fleet.audit(now_ms, actor, EventKind(action), words, worker.name)
    fleet.touch_worker(worker)
    fleet.must_schedule = True
    return worker


def revoke(fleet: Fleet, name: str, actor: str, now_ms: int) -> None:
    """End a worker's session and give up what it has. Raises NotFound."""
    worker = find_worker(fleet, name)
    worker.revoked = True
    fleet.close(worker, "unauthenticated", f"this worker's credential was revoked by {actor}")
    _give_up(fleet, worker, now_ms)
    fleet.audit(now_ms, actor, EventKind.REVOKE, f"credential revoked by {actor}", worker.name)
    fleet.touch_worker(worker)
    fleet.must_schedule = True


def find_removable(fleet: Fleet, name: str) -> Worker:
    """The worker that `remove` means: of several with one name one that was revoked. Raises NotFound or Conflict."""
    found = _called(fleet, name)
    worker = max(found, key=lambda one: one.revoked)
    if worker.session is not None:
        raise Conflict(f"worker {worker.name} is connected: revoke it first, which also ends that connection")
    if worker.live:
        raise Conflict(
            f"worker {worker.name} has {len(worker.live)} tasks and may come back with them: "
            "revoke it first, if it won't; they are then run elsewhere"
        )
    return worker


def remove_worker(fleet: Fleet, name: str, actor: str, now_ms: int) -> None:
    """Forget a worker that is gone for good. Raises NotFound or Conflict."""
    worker = find_removable(fleet, name)
    _give_up(fleet, worker, now_ms)
    note_worker_gone(fleet, worker, now_ms)
    fleet.remove_worker(worker)
    fleet.audit(now_ms, actor, EventKind.REMOVE, f"removed by {actor}", worker.name)


def find_worker(fleet: Fleet, name: str) -> Worker:
    """A worker by name or id; of several with one name the one that isn't revoked. Raises NotFound."""
    return min(_called(fleet, name), key=lambda one: one.revoked)


def _called(fleet: Fleet, name: str) -> list[Worker]:
    found = [one for one in fleet.workers.values() if name in {one.name, one.id}]
    if not found:
        near = did_you_mean(name, (one.name for one in fleet.workers.values()))
        raise NotFound(f"there is no worker {name}{near or ' (opsconsole workers lists them)'}")
    return found


def _give_up(fleet: Fleet, worker: Worker, now_ms: int) -> None:
    """A worker won't come back: its attempts end, and their logs aren't waited for any more."""
    for attempt in list(worker.live.values()):
        end_attempt(
            fleet, attempt, AttemptState.WORKER_FAILED, f"worker {worker.name} was revoked", EndCause.LOST, now_ms
        )
    for attempt in list(worker.ended.values()):
        forget(fleet, attempt)
        settle_job(fleet, fleet.jobs[attempt.job_id], now_ms)


def _live_attempts(fleet: Fleet, tasks: Sequence[Task]) -> list[Attempt]:
    found = (fleet.current(task) for task in tasks if is_task_live(task.state))
    there = (attempt for attempt in found if attempt is not None and not attempt.is_finished)
    return [attempt for attempt in there if attempt.want.mode is not link.Mode.STOP]


def _hold_waiting(fleet: Fleet, job: Job, tasks: Sequence[Task], reason: str) -> int:
    waiting = [task for task in tasks if task.state is TaskState.PENDING]
    for task in waiting:
        task.held = True
        fleet.set_task(job, task, TaskState.HELD, reason)
    return len(waiting) + len(_note_held(fleet, job, tasks, held=True))


def _note_held(fleet: Fleet, job: Job, tasks: Sequence[Task], *, held: bool) -> list[Task]:
    """Hold or release those tasks of a gang that start over: they wait again once their attempts have ended. Returns them."""
    found = [(task, fleet.current(task)) for task in tasks if task.held is not held and is_task_live(task.state)]
    changed = [task for task, attempt in found if attempt is not None and starts_over(attempt)]
    for task in changed:
        task.held = held
        fleet.set_task(job, task, task.state, task.reason)
    return changed


def _release_held(fleet: Fleet, job: Job, tasks: Sequence[Task], now_ms: int) -> int:
    held = [task for task in tasks if task.state is TaskState.HELD]
    for task in held:
        task.held = False
        task.pending_since_ms = now_ms
        fleet.set_task(job, task, TaskState.PENDING)
    if held and job.needs:
        apply_dependencies(fleet, job, now_ms)
    return len(held) + len(_note_held(fleet, job, tasks, held=False))


def _nothing(job: Job, tasks: Sequence[Task], verb: str, why: str) -> str:
    if len(tasks) == len(job.tasks):
        return f"can't {verb} job {job.id}: it is {job.state}, {why}"
    states = " and ".join(sorted({str(task.state) for task in tasks}))
    if len(tasks) == 1:
        return f"can't {verb} {job.task_id(tasks[0].index)}: it is {states}"
    return f"can't {verb} {len(tasks)} tasks of job {job.id}: they are {states}"
