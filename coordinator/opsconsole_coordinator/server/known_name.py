"""Names of projects and people that somebody writes: one that nobody has is refused, with those that may have been meant."""

from collections.abc import Iterable

from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.identity import Identities
from opsconsole_coordinator.store import query
from opsconsole_protocol.error import NotFound
from opsconsole_protocol.name import check_name
from opsconsole_protocol.near_name import did_you_mean
from opsconsole_protocol.spec import DEFAULT_PROJECT


async def check_project(commit_loop: CommitLoop, name: str) -> None:
    """Raise NotFound where nobody has made a project, by hand or with a job; InvalidRequest for what is no name."""
    check_name(name, "a project's name")
    if commit_loop.reactor.knows_project(name):
        return
    names = await commit_loop.database.read(query.project_names)
    if name not in names:
        near = did_you_mean(name, sorted(names.union(commit_loop.fleet.projects, (DEFAULT_PROJECT,))))
        there = "" if near else "opsconsole projects lists them; "
        raise NotFound(f"there is no project {name}{near} ({there}`opsconsole project set {name} --create` makes it)")


def check_person(commit_loop: CommitLoop, identities: Identities, name: str) -> None:
    """Raise NotFound for a name under which nobody came in, is invited, has submitted a job or was given a share.

    Raises InvalidRequest for what is no name.
    """
    check_name(name, "a person's name")
    names = {identities.local.actor, *identities.people()}
    names.update(one.name for one in identities.invitations(commit_loop.clock.now_ms()) if one.role is not None)
    if name not in names and not commit_loop.reactor.knows_person(name):
        raise nobody(name, names.union(commit_loop.fleet.people) - {""})


def nobody(name: str, names: Iterable[str]) -> NotFound:
    """The error for a person's name that isn't among `names`."""
    return NotFound(f"there is nobody called {name}{did_you_mean(name, sorted(names))} (opsconsole people lists them)")
