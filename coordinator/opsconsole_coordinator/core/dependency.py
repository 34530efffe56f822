"""Jobs that come after other jobs: ready when all of these have ended as asked, blocked when one can't any more.

What blocks a job in the end, its roots, is kept beside what blocks it, so that a change costs what follows from it.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from opsconsole_coordinator.core.dependent import Element, Root, RootKind, some_names
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import SYSTEM, Job
from opsconsole_coordinator.core.ready import add_ready
from opsconsole_protocol.dependency import Dependency, End
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import JobId, task_id
from opsconsole_protocol.state import TaskState, is_task_finished

_WAITING = frozenset({TaskState.PENDING, TaskState.HELD})


def note_stored(fleet: Fleet, job: Job, stored: Mapping[str, TaskState]) -> None:
    """Note how everything stands that a job in memory waits for. `stored`: of jobs that aren't there, and of their tasks."""
    for other, needs in job.needs.items():
        if any(one.end is End.RESULTS for one in needs):
            live = fleet.jobs.get(other)
            job.waits.expected[other] = count_tasks(other, stored) if live is None else live.num_tasks
        _note(fleet, job, other, None, stored)


def note_loaded(fleet: Fleet, jobs: Sequence[Job], stored: Mapping[str, TaskState]) -> None:
    """Note of jobs that were just put into memory how everything stands that they wait for. No task of them moves."""
    for job in jobs:
        note_stored(fleet, job, stored)
    changed = deque(job for job in jobs if job.state is TaskState.BLOCKED)
    while changed:  # what blocks a job in the end is known once that is known of the jobs before it
        first = changed.popleft()
        for dependent_id in sorted(fleet.dependents.get(first.id, ())):
            dependent = fleet.jobs.get(dependent_id)
            if dependent is not None and _note(fleet, dependent, first.id, None, {}).is_any:
                changed.append(dependent)


def count_tasks(job_id: str, stored: Mapping[str, TaskState]) -> int:
    """How many tasks a job has whose tasks are all known."""
    count = 0
    while task_id(JobId(job_id), count) in stored:
        count += 1
    return count


def update_dependents(fleet: Fleet, job: Job, now_ms: int) -> None:
    """Tell how a job and its tasks stand now to the jobs that come after it, and so on to those after them."""
    changed = deque([job])
    while changed:  # no recursion: chains may be thousands of jobs long
        first = changed.popleft()
        moved = fleet.moved.pop(first.id, ())
        for dependent_id in sorted(fleet.dependents.get(first.id, ())):
            dependent = fleet.jobs.get(dependent_id)
            if dependent is None:
                continue
            change = _note(fleet, dependent, first.id, moved, {})
            # A job that has ended only notes it, for a retry.
            if change.is_any and not dependent.is_finished:
                _settle(fleet, dependent, change, now_ms)
                changed.append(dependent)


def note_results(fleet: Fleet, job: Job, other: JobId, now_ms: int) -> None:
    """A job was given results of another, or told that it can't have them: note what follows."""
    is_changed = False
    for one in job.needs.get(other, ()):
        if one.end is End.RESULTS:
            has_failed = any(root.kind is RootKind.FAILED for root in job.blocked_by.get(key_of(one), ()))
            stored: dict[str, TaskState] = {other: TaskState.FAILED if has_failed else TaskState.SUCCEEDED}
            is_changed = _note_one(job, one, fleet.jobs.get(other), stored) or is_changed
    if is_changed and not job.is_finished:
        _settle(fleet, job, _Change(True, ()), now_ms)
        update_dependents(fleet, job, now_ms)


def apply_dependencies(fleet: Fleet, job: Job, now_ms: int) -> None:
    """Block or unblock the job's waiting tasks as the jobs before it stand, and tell the jobs after it."""
    _settle(fleet, job, _Change(True, ()), now_ms)
    update_dependents(fleet, job, now_ms)


class _Change(NamedTuple):
    """What has become different for a job: on the whole, and for some of its tasks on their own account."""

    of_job: bool
    of_tasks: Collection[int]

    @property
    def is_any(self) -> bool:
        return self.of_job or bool(self.of_tasks)


# --- how things stand ------------------------------------------------------------------------------------------


def _note(
    fleet: Fleet, job: Job, other: JobId, moved: Collection[int] | None, stored: Mapping[str, TaskState]
) -> _Change:
    """Note how another job stands, and return what that changes. `moved`: its tasks that have moved; None: any may have."""
    live = fleet.jobs.get(other)
    is_changed = False
    elements: dict[int, None] = {}
    for one in job.needs.get(other, ()):
        if one.each:
            elements |= dict.fromkeys(_note_elements(job, one, live, moved, stored))
        elif one.task_index is None or moved is None or one.task_index in moved:
            is_changed = _note_one(job, one, live, stored) or is_changed
    return _Change(is_changed, elements)


def _note_one(job: Job, one: Dependency, live: Job | None, stored: Mapping[str, TaskState]) -> bool:
    key = key_of(one)
    other = JobId(one.job)
    named = other if one.task_index is None else task_id(other, one.task_index)
    if live is None:
        state = stored.get(named, TaskState.FAILED)
    else:
        state = live.state if one.task_index is None else live.tasks[one.task_index].state
    roots: frozenset[Root] = frozenset()
    if blocks(one.end, state):
        roots = _roots_of(live, one.task_index, named, state)
    elif one.end is End.RESULTS and (refused := _refused(job, other)):
        roots = frozenset({Root(RootKind.RESULTS, other, refused)})
    is_waiting = not roots and (not is_task_finished(state) or (one.end is End.RESULTS and not has_results(job, other)))
    if job.blocked_by.get(key, frozenset()) == roots and (key in job.waiting_on) == is_waiting:
        return False
    _set_roots(job, key, roots)
    (job.waits.waiting_on.add if is_waiting else job.waits.waiting_on.discard)(key)
    return True


def _note_elements(
    job: Job, one: Dependency, live: Job | None, moved: Collection[int] | None, stored: Mapping[str, TaskState]
) -> list[int]:
    changed = []
    for index in range(len(job.tasks)) if moved is None else moved:
        named = task_id(JobId(one.job), index)
        state = stored.get(named, TaskState.FAILED) if live is None else live.tasks[index].state
        roots = _roots_of(live, index, named, state) if blocks(one.end, state) else frozenset()
        element = job.waits.elements.setdefault(index, Element())
        is_waiting = not roots and not is_task_finished(state)
        if element.blocked_by.get(named, frozenset()) == roots and (named in element.waiting_on) == is_waiting:
            continue
        element.blocked_by.pop(named, None)
        if roots:
            element.blocked_by[named] = roots
        (element.waiting_on.add if is_waiting else element.waiting_on.discard)(named)
        changed.append(index)
    return changed


def blocks(end: End, state: TaskState) -> bool:
    """Whether a job can't start because a job or task that it waits for is in this state."""
    if state is TaskState.BLOCKED:
        return True  # it has no end of any kind before somebody helps it
    if end is End.ANY:
        return False
    return is_task_finished(state) and (state is TaskState.SUCCEEDED) == (end is End.FAILURE)


def key_of(one: Dependency) -> str:
    """By which name it is among what a job waits for, and what blocks it."""
    if one.end is End.RESULTS:
        return f"the results of {one.job}"
    return one.job if one.task_index is None else one.text


def _roots_of(live: Job | None, index: int | None, named: str, state: TaskState) -> frozenset[Root]:
    """What is at the bottom of it that a job or task isn't as asked."""
    if live is not None and state is TaskState.BLOCKED:
        elements = live.elements.values() if index is None else filter(None, [live.elements.get(index)])
        found = frozenset(live.roots).union(*(root for one in elements for root in one.blocked_by.values()))
        if found:
            return found
    return frozenset({Root(RootKind.SUCCEEDED if state is TaskState.SUCCEEDED else RootKind.FAILED, named)})


def _set_roots(job: Job, key: str, roots: frozenset[Root]) -> None:
    waits = job.waits
    before = waits.blocked_by.pop(key, frozenset())
    for one in before:
        waits.roots[one] -= 1
        if not waits.roots[one]:
            del waits.roots[one]
    if roots:
        waits.blocked_by[key] = roots
        for one in roots:
            waits.roots[one] = waits.roots.get(one, 0) + 1


def has_results(job: Job, other: JobId) -> bool:
    """Whether a job has been given all results of another."""
    expected = job.expected.get(other, 0)
    return bool(expected) and all(task_id(other, index) in job.handed for index in range(expected))


def _refused(job: Job, other: JobId) -> str:
    """Why a job can't be given the results of another; empty where it can, or may."""
    tasks = (task_id(other, index) for index in range(job.expected.get(other, 0)))
    return next((job.refused[one] for one in tasks if one in job.refused), "") if job.refused else ""


# --- in words --------------------------------------------------------------------------------------------------


def blocked_words(job: Job, index: int | None = None) -> str:
    """Why a job, or one task of it, is blocked: names what didn't end as asked itself, because only that can be retried."""
    element = None if index is None else job.elements.get(index)
    own = {} if element is None else element.blocked_by
    roots = dict.fromkeys((*job.roots, *(root for found in own.values() for root in found)))
    failed = [one.name for one in roots if one.kind is RootKind.FAILED]
    well = [one.name for one in roots if one.kind is RootKind.SUCCEEDED]
    words = []
    if failed:
        words.append(f"{some_names(failed)} didn't succeed (retry {'it' if len(failed) == 1 else 'them'} to unblock)")
    if well:
        words.append(f"{some_names(well)} succeeded, and a job after its failure never starts then")
    words += [f"the results of {one.name} can't be had: {one.reason}" for one in roots if one.kind is RootKind.RESULTS]
    direct = {root.name for root in roots}
    blocking = [one for needs in job.needs.values() for one in needs if key_of(one) in job.blocked_by]
    named = (*(one.job if one.end is End.RESULTS else one.text for one in blocking), *own)
    through = [name for name in named if name not in direct]
    return "; ".join(words) + (f"; {some_names(through)} is blocked by that, too" if through else "")


# --- what follows ----------------------------------------------------------------------------------------------


def _settle(fleet: Fleet, job: Job, change: _Change, now_ms: int) -> None:
    """Block or unblock the job's waiting tasks, as far as something has changed for them."""
    is_blocked = bool(job.blocked_by)
    reason = blocked_words(job) if is_blocked else ""
    may_move = change.of_job and (
        TaskState.BLOCKED in job.counts or (_WAITING & job.counts.keys() and (is_blocked or job.elements))
    )
    blocked = unblocked = met = 0
    why = reason
    for task in job.tasks if may_move else [job.tasks[index] for index in change.of_tasks]:
        if is_blocked or job.is_task_blocked(task.index):
            if task.state in _WAITING:
                why = reason or blocked_words(job, task.index)
                fleet.set_task(job, task, TaskState.BLOCKED, why)
                blocked += 1
        elif task.state is TaskState.BLOCKED:
            task.pending_since_ms = now_ms
            fleet.set_task(job, task, TaskState.HELD if task.held else TaskState.PENDING)
            unblocked += 1
            met += not (job.waiting_on or job.is_task_waiting(task.index))
        elif task.state is TaskState.PENDING and task.index in change.of_tasks and not job.is_task_waiting(task.index):
            task.pending_since_ms = now_ms
            add_ready(job, task.index)
    job.reason = reason
    is_met = _note_met(job, now_ms)
    if blocked:
        fleet.audit(now_ms, SYSTEM, EventKind.BLOCKED, reason or f"task by task: {why}", job.id)
    if unblocked or is_met:
        words = "dependencies are met" if met or is_met else "can start again once what it waits for has ended as asked"
        fleet.audit(now_ms, SYSTEM, EventKind.UNBLOCKED, words, job.id)
    if job.ready or (job.elements and TaskState.PENDING in job.counts):
        fleet.queue(job)
        fleet.must_schedule = True
    fleet.touch_job(job)


def _note_met(job: Job, now_ms: int) -> bool:
    """Note since when nothing of other jobs keeps a job from beginning; return whether that is new, and the job isn't."""
    if job.started_at_ms is not None or not job.needs:
        return False
    is_free = not job.waiting_on and not job.blocked_by
    if is_free and job.elements:
        is_free = not all(map(job.is_task_waiting, range(job.num_tasks)))
    is_met = is_free and not job.met_ms
    if is_met or not is_free:
        job.met_ms = now_ms if is_free else 0
    return is_met and job.created_at_ms < now_ms
