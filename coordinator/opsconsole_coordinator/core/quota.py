"""What a project and a person may have at a time: whether a task more would be too much, in words."""

from collections.abc import Iterator

from opsconsole_coordinator.core.demand import Demand
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.gpu_share import counted_before
from opsconsole_coordinator.core.usage import Account, Held, KnownStandings, standing_time_ms
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


class Standings:
    """How much projects, and people in them, had and have at one time, each by its weight: the less, the sooner it is their turn.

    Each is worked out once, until something of it begins or ends, or for as long as a standing counts.
    """

    def __init__(self, fleet: Fleet, now_ms: int) -> None:
        self._fleet = fleet
        self._usage = fleet.usage
        self._at_ms = standing_time_ms(now_ms)
        self._known = fleet.usage.standings(now_ms)

    def of(self, project: str, person: str) -> tuple[float, float]:
        """That of a project, and of a person in it."""
        known = self._known.get(project)
        if known is None:
            known = self._known[project] = KnownStandings()
        whole = known.project
        if whole is None:
            whole = known.project = self._weigh(self._usage.projects.get(project), project_share(self._fleet, project))
        part = known.people.get(person)
        if part is None:
            account = self._usage.people.get((project, person))
            part = known.people[person] = self._weigh(account, person_share(self._fleet, person))
        return whole, part

    def _weigh(self, account: Account | None, share: Share) -> float:
        return 0.0 if account is None else account.standing(self._at_ms) / share.weight


def standing(fleet: Fleet, project: str, person: str, now_ms: int) -> tuple[float, float]:
    """That of one project, and a person in it."""
    return Standings(fleet, now_ms).of(project, person)


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
        return f"{name} may have {amount_words(key, most)} at a time; this needs {needs:g}"
    return f"{name} has {has:g} of the {amount_words(key, most)} that it may have at a time; this needs {needs:g}"
