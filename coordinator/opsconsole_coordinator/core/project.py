"""Projects: named queues of jobs. A paused one's jobs wait; an archived one takes no work any more."""

from typing import NamedTuple

import msgspec

from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Project, ProjectStatus
from opsconsole_protocol.error import Conflict, InvalidRequest
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.name import check_name
from opsconsole_protocol.share import EQUAL_SHARE, ShareChange
from opsconsole_protocol.spec import DEFAULT_PROJECT, JobSpec, Place


class ProjectChange(NamedTuple):
    """What to change of a project; None leaves what it is."""

    description: str | None = None
    status: str | None = None
    share: ShareChange | None = None
    preemptible: bool | None = None
    place: str | None = None
    """A Place; empty: each worker by itself, as where nothing is said."""


def set_project(fleet: Fleet, name: str, change: ProjectChange, actor: str, now_ms: int) -> str:
    """Make or change a project. Raises InvalidRequest, and then nothing changed."""
    check_name(name, "a project's name")
    if change.status is not None and change.status not in set(ProjectStatus):
        raise InvalidRequest(f"{change.status!r} is not a project's status: use one of {', '.join(ProjectStatus)}")
    if change.place and change.place not in set(Place):
        raise InvalidRequest(f"{change.place[:40]!r} is no way to place tasks: use one of {', '.join(Place)}, or none")
    project = fleet.projects.get(name)
    changed = (EQUAL_SHARE if project is None else project.share).changed(change.share or ShareChange())
    if project is None:
        project = fleet.projects[name] = Project(name=name, created_at_ms=now_ms)
    if change.description is not None:
        project.description = change.description
    if change.status is not None:
        project.status = ProjectStatus(change.status)
    if change.preemptible is not None:
        project.preemptible = change.preemptible
    if change.place is not None:
        project.place = Place(change.place) if change.place else None
    project.share = changed
    project.updated_at_ms = now_ms
    fleet.touch_project(project)
    fleet.usage.forget_standings()
    fleet.order.note_share(project=name)
    fleet.must_schedule = True
    makes_way = "its tasks make way for higher priority bands" if project.preemptible else ""
    place = f"its new jobs: --place {project.place}" if project.place else ""
    words = ", ".join(part for part in (f"project {name} is {project.status}", changed.words, makes_way, place) if part)
    fleet.audit(now_ms, actor, EventKind.PROJECT, words, name)
    return words


def set_person(fleet: Fleet, name: str, share: ShareChange, actor: str, now_ms: int) -> str:
    """Change what a person may have of the fleet. Raises InvalidRequest, and then nothing changed."""
    check_name(name, "a person's name")
    changed = fleet.people.get(name, EQUAL_SHARE).changed(share)
    fleet.people[name] = changed
    fleet.touch_person(name)
    fleet.usage.forget_standings()
    fleet.order.note_share(person=name)
    fleet.must_schedule = True
    words = f"{name}: {changed.words or 'an equal share, no limits'}"
    fleet.audit(now_ms, actor, EventKind.PROJECT, words, name)
    return words


def placed(fleet: Fleet, spec: JobSpec, known: JobSpec | None = None) -> JobSpec:
    """The spec with the place of its project, where it doesn't say one itself; of a job that is there already with that which it got."""
    if spec.place is not None:
        return spec
    project = fleet.projects.get(spec.project)
    place = known.place if known is not None else project.place if project is not None else None
    return spec if place is None else msgspec.structs.replace(spec, place=place)


def standstill(fleet: Fleet, name: str) -> str:
    """Why nothing of a project is started; empty where it is active."""
    status = fleet.project_status(name)
    return "" if status is ProjectStatus.ACTIVE else f"project {name} is {status}"


def knows_project(fleet: Fleet, name: str) -> bool:
    """Whether somebody has made a project, by hand or with a job of which memory tells. There is always the default one."""
    if name in fleet.projects or name in fleet.usage.projects or name == DEFAULT_PROJECT:
        return True
    return any(job.terms.spec.project == name for job in fleet.jobs.values())


def knows_person(fleet: Fleet, name: str) -> bool:
    """Whether somebody has submitted a job of which memory tells, or was given a share."""
    if name in fleet.people or any(person == name for _, person in fleet.usage.people):
        return True
    return any(job.submitted_by == name for job in fleet.jobs.values())


def check_takes_work(fleet: Fleet, name: str) -> None:
    """Raise Conflict where a project is archived."""
    if fleet.project_status(name) is ProjectStatus.ARCHIVED:
        raise Conflict(
            f"project {name} is archived and takes no work: `opsconsole project set {name} --status active` opens it again"
        )
