"""Projects: named queues of jobs. A paused one's jobs wait; an archived one takes no work any more."""

from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Project, ProjectStatus
from opsconsole_protocol.error import Conflict, InvalidRequest
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.name import check_name


def set_project(
    fleet: Fleet, name: str, description: str | None, status: str | None, actor: str, now_ms: int
) -> str:  # fmt: skip
    """Make or change a project; None leaves what it is. Raises InvalidRequest, and then nothing changed."""
    check_name(name, "a project's name")
    if status is not None and status not in set(ProjectStatus):
        raise InvalidRequest(f"{status!r} is not a project's status: use one of {', '.join(ProjectStatus)}")
    project = fleet.projects.get(name)
    if project is None:
        project = fleet.projects[name] = Project(name=name, created_at_ms=now_ms)
    if description is not None:
        project.description = description
    if status is not None:
        project.status = ProjectStatus(status)
    project.updated_at_ms = now_ms
    fleet.touch_project(project)
    fleet.order.note_project(name)
    fleet.must_schedule = True
    words = f"project {name} is {project.status}"
    fleet.audit(now_ms, actor, EventKind.PROJECT, words, name)
    return words


def check_takes_work(fleet: Fleet, name: str) -> None:
    """Raise Conflict where a project is archived."""
    if fleet.project_status(name) is ProjectStatus.ARCHIVED:
        raise Conflict(
            f"project {name} is archived and takes no work: `opsconsole project set {name} --status active` opens it again"
        )
