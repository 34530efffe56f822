"""Gangs: jobs whose tasks start all at once or not at all, and of which none goes on without the others.

A round of a gang begins when all its unfinished tasks are assigned in one pass. When one of them ends and is tried
again, the others are ended too, at no cost to their budgets, and take part in the next round. A task that has succeeded
takes part in no further round. While a lost attempt may still come back the others go on, until there is room to place
all of them anew.

A gang that is paused by checkpoint ends its round in order: each of its tasks saves and ends by itself, and none is ended because another
has. Resumed, they begin the next round together, those too that hadn't saved yet.
"""

from opsconsole_coordinator.core.checkpointing import is_parked
from opsconsole_coordinator.core.desired import set_want
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import SYSTEM, Attempt, Job
from opsconsole_coordinator.core.task import Task
from opsconsole_protocol import link
from opsconsole_protocol.end_cause import EndCause
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.link import Mode
from opsconsole_protocol.spec import PauseBy
from opsconsole_protocol.state import AttemptState, is_task_finished, is_task_live


def starts_over(attempt: Attempt) -> bool:
    """Whether the attempt was told to end because its gang starts over."""
    return attempt.want.mode is Mode.STOP and attempt.stopped_as is AttemptState.PREEMPTED


def is_saving(attempt: Attempt) -> bool:
    """Whether the attempt was asked to save a checkpoint and to end: it does that by itself."""
    return attempt.want.mode is Mode.PAUSE and attempt.want.by is PauseBy.CHECKPOINT


def restart_broken_round(fleet: Fleet, job: Job, now_ms: int, cause: str = "") -> None:
    """Where a task of a gang waits for a new round, end the tasks that still go on; `cause` says why it waits."""
    if fleet.adopting or job.stop_reason:
        return
    broken = next((task for task in job.tasks if _waits_anew(fleet, task)), None)
    if broken is not None:
        last = fleet.current(broken)
        known = last.want.reason if last is not None and starts_over(last) else ""
        start_over(fleet, job, cause or known or f"task-{broken.index} of its gang starts over", now_ms)


def _waits_anew(fleet: Fleet, task: Task) -> bool:
    """Whether the task hasn't ended, but its last attempt has or was told to."""
    if is_task_finished(task.state) or is_parked(fleet, task):
        return False
    attempt = fleet.current(task)
    return attempt is None or attempt.is_finished or starts_over(attempt)


def start_over(fleet: Fleet, job: Job, reason: str, now_ms: int) -> None:
    """End what lives of a gang. Its tasks wait for the next round; those that were paused wait for an operator."""
    living = living_attempts(fleet, job)
    rest = [one for one in living if one.want.mode is not Mode.STOP and not is_saving(one)]
    for attempt in rest:
        task = job.tasks[attempt.index]
        task.held = task.held or attempt.want.mode is Mode.PAUSE
        end_for_next_round(fleet, job, attempt, reason)
    if rest:
        fleet.audit(now_ms, SYSTEM, EventKind.GANG, f"starts over: {reason}", job.id)


def end_for_next_round(fleet: Fleet, job: Job, attempt: Attempt, reason: str) -> None:
    """End an attempt at no cost; its task waits for the next round, or where it is held for an operator."""
    attempt.stopped_as = AttemptState.PREEMPTED
    attempt.stop_cause = EndCause.PREEMPTED
    set_want(fleet, attempt, link.Want(mode=Mode.STOP, reason=reason, grace_ms=job.spec.grace_ms))
    task = job.tasks[attempt.index]
    fleet.set_task(job, task, task.state, f"ending: {reason}")


def living_attempts(fleet: Fleet, job: Job) -> list[Attempt]:
    """The attempts of a job's live tasks; those that are lost aren't among them, nor those that have made way."""
    found = (fleet.current(task) for task in job.tasks if is_task_live(task.state))
    return [attempt for attempt in found if attempt is not None and not attempt.is_finished]
