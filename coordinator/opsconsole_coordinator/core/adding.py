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
from opsconsole_protocol.api.template import fill, filled, spell_value
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.spec import NUM_TASKS_MAX, JobSpec, check_spec
from opsconsole_protocol.task_selection import words_of


def add_tasks(fleet: Fleet, job_id: JobId, points: Sequence[Mapping[str, Any]], actor: str, now_ms: int) -> str:
    """Add a task for each point that the job has no task for yet, and return in one line what was done.

    So whoever asks twice adds nothing twice. Raises NotFound, InvalidRequest, Conflict or LimitExceeded, and then nothing changed.
    """
    job = fleet.jobs.get(job_id)
    if job is None:
        raise NotFound(f"there is no live job {job_id}")
    _check_sweep(job)
    new = _new_points(job, points)
    there = len(points) - len(new)
    if not new:
        return f"nothing to add: {there} point{'s are' if there > 1 else ' is'} there already"
    check_takes_work(fleet, job.spec.project)
    check_room_for(fleet, len(new))
    check_contents(fleet, job.spec)
    spec = _with_points(fleet, job, new)
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


def _new_points(job: Job, points: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The points that no task has, each once. Raises InvalidRequest for one with other parameters."""
    names = list(job.spec.parameters[0])
    known = {_key(one, names) for one in job.spec.parameters}
    found: list[Mapping[str, Any]] = []
    for point in points:
        if point.keys() != set(names):
            wrong = next((name for name in point if name not in names), None)
            missing = next((name for name in names if name not in point), None)
            what = f"it has no {wrong[:60]}" if wrong is not None else f"{missing} is missing"
            raise InvalidRequest(f"job {job.id} sweeps {', '.join(names)}: {what}"[:300])
        key = _key(point, names)
        if key not in known:
            known.add(key)
            found.append(point)
    return found


def _key(point: Mapping[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(spell_value(point.get(name)) for name in names)


def _with_points(fleet: Fleet, job: Job, new: Sequence[Mapping[str, Any]]) -> JobSpec:
    """The job's spec with these points, too. Raises InvalidRequest or Conflict."""
    old = job.spec
    if old.num_tasks + len(new) > NUM_TASKS_MAX:
        raise InvalidRequest(
            f"job {job.id} would have {old.num_tasks + len(new):,} tasks, the limit is {NUM_TASKS_MAX:,}"
        )
    names = list(old.parameters[0])
    points = tuple({name: point[name] for name in names} for point in new)
    commands: tuple[tuple[str, ...], ...] = ()
    if old.template is not None:
        made = _of_template(fleet, old, points)
        points, commands = made.parameters[1:], made.task_commands[1:]
    elif old.task_commands:
        if fill(old.command, old.parameters[0]) != old.task_commands[0]:
            raise Conflict(
                f"nobody knows any more where the values of job {job.id} go in its command: submit another job"
            )
        commands = tuple(fill(old.command, point) for point in points)
    spec = msgspec.structs.replace(
        old, num_tasks=old.num_tasks + len(new), parameters=(*old.parameters, *points),
        task_commands=(*old.task_commands, *commands),
    )  # fmt: skip
    check_spec(spec)
    return spec


def _of_template(fleet: Fleet, old: JobSpec, points: tuple[dict[str, Any], ...]) -> JobSpec:
    """The first task of the job and the new ones, as its template makes them now. Raises InvalidRequest or Conflict."""
    template = fleet.templates.get(old.template or "")
    if template is None:
        raise Conflict(f"template {old.template} isn't there any more: submit another job")
    if not old.task_commands:
        raise Conflict("all its tasks have the same values: submit another job")
    asked = msgspec.structs.replace(
        old, command=template.command, num_tasks=1 + len(points), parameters=(old.parameters[0], *points),
        task_commands=(old.task_commands[0],) * (1 + len(points)),
    )  # fmt: skip
    made = filled(asked, template)
    if made.task_commands[0] != old.task_commands[0]:
        raise Conflict(f"template {template.name} has changed since: submit another job")
    return made
