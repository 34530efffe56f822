"""Jobs that come after other jobs: ready when all of these have succeeded, blocked when one can't succeed any more."""

from collections.abc import Mapping, Sequence

from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import SYSTEM, Job
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.state import TaskState, is_task_finished


def check_cycle(after: Mapping[JobId, Sequence[JobId]]) -> None:
    """Raise InvalidRequest where jobs submitted together wait for each other in a circle."""
    done: set[JobId] = set()
    for start in after:
        path: list[JobId] = []
        on_path: set[JobId] = set()
        stack: list[tuple[JobId, bool]] = [(start, False)]
        while stack:
            job, is_left = stack.pop()
            if is_left:
                on_path.discard(path.pop())
                done.add(job)
                continue
            if job in on_path:
                circle = " → ".join([*path[path.index(job) :], job])
                raise InvalidRequest(f"these jobs wait for each other: {circle}")
            if job in done or job not in after:
                continue
            path.append(job)
            on_path.add(job)
            stack.append((job, True))
            stack.extend((other, False) for other in after[job])


def note_dependency(job: Job, other: JobId, state: TaskState) -> None:
    """Note the state of one of the jobs that a job comes after."""
    job.waiting_on.discard(other)
    job.blocked_by.discard(other)
    if state is TaskState.BLOCKED or (is_task_finished(state) and state is not TaskState.SUCCEEDED):
        job.blocked_by.add(other)
    elif not is_task_finished(state):
        job.waiting_on.add(other)


def update_dependents(fleet: Fleet, job: Job, now_ms: int) -> None:
    """Tell a job's new state to the jobs that come after it, and so on to those after them."""
    changed = [job]
    while changed:  # no recursion: chains may be thousands of jobs long
        first = changed.pop()
        for dependent_id in sorted(fleet.dependents.get(first.id, ())):
            dependent = fleet.jobs.get(dependent_id)
            if dependent is None:
                continue
            before = (set(dependent.waiting_on), set(dependent.blocked_by))
            note_dependency(dependent, first.id, first.state)
            # A job that has ended only notes it, for a retry.
            if before != (dependent.waiting_on, dependent.blocked_by) and not dependent.is_finished:
                _block_or_unblock(fleet, dependent, now_ms)
                changed.append(dependent)


def blocked_words(fleet: Fleet, job: Job) -> str:
    """Why a job is blocked: names the jobs that didn't succeed themselves, because only these can be retried."""
    roots: dict[JobId, None] = {}
    seen: set[JobId] = set()
    left = sorted(job.blocked_by)
    while left:
        other_id = left.pop(0)
        if other_id in seen:
            continue
        seen.add(other_id)
        other = fleet.jobs.get(other_id)
        if other is not None and other.state is TaskState.BLOCKED and other.blocked_by:
            left += sorted(other.blocked_by)
        else:
            roots[other_id] = None
    names, through = ", ".join(sorted(roots)), ", ".join(sorted(job.blocked_by - roots.keys()))
    retry = "retry it" if len(roots) == 1 else "retry them"
    return f"{names} didn't succeed ({retry} to unblock)" + (f"; {through} is blocked by that, too" if through else "")


def apply_dependencies(fleet: Fleet, job: Job, now_ms: int) -> None:
    """Block or unblock the job's waiting tasks as the jobs before it stand, and tell the jobs after it."""
    _block_or_unblock(fleet, job, now_ms)
    update_dependents(fleet, job, now_ms)


def _block_or_unblock(fleet: Fleet, job: Job, now_ms: int) -> None:
    is_blocked = bool(job.blocked_by)
    reason = blocked_words(fleet, job) if is_blocked else ""
    changed = 0
    for task in job.tasks:
        if is_blocked and task.state in {TaskState.PENDING, TaskState.HELD}:
            fleet.set_task(job, task, TaskState.BLOCKED, reason)
            changed += 1
        elif not is_blocked and task.state is TaskState.BLOCKED:
            task.pending_since_ms = now_ms
            fleet.set_task(job, task, TaskState.HELD if task.held else TaskState.PENDING)
            changed += 1
    job.reason = reason
    if changed:
        fleet.audit(
            now_ms,
            SYSTEM,
            EventKind.BLOCKED if is_blocked else EventKind.UNBLOCKED,
            reason or "dependencies are met",
            job.id,
        )
    if job.ready:
        fleet.queue(job)
        fleet.must_schedule = True
    fleet.touch_job(job)
