"""Who had and has what of the fleet, and whose turn is next, as people and scripts see it."""

from collections.abc import Iterable

from opsconsole_coordinator.core.estimate import errors
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.quota import person_share, project_share, standing
from opsconsole_coordinator.core.usage import HALF_LIFE_MS, Account
from opsconsole_coordinator.core.usage_day import DAY_MS, UsageDay
from opsconsole_protocol.api import LineRow, UsageAnswer, UsageRow

LINES_MAX = 1_000
USAGE_ROWS_MAX = 1_000
ESTIMATES_MAX = 100


def usage_answer(fleet: Fleet, stored: Iterable[UsageDay], days: int, now_ms: int) -> UsageAnswer:
    """What was had in the last `days`, today included. `stored`: what the store has of them; what is held is added up to now."""
    first = now_ms // DAY_MS - days + 1
    found: dict[tuple[str, str], UsageDay] = {}
    for day in [*stored, *fleet.usage.unsettled(now_ms)]:
        if day.day >= first:
            _add(found.setdefault((day.project, day.person), _nothing(day)), day)
    for project, person in fleet.usage.people:
        found.setdefault((project, person), UsageDay(day=first, project=project, person=person))
    rows = [_row(fleet, day, now_ms) for day in found.values()]
    shown = [row for row in rows if row.task_ms or row.tasks_now or row.weight_ms]
    shown.sort(key=lambda row: (not row.tasks_now, *_most(row)))  # who holds something is told in any case
    told = sorted(shown[:USAGE_ROWS_MAX], key=_most)
    return UsageAnswer(
        from_ms=first * DAY_MS,
        half_life_ms=HALF_LIFE_MS,
        rows=tuple(told),
        lines=tuple(_lines(fleet, now_ms)),
        left_out=len(shown) - len(told),
        estimates=errors(fleet, ESTIMATES_MAX),
    )


def _most(row: UsageRow) -> tuple[object, ...]:
    return -row.gpu_ms, -row.task_ms, row.project, row.person


def _nothing(day: UsageDay) -> UsageDay:
    return UsageDay(day=day.day, project=day.project, person=day.person)


def _add(into: UsageDay, day: UsageDay) -> None:
    into.gpu_ms += day.gpu_ms
    into.cpu_ms += day.cpu_ms
    into.task_ms += day.task_ms
    into.tasks += day.tasks


def _row(fleet: Fleet, day: UsageDay, now_ms: int) -> UsageRow:
    account = fleet.usage.people.get((day.project, day.person)) or Account()
    project, person = project_share(fleet, day.project), person_share(fleet, day.person)
    return UsageRow(
        project=day.project,
        person=day.person,
        gpu_ms=round(day.gpu_ms),
        cpu_ms=round(day.cpu_ms),
        task_ms=round(day.task_ms),
        tasks=day.tasks,
        tasks_now=account.held.tasks,
        gpus_now=account.held.gpus,
        cpus_now=account.held.used_cpus,
        weight_ms=round(account.weight_ms(now_ms)),
        project_weight=project.weight,
        person_weight=person.weight,
        project_limits=project.limits,
        person_limits=person.limits,
        cpus_asked_now=account.held.cpus,
        memory_mb_now=account.held.memory_mb,
    )


def _lines(fleet: Fleet, now_ms: int) -> list[LineRow]:
    found: list[tuple[tuple[object, ...], LineRow]] = []
    for line in fleet.order.lines:
        first = min(line.groups, key=lambda group: group.jobs[0])
        project_ms, person_ms = standing(fleet, line.project, line.person, now_ms)
        row = LineRow(
            priority=line.priority,
            project=line.project,
            person=line.person,
            jobs=sum(len(group.jobs) for group in line.groups),
            first_job=first.head,
            project_standing_ms=round(project_ms),
            person_standing_ms=round(person_ms),
            reason=fleet.jobs[first.head].reason,
        )
        found.append(((-line.priority, project_ms, person_ms, first.jobs[0]), row))
    return [row for _, row in sorted(found, key=lambda one: one[0])[:LINES_MAX]]
