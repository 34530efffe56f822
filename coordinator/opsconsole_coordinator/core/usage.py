"""What projects and people have of the fleet: how much now, how much on each day, and how much that weighs for whose turn it is.

A task weighs as many GPUs as it has, or without any a CPUS_A_GPU-th for each CPU, from its assignment to its end. What was
had long ago weighs less: half as much after each HALF_LIFE_MS. Sums that fade evenly need no list of what they sum up.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import exp2, log

from opsconsole_coordinator.core.model import Attempt, Job
from opsconsole_coordinator.core.reserved_offer import ReservedOffer
from opsconsole_coordinator.core.usage_day import DAY_MS, UsageDay

HALF_LIFE_MS = 7 * DAY_MS
"""After this time what was had weighs half as much."""
AHEAD_MS = 3_600_000
"""What is held now weighs as if it was held for so much longer: so turns are taken while nothing has ended yet."""
CPUS_A_GPU = 16
"""A task without GPUs weighs as much as a GPU if it has this number of CPUs."""
STANDING_EVERY_MS = 1_000
"""How often it is worked out anew whose turn it is, of those who had nothing new: what fades over days is as good a second later."""
SETTLE_EVERY_MS = 60_000
"""How often what is held is added to what was had, and stored, though nothing begins or ends."""
_LOG_2 = log(2)


@dataclass(slots=True)
class Held:
    """What is held at a time."""

    tasks: int = 0
    gpus: float = 0
    """Shares of GPUs count as the part of its memory that was asked for."""
    cpus: float = 0.0
    """That were asked for: what limits count."""
    memory_mb: float = 0.0
    used_cpus: float = 0.0
    """Those too of tasks that asked for none: one each."""
    weight: float = 0.0

    def change(self, attempt: Attempt | ReservedOffer, sign: int) -> None:
        """Add an attempt or a reserved offer, or take it away."""
        asked = attempt.promised.get("cpus", 0.0)
        self.tasks += sign
        if not self.tasks:  # so that errors of rounding don't add up
            self.gpus, self.cpus, self.memory_mb, self.used_cpus, self.weight = 0, 0.0, 0.0, 0.0, 0.0
            return
        self.gpus += sign * attempt.gpus
        self.cpus += sign * asked
        self.memory_mb += sign * attempt.promised.get("memory_mb", 0.0)
        self.used_cpus += sign * (asked or 1.0)
        self.weight += sign * weight_of(attempt.gpus, asked)


def weight_of(gpus: float, cpus: float) -> float:
    """What a task weighs, in GPUs."""
    return float(gpus) if gpus else (cpus or 1.0) / CPUS_A_GPU


@dataclass(slots=True)
class Account:
    """What one project, or a person in it, has and had. `faded_ms`: what was had by `at_ms`, as it weighed then."""

    held: Held = field(default_factory=Held)
    faded_ms: float = 0.0
    at_ms: int = 0

    def settle(self, now_ms: int) -> None:
        """Add what was held since the last time."""
        self.faded_ms = self.weight_ms(now_ms)
        self.at_ms = max(self.at_ms, now_ms)

    def weight_ms(self, now_ms: int) -> float:
        """What was had until now, as it weighs now, in GPU milliseconds."""
        left = exp2(-max(0, now_ms - self.at_ms) / HALF_LIFE_MS)
        return self.faded_ms * left + self.held.weight * (1 - left) * HALF_LIFE_MS / _LOG_2

    def standing(self, now_ms: int) -> float:
        """What decides whose turn it is: that, and what is held."""
        return self.weight_ms(now_ms) + self.held.weight * AHEAD_MS


def standing_time_ms(now_ms: int) -> int:
    """The time at which standings are worked out that count now: of the same STANDING_EVERY_MS it is the same."""
    return now_ms - now_ms % STANDING_EVERY_MS


class KnownStandings:
    """Whose turn it is, as it was worked out: that of a project, and those of people in it, each by its weight."""

    __slots__ = ("people", "project")

    def __init__(self) -> None:
        self.project: float | None = None
        self.people: dict[str, float] = {}

    def forget(self, person: str) -> None:
        """Something of a person begins or ends in the project."""
        self.project = None
        self.people.pop(person, None)


_Whose = tuple[str, str]
"""A project, and a person."""


class Usage:
    """All accounts, and what became dirty of them."""

    def __init__(self) -> None:
        self.people: dict[_Whose, Account] = {}
        """Of each person in each project."""
        self.projects: dict[str, Account] = {}
        self.held_by: dict[str, Held] = {}
        """What each person holds in all projects together."""
        self._days: dict[_Whose, UsageDay] = {}
        """The last day of each account."""
        self._dirty: dict[_Whose, UsageDay] = {}
        self._settled_ms = 0
        self._standings: dict[str, KnownStandings] = {}
        self._standings_at_ms = -1

    def begin(self, job: Job, attempt: Attempt, now_ms: int) -> None:
        """An attempt gets what it asked for."""
        self._change((job.spec.project, job.submitted_by), attempt, 1, now_ms)

    def end(self, job: Job, attempt: Attempt, now_ms: int) -> None:
        """An attempt gives back what it had."""
        self._change((job.spec.project, job.submitted_by), attempt, -1, now_ms)
        self._days[job.spec.project, job.submitted_by].tasks += 1

    def reserve(self, offer: ReservedOffer, now_ms: int) -> None:
        """Somebody has chosen an offer: it counts like a task."""
        self._change((offer.project, offer.person), offer, 1, now_ms)

    def free(self, offer: ReservedOffer, now_ms: int) -> None:
        """An offer isn't reserved any more."""
        self._change((offer.project, offer.person), offer, -1, now_ms)

    @contextmanager
    def without(self, offer: ReservedOffer) -> Iterator[None]:
        """Within this context an offer that is reserved doesn't count."""
        whose = (offer.project, offer.person)
        self._hold(whose, offer, -1)
        try:
            yield
        finally:
            self._hold(whose, offer, 1)

    def _change(self, whose: _Whose, holder: Attempt | ReservedOffer, sign: int, now_ms: int) -> None:
        self._settle(whose, now_ms)
        self._hold(whose, holder, sign)

    def standings(self, now_ms: int) -> dict[str, KnownStandings]:
        """What is known of standings at a time, by project: to be added to."""
        at_ms = standing_time_ms(now_ms)
        if at_ms != self._standings_at_ms:
            self._standings, self._standings_at_ms = {}, at_ms
        return self._standings

    def forget_standings(self) -> None:
        """Somebody was given another weight."""
        self._standings_at_ms = -1

    def restore(self, days: Iterable[UsageDay]) -> None:
        """Take in what the store has, oldest first, before any attempt begins."""
        for day in days:
            whose = (day.project, day.person)
            for account in (self.people.setdefault(whose, Account()), self.projects.setdefault(day.project, Account())):
                account.settle(day.until_ms)
                account.faded_ms += day.weight_ms
            self._days[whose] = day

    def resume(self, job: Job, attempt: Attempt) -> None:
        """An attempt that the store has is there again: it counts from when its account was last added up."""
        whose = (job.spec.project, job.submitted_by)
        known = self.people.get(whose)
        from_ms = known.at_ms if known is not None and known.at_ms else attempt.assigned_at_ms
        self._accounts(whose, from_ms)
        self._hold(whose, attempt, 1)

    def _accounts(self, whose: _Whose, new_at_ms: int) -> tuple[Account, Account]:
        """That of a person in a project, and that of the project."""
        found = self.people.get(whose), self.projects.get(whose[0])
        if found[0] is not None and found[1] is not None and found[0].at_ms and found[1].at_ms:
            return found[0], found[1]
        accounts = (self.people.setdefault(whose, Account()), self.projects.setdefault(whose[0], Account()))
        for account in accounts:
            account.at_ms = account.at_ms or new_at_ms
        return accounts

    def _hold(self, whose: _Whose, attempt: Attempt | ReservedOffer, sign: int) -> None:
        project, person = whose
        known = self._standings.get(project)
        if known is not None:
            known.forget(person)
        self.people[whose].held.change(attempt, sign)
        self.projects[project].held.change(attempt, sign)
        held = self.held_by.get(person)
        if held is None:
            held = self.held_by[person] = Held()
        held.change(attempt, sign)

    def _settle(self, whose: _Whose, now_ms: int) -> None:
        """Add what an account and its project held since the last time."""
        account, whole = self._accounts(whose, now_ms)
        self._note_day(whose, account, now_ms)
        account.settle(now_ms)
        whole.settle(now_ms)

    def _note_day(self, whose: _Whose, account: Account, now_ms: int) -> None:
        number = now_ms // DAY_MS
        day = self._days.get(whose)
        if day is None or day.day != number:
            day = self._days[whose] = UsageDay(day=number, project=whose[0], person=whose[1])
        held, past_ms = account.held, max(0, now_ms - account.at_ms)
        day.gpu_ms += held.gpus * past_ms
        day.cpu_ms += held.used_cpus * past_ms
        day.weight_ms += held.weight * past_ms
        day.task_ms += held.tasks * past_ms
        day.until_ms = now_ms
        self._dirty[whose] = day

    def tick(self, now_ms: int) -> None:
        """Add up what is held, now and then."""
        if now_ms - self._settled_ms < SETTLE_EVERY_MS:
            return
        self._settled_ms = now_ms
        for whose, account in self.people.items():
            if account.held.tasks:
                self._settle(whose, now_ms)

    def unsettled(self, now_ms: int) -> list[UsageDay]:
        """What is held since it was last added up, as if that were done now; nothing is changed."""
        found: list[UsageDay] = []
        for (project, person), account in self.people.items():
            held, past_ms = account.held, max(0, now_ms - account.at_ms)
            if held.tasks and past_ms:
                found.append(
                    UsageDay(
                        day=now_ms // DAY_MS, project=project, person=person, gpu_ms=held.gpus * past_ms,
                        cpu_ms=held.used_cpus * past_ms, weight_ms=held.weight * past_ms, task_ms=held.tasks * past_ms,
                    )
                )  # fmt: skip
        return found

    def take_dirty(self) -> list[UsageDay]:
        """The days that have changed since this was last asked, to be stored."""
        found, self._dirty = list(self._dirty.values()), {}
        return found
