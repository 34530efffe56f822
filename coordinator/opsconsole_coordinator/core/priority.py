"""How urgent jobs are, and some of their tasks: a job stands in the queue where its next task stands."""

from collections.abc import Sequence

from opsconsole_coordinator.core.control import picked
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Job
from opsconsole_coordinator.core.ready import priority_of, rank_ready
from opsconsole_coordinator.core.task import Task
from opsconsole_protocol.error import Conflict, InvalidRequest
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.spec import PRIORITY_MAX
from opsconsole_protocol.state import is_task_finished
from opsconsole_protocol.task_selection import TaskSelection, words_of


def set_priority(
    fleet: Fleet, job_id: JobId, selection: TaskSelection | None, priority: int, actor: str, now_ms: int,
    *, relative: bool,
) -> str:  # fmt: skip
    """Change the priority of a job, or of some of its tasks, and return in one line what was done.

    What is set for the job counts for all its tasks; what is added to it is added to those that have one of their own, too.
    Raises Conflict, NotFound or InvalidRequest, and then nothing changed.
    """
    job = fleet.jobs.get(job_id)
    if job is None or job.is_finished:
        raise Conflict(f"job {job_id} has ended: its priority means nothing any more")
    if selection is None or job.spec.gang:
        words = _set_job(fleet, job, priority, relative=relative)
        more = " (all tasks of its gang)" if selection is not None else ""
    else:
        words, more = _set_tasks(fleet, job, picked(job, selection), priority, relative=relative), ""
    if job.id in fleet.order:
        fleet.queue(job)
        fleet.must_schedule = True
    fleet.touch_job(job)
    words = f"{words} by {actor}{more}"
    fleet.audit(now_ms, actor, EventKind.PRIORITY, words, job.id)
    return words


def _set_job(fleet: Fleet, job: Job, priority: int, *, relative: bool) -> str:
    own = [task for task in job.tasks if task.priority is not None]
    wanted = _checked(job.priority + priority if relative else priority)
    raised = (
        [(task, _checked(task.priority + priority)) for task in own if task.priority is not None] if relative else []
    )
    job.priority = wanted
    if relative:
        for task, value in raised:
            _give(fleet, job, task, value)
    else:
        for task in own:
            _give(fleet, job, task, wanted)
    if own:
        rank_ready(job)
    return f"priority set to {wanted}"


def _set_tasks(fleet: Fleet, job: Job, tasks: Sequence[Task], priority: int, *, relative: bool) -> str:
    left = [task for task in tasks if not is_task_finished(task.state)]
    if not left:
        have = "has" if len(tasks) == 1 else "have"
        raise Conflict(
            f"{words_of([task.index for task in tasks])} of job {job.id} {have} ended: a priority means nothing any more"
        )
    values = [_checked(priority_of(job, task) + priority if relative else priority) for task in left]
    for task, value in zip(left, values, strict=True):
        _give(fleet, job, task, value)
    rank_ready(job)
    which = words_of([task.index for task in left])
    if len(set(values)) == 1:
        return f"priority of {which} set to {values[0]}"
    return f"priority of {which} changed by {priority:+d}"


def _give(fleet: Fleet, job: Job, task: Task, value: int) -> None:
    task.priority = None if value == job.priority else value
    fleet.touch_task(job, task)


def _checked(wanted: int) -> int:
    if abs(wanted) > PRIORITY_MAX:
        raise InvalidRequest(f"a priority lies between -{PRIORITY_MAX} and {PRIORITY_MAX}, not at {wanted}")
    return wanted
