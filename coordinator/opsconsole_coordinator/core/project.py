"""Projects: named queues of jobs. A paused one's jobs wait; an archived one takes no work any more."""

from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Project, ProjectStatus
from opsconsole_protocol.error import Conflict, InvalidRequest
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.name import check_name
from opsconsole_protocol.share import EQUAL_SHARE, ShareChange


def set_project(
    fleet: Fleet, name: str, description: str | None, status: str | None, share: ShareChange | None, actor: str, now_ms: int
) -> str:  # fmt: skip
    """Make or change a project; None leaves what it is. Raises InvalidRequest, and then nothing changed."""
    check_name(name, "a project's name")
    if status is not None and status not in set(ProjectStatus):
        raise InvalidRequest(f"{status!r} is not a project's status: use one of {', '.join(ProjectStatus)}")
    project = fleet.projects.get(name)
    changed = (EQUAL_SHARE if project is None else project.share).changed(share or ShareChange())
    if project is None:
        project = fleet.projects[name] = Project(name=name, created_at_ms=now_ms)
    if description is not None:
        project.description = description
    if status is not None:
        project.status = ProjectStatus(status)
    project.share = changed
    project.updated_at_ms = now_ms
    fleet.touch_project(project)
    fleet.order.note_share(project=name)
    fleet.must_schedule = True
    words = f"project {name} is {project.status}" + (f", {changed.words}" if changed.words else "")
    fleet.audit(now_ms, actor, EventKind.PROJECT, words, name)
    return words


def set_person(fleet: Fleet, name: str, share: ShareChange, actor: str, now_ms: int) -> str:
    """Change what a person may have of the fleet. Raises InvalidRequest, and then nothing changed."""
    check_name(name, "a person's name")
    changed = fleet.people.get(name, EQUAL_SHARE).changed(share)
    fleet.people[name] = changed
    fleet.touch_person(name)
    fleet.order.note_share(person=name)
    fleet.must_schedule = True
    words = f"{name}: {changed.words or 'an equal share, no limits'}"
    fleet.audit(now_ms, actor, EventKind.PROJECT, words, name)
    return words


def check_takes_work(fleet: Fleet, name: str) -> None:
    """Raise Conflict where a project is archived."""
    if fleet.project_status(name) is ProjectStatus.ARCHIVED:
        raise Conflict(
            f"project {name} is archived and takes no work: `opsconsole project set {name} --status active` opens it again"
        )
