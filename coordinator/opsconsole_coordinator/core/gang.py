"""Gangs: jobs whose tasks start all at once or not at all, and of which none goes on without the others.

A round of a gang begins when all its unfinished tasks are assigned in one pass. When one of them ends and is tried
again, the others are ended too, at no cost to their budgets, and take part in the next round. A task that has succeeded
takes part in no further round. While a lost attempt may still come back the others go on, until there is room to place
all of them anew.
"""

from opsconsole_coordinator.core.desired import set_want
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import SYSTEM, Attempt, Job, Task
from opsconsole_protocol import link
from opsconsole_protocol.end_cause import EndCause
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.link import Mode
from opsconsole_protocol.state import AttemptState, is_task_finished, is_task_live


def starts_over(attempt: Attempt) -> bool:
    """Whether the attempt was told to end because its gang starts over."""
    return attempt.want.mode is Mode.STOP and attempt.stopped_as is AttemptState.PREEMPTED


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
    if is_task_finished(task.state):
        return False
    attempt = fleet.current(task)
    return attempt is None or attempt.is_finished or starts_over(attempt)


def start_over(fleet: Fleet, job: Job, reason: str, now_ms: int) -> None:
    """End what lives of a gang. Its tasks wait for the next round; those that were paused wait for an operator."""
    rest = [one for one in living_attempts(fleet, job) if one.want.mode is not Mode.STOP]
    for attempt in rest:
        task = job.tasks[attempt.index]
        task.held = task.held or attempt.want.mode is Mode.PAUSE
        attempt.stopped_as = AttemptState.PREEMPTED
        attempt.stop_cause = EndCause.PREEMPTED
        set_want(fleet, attempt, link.Want(mode=Mode.STOP, reason=reason, grace_ms=job.spec.grace_ms))
        fleet.set_task(job, task, task.state, f"ending: {reason}")
    if rest:
        fleet.audit(now_ms, SYSTEM, EventKind.GANG, f"starts over: {reason}", job.id)


def living_attempts(fleet: Fleet, job: Job) -> list[Attempt]:
    """The attempts of a job's live tasks; those that are lost aren't among them."""
    found = (fleet.current(task) for task in job.tasks if is_task_live(task.state))
    return [attempt for attempt in found if attempt is not None]
