"""Tasks are added to a sweep that is there already: the same command with other values."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from opsconsole_coordinator.core.dependency import apply_dependencies
from opsconsole_coordinator.core.ending import settle_job
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Job
from opsconsole_coordinator.core.project import check_takes_work
from opsconsole_coordinator.core.submission import check_contents, check_room_for
from opsconsole_protocol.api.parameter import spell_value
from opsconsole_protocol.api.template import fill, filled, places
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.spec import NUM_TASKS_MAX, REPEAT, JobSpec, check_spec
from opsconsole_protocol.task_selection import words_of


def add_tasks(fleet: Fleet, job_id: JobId, points: Sequence[Mapping[str, Any]], actor: str, now_ms: int) -> str:
    """Add a task for each point that the job has no task for yet, and return in one line what was done.

    So whoever asks twice adds nothing twice. Raises NotFound, InvalidRequest, Conflict or LimitExceeded, and then nothing changed.
    """
    job = fleet.jobs.get(job_id)
    if job is None:
        raise NotFound(f"there is no live job {job_id}")
    _check_sweep(job)
    _check_elements(fleet, job)
    points, commands = _filled(fleet, job, [_completed(job, point) for point in points])
    new = _new_places(job, points)
    there = len(points) - len(new)
    if not new:
        return f"nothing to add: {there} point{'s are' if there > 1 else ' is'} there already"
    total = len(job.tasks) + len(new)
    if total > NUM_TASKS_MAX:
        raise InvalidRequest(f"job {job.id} would have {total:,} tasks, the limit is {NUM_TASKS_MAX:,}")
    check_takes_work(fleet, job.spec.project)
    check_room_for(fleet, len(new))
    check_contents(fleet, job.spec)
    spec = msgspec.structs.replace(
        job.spec, num_tasks=job.spec.num_tasks + len(new),
        parameters=(*job.spec.parameters, *(points[place] for place in new)),
        task_commands=(*job.spec.task_commands, *(commands[place] for place in new if commands)),
    )  # fmt: skip
    check_spec(spec)
    first = len(job.tasks)
    fleet.add_tasks(job, spec, now_ms)
    if job.blocked_by or job.waiting_on:
        apply_dependencies(fleet, job, now_ms)
    settle_job(fleet, job, now_ms)
    which = words_of(range(first, len(job.tasks)))
    words = f"{which} added by {actor}" + (f"; {there} were there already" if there else "")
    fleet.audit(now_ms, actor, EventKind.ADD, words, job.id)
    return words


def _check_sweep(job: Job) -> None:
    """Raise Conflict where a job takes no more tasks."""
    if not job.spec.parameters:
        raise Conflict(f"job {job.id} is no sweep: its tasks have no parameters; submit another job")
    if job.spec.gang:
        raise Conflict(f"job {job.id} is a gang, whose tasks start all at once: submit another job")
    if job.stop_reason and not job.is_finished:
        raise Conflict(f"job {job.id} is ending ({job.stop_reason}): add tasks when it has ended")


def _check_elements(fleet: Fleet, job: Job) -> None:
    """Raise Conflict where its tasks and those of another job belong together one by one, or another takes the results of all."""
    others = [fleet.jobs[one] for one in fleet.dependents.get(job.id, ()) if one in fleet.jobs]
    pairs = [*((job, first) for first in job.needs), *((one, job.id) for one in others)]
    for waiting, first in pairs:
        if any(need.each for need in waiting.needs.get(first, ())):
            raise Conflict(
                f"job {waiting.id} waits for job {first} task by task, with as many tasks: submit another job"
            )
    taker = next((one.id for one in others if job.id in one.expected), None)
    if taker is not None:
        raise Conflict(f"job {taker} takes the results of job {job.id}: submit another job")


def _completed(job: Job, point: Mapping[str, Any]) -> dict[str, Any]:
    """The point with the values that all tasks have in common. Raises InvalidRequest for one with other parameters."""
    first, *others = job.spec.parameters
    for name in point:
        if name not in first:
            raise InvalidRequest(f"job {job.id} sweeps {', '.join(first)}: it has no {name[:60]}"[:300])
    for name in first:
        if name not in point and any(spell_value(one.get(name)) != spell_value(first[name]) for one in others):
            raise InvalidRequest(f"job {job.id} sweeps {', '.join(first)}: {name} is missing"[:300])
    return {name: point.get(name, value) for name, value in first.items()}


def _new_places(job: Job, points: Sequence[Mapping[str, Any]]) -> list[int]:
    """Which of the points no task has, each once."""
    known = {_key(one) for one in job.spec.parameters}
    found: list[int] = []
    for place, point in enumerate(points):
        key = _key(point)
        if key not in known:
            known.add(key)
            found.append(place)
    return found


def _key(point: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, spell_value(value)) for name, value in point.items()))


_Points = Sequence[Mapping[str, Any]]
_Commands = Sequence[tuple[str, ...]]


def _filled(fleet: Fleet, job: Job, points: list[dict[str, Any]]) -> tuple[_Points, _Commands]:
    """The points with their values as they are kept, and a command for each, unless all tasks run the same.

    Raises InvalidRequest or Conflict.
    """
    old = job.spec
    if not old.task_commands:
        return points, ()
    if old.template is not None:
        made = _of_template(fleet, old, points)
        return made.parameters[1:], made.task_commands[1:]
    is_known = old.parameters[0].keys() - {REPEAT} <= places(old.command)
    if not is_known or fill(old.command, old.parameters[0]) != old.task_commands[0]:
        raise Conflict(f"nobody knows any more where the values of job {job.id} go in its command: submit another job")
    return points, [fill(old.command, point) for point in points]


def _of_template(fleet: Fleet, old: JobSpec, points: Sequence[dict[str, Any]]) -> JobSpec:
    """The first task of the job and the new ones, as its template makes them, in the version that it was made from.

    Raises InvalidRequest or Conflict.
    """
    template = fleet.templates.find(old.template or "", old.template_version)
    if template is None:
        raise Conflict(f"template {old.template} isn't there any more: submit another job")
    every = (old.parameters[0], *points)
    differ = not all(one == every[0] for one in every)
    made = filled(
        msgspec.structs.replace(
            old, command=template.command, num_tasks=len(every), parameters=every, task_commands=()
        ),
        template,
    )  # fmt: skip
    if not differ:
        made = msgspec.structs.replace(made, task_commands=(made.command,) * len(every))
    if made.task_commands[0] != old.task_commands[0]:
        raise Conflict(f"template {template.name} has changed since: submit another job")
    return made
