"""What a project and a person may have at a time: whether a task more would be too much, in words."""

from collections.abc import Iterator

from opsconsole_coordinator.core.demand import Demand
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.gpu_share import counted_before
from opsconsole_coordinator.core.usage import Account, Held
from opsconsole_protocol.share import EQUAL_SHARE, NO_LIMITS, Limits, Share, amount_words

_ROUNDING = 1e-6
"""Three thirds of a GPU are one."""


def project_share(fleet: Fleet, name: str) -> Share:
    """What a project was given."""
    project = fleet.projects.get(name)
    return EQUAL_SHARE if project is None else project.share


def person_share(fleet: Fleet, name: str) -> Share:
    """What a person was given."""
    return fleet.people.get(name, EQUAL_SHARE)


def standing(fleet: Fleet, project: str, person: str, now_ms: int) -> tuple[float, float]:
    """How much a project, and a person in it, had and have, each by its weight: the less, the sooner it is their turn."""
    usage = fleet.usage
    whole, part = usage.projects.get(project), usage.people.get((project, person))
    return (
        _standing(whole, now_ms) / project_share(fleet, project).weight,
        _standing(part, now_ms) / person_share(fleet, person).weight,
    )


def _standing(account: Account | None, now_ms: int) -> float:
    return 0.0 if account is None else account.standing(now_ms)


def refusal(fleet: Fleet, project: str, person: str, demand: Demand, count: int = 1) -> str:
    """Why `count` tasks more would be more than the project or the person may have; empty where they wouldn't."""
    for name, limits, held in _holders(fleet, project, person):
        for key, has, needs in (
            ("tasks", held.tasks, 1),
            ("gpus", held.gpus, counted_before(fleet, demand) if limits.gpus is not None else 0),
            ("cpus", held.cpus, demand.spec.resources.cpus),
            ("memory_mb", held.memory_mb, demand.spec.resources.memory_mb),
        ):
            most: int | None = getattr(limits, key)
            if most is not None and needs and has + count * needs > most + _ROUNDING:
                return _words(name, key, has, count * needs, most)
    return ""


def _holders(fleet: Fleet, project: str, person: str) -> Iterator[tuple[str, Limits, Held]]:
    if (limits := project_share(fleet, project).limits) is not NO_LIMITS:
        account = fleet.usage.projects.get(project)
        yield f"project {project}", limits, Held() if account is None else account.held
    if (limits := person_share(fleet, person).limits) is not NO_LIMITS:
        yield person, limits, fleet.usage.held_by.get(person) or Held()


def _words(name: str, key: str, has: float, needs: float, most: int) -> str:
    if needs > most:
        return f"needs {amount_words(key, needs)}; {name} may have {most} at a time"
    return f"{name} has {has:g} of the {amount_words(key, most)} that it may have at a time; this needs {needs:g}"
