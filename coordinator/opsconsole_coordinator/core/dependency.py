"""Jobs that come after other jobs: ready when all of these have ended as asked, blocked when one can't any more."""

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
    if blocks(job, other, state):
        job.blocked_by.add(other)
    elif not is_task_finished(state):
        job.waiting_on.add(other)


def blocks(job: Job, other: JobId, state: TaskState) -> bool:
    """Whether a job can't start because another that it comes after is in this state."""
    if other in job.spec.after_any:
        return False
    if other in job.spec.after_failure:
        return state is TaskState.SUCCEEDED
    return state is TaskState.BLOCKED or (is_task_finished(state) and state is not TaskState.SUCCEEDED)


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
    well = sorted(job.blocked_by & set(job.spec.after_failure))
    left = sorted(job.blocked_by - set(well))
    while left:
        other_id = left.pop(0)
        if other_id in seen:
            continue
        seen.add(other_id)
        other = fleet.jobs.get(other_id)
        if other is not None and other.state is TaskState.BLOCKED and other.blocked_by:
            if not other.spec.after_failure:
                left += sorted(other.blocked_by)
                continue
            succeeded = other.blocked_by & set(other.spec.after_failure)
            well += sorted(succeeded - set(well))
            left += sorted(other.blocked_by - succeeded)
        else:
            roots[other_id] = None
    words = []
    if roots:
        retry = "retry it" if len(roots) == 1 else "retry them"
        words.append(f"{', '.join(sorted(roots))} didn't succeed ({retry} to unblock)")
    if well:
        words.append(f"{', '.join(sorted(well))} succeeded, and a job after its failure never starts then")
    through = ", ".join(sorted(job.blocked_by - roots.keys() - set(well)))
    return "; ".join(words) + (f"; {through} is blocked by that, too" if through else "")


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
