"""Tasks make way for a job of a higher priority band, where their project allows it.

A band is a hundred priorities: 0 to 99 is one, 100 to 199 the next. Where a job has its turn and no room, those tasks of lower
bands are looked for whose end would give it room and lose least, and leave (see leaving). What becomes free is kept for the job.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import nsmallest

from opsconsole_coordinator.core.capacity import has_room
from opsconsole_coordinator.core.demand import Demand
from opsconsole_coordinator.core.dry_run import DryRun
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.gang import living_attempts
from opsconsole_coordinator.core.leaving import attempts_on_workers, can_save, leave
from opsconsole_coordinator.core.model import Attempt, Job, Worker
from opsconsole_coordinator.core.offer import collect_offer
from opsconsole_coordinator.core.ready import next_priority, priority_of
from opsconsole_coordinator.core.reservation import keep_claims
from opsconsole_protocol.ids import JobId, WorkerId
from opsconsole_protocol.link import Mode

BAND = 100
"""How many priorities make a band."""
WORKERS_TRIED_MAX = 32
"""On how many workers it is looked at closely who could make way for one task: on those with the fewest tasks in the way."""
TASKS_AT_ONCE = 8
"""For how many tasks of a job others are told to make way at a time. A gang's are all or none."""
IN_VAIN_MS = 60_000
"""After tasks have made way for a job and it still wasn't placed, no others are told for as long."""


def band_of(priority: int) -> int:
    """The band that a priority is in."""
    return priority // BAND


@dataclass(frozen=True, slots=True, eq=False)
class _Unit:
    """What makes way together: a task, or all that lives of a gang."""

    attempts: tuple[Attempt, ...]
    loss: tuple[int, float]
    """Its band, and how much is lost with it: GPU milliseconds since its start, nothing where it can save a checkpoint."""


class Preemption:
    """Who could make way, and who does, as things stand in one pass of the scheduler."""

    def __init__(self, fleet: Fleet, now_ms: int) -> None:
        self._fleet = fleet
        self._now_ms = now_ms
        self._told: set[str] = set()

    def make_way(self, job: Job, demand: Demand, count: int) -> str:
        """Have others make way for `count` tasks of a job that have no room, and keep for it what becomes free.

        Returns that in words, and an empty text where none can. Of a gang `count` is all of its tasks, or none is given room.
        """
        band = band_of(next_priority(job))
        moving = [one for one in self._moving.get(job.id, ()) if one.id not in self._told]
        if not moving and not any(unit.loss[0] < band for units in self._units.values() for unit in units):
            return ""
        chosen: list[_Unit] = []
        may_choose = self._now_ms >= job.way_until_ms
        with DryRun(self._fleet, job, demand, self._now_ms) as trial:
            trial.leave_out([*moving, *self._ending])
            trial.claim(count)
            while may_choose and len(trial.claims) < count:
                units = self._choose(trial, demand, band, chosen)
                if not units:
                    break
                chosen += units
                before = len(trial.claims)
                trial.leave_out(attempt for unit in units for attempt in unit.attempts)
                trial.claim(count - before)
                if len(trial.claims) == before:
                    break
            if job.spec.gang and len(trial.claims) < count:
                return ""
            claims = list(trial.claims)
        if chosen:
            job.way_until_ms = self._now_ms + IN_VAIN_MS
        for unit in chosen:
            for attempt in unit.attempts:
                self._move(attempt, job)
        everyone = [*moving, *(attempt for unit in chosen for attempt in unit.attempts)]
        places = {attempt.worker_id: attempt.worker_name for attempt in everyone}
        kept = [one for one in claims if job.spec.gang or one.worker.id in places]
        if everyone:
            keep_claims(self._fleet, job, kept, has_cleared=True)
        return _words(len(everyone), sorted(set(places.values()))) if everyone else ""

    @cached_property
    def _moving(self) -> dict[JobId, list[Attempt]]:
        found: dict[JobId, list[Attempt]] = {}
        for attempt in attempts_on_workers(self._fleet):
            if attempt.is_leaving and attempt.makes_way_for is not None:
                found.setdefault(attempt.makes_way_for, []).append(attempt)
        return found

    @cached_property
    def _ending(self) -> list[Attempt]:
        """What ends by itself, and for nobody."""
        return [
            one
            for one in attempts_on_workers(self._fleet)
            if (one.want.mode is Mode.STOP or one.is_leaving) and one.makes_way_for is None
        ]

    @cached_property
    def _units(self) -> dict[WorkerId, list[_Unit]]:
        """Who may be told to make way, by worker, first those with whom least is lost."""
        found: dict[WorkerId, list[_Unit]] = {}
        projects = {name for name, project in self._fleet.projects.items() if project.preemptible}
        if not projects:
            return found
        gangs: dict[JobId, _Unit | None] = {}
        for attempt in attempts_on_workers(self._fleet):
            job = self._fleet.jobs[attempt.job_id]
            if job.spec.project not in projects:
                continue
            unit: _Unit | None
            if not job.spec.gang:
                unit = self._unit(job, [attempt])
            elif job.id in gangs:
                unit = gangs[job.id]
            else:
                unit = gangs[job.id] = self._unit(job, living_attempts(self._fleet, job))
            units = found.setdefault(attempt.worker_id, [])
            if unit is not None and unit not in units:
                units.append(unit)
        for units in found.values():
            units.sort(key=lambda unit: unit.loss)
        return found

    def _unit(self, job: Job, attempts: Sequence[Attempt]) -> _Unit | None:
        """None where one of them may not be told, or would not be run again; and where all of a gang are lost."""
        if not attempts or any(one.want.mode is not Mode.RUN for one in attempts):
            return None
        may_save = all(can_save(job, one) for one in attempts)
        if not may_save and not job.spec.max_retries_preemption:
            return None
        lost = 0.0 if may_save else sum(self._spent(one) for one in attempts)
        band = max(band_of(priority_of(job, job.tasks[one.index])) for one in attempts)
        return _Unit(tuple(attempts), (band, lost))

    def _spent(self, attempt: Attempt) -> float:
        return max(0, self._now_ms - attempt.assigned_at_ms) * (attempt.gpus or 1 / 16)

    def _choose(self, trial: DryRun, demand: Demand, band: int, chosen: Sequence[_Unit]) -> list[_Unit]:
        """Those with whom least is lost of all whose end would give a task room, on one worker; none where there are none."""
        found: list[tuple[WorkerId, list[_Unit]]] = []
        for worker_id, units in self._units.items():
            lower = [
                unit
                for unit in units
                if unit.loss[0] < band and unit not in chosen and not any(one.id in self._told for one in unit.attempts)
            ]
            if lower:
                found.append((worker_id, lower))
        best: list[_Unit] = []
        for worker_id, lower in nsmallest(WORKERS_TRIED_MAX, found, key=lambda one: (len(one[1]), one[0])):
            worker = self._fleet.workers.get(worker_id)
            enough = self._fewest(trial, worker, demand, lower) if worker is not None else []
            if enough and (not best or _loss(enough) < _loss(best)):
                best = enough
        return best

    def _fewest(self, trial: DryRun, worker: Worker, demand: Demand, units: Sequence[_Unit]) -> list[_Unit]:
        """As few as it takes of these for a task to have room on the worker; none where all of them aren't enough."""
        taken: list[_Unit] = []
        if worker.live.load.gpus.shared:  # those on one GPU may be many, and one on another enough
            taken = next(([unit] for unit in units if self._fits(trial, worker, demand, [unit])), [])
            if taken:
                return taken
        for unit in units:
            taken.append(unit)
            if self._fits(trial, worker, demand, taken):
                break
        else:
            return []
        for unit in taken[-2::-1]:
            others = [one for one in taken if one is not unit]
            if self._fits(trial, worker, demand, others):
                taken = others
        return taken

    def _fits(self, trial: DryRun, worker: Worker, demand: Demand, units: Iterable[_Unit]) -> bool:
        with trial.without([one for unit in units for one in unit.attempts]):
            return (
                has_room(worker, demand.gpus, demand.capacities, demand.share_mb)
                and collect_offer(self._fleet, worker, demand, self._now_ms).accepted
            )

    def _move(self, attempt: Attempt, job: Job) -> None:
        """Tell an attempt to make way for a job."""
        self._told.add(attempt.id)
        attempt.makes_way_for = job.id
        leave(self._fleet, attempt, f"makes way for job {job.id} of priority {next_priority(job)}", self._now_ms)


def _loss(units: Iterable[_Unit]) -> tuple[int, float]:
    """The highest band among them, and what is lost in all."""
    found = list(units)
    return max(unit.loss[0] for unit in found), sum(unit.loss[1] for unit in found)


def _words(count: int, places: Sequence[str]) -> str:
    names = ", ".join(places[:3]) + (f" and {len(places) - 3} more" if len(places) > 3 else "")
    return f"{count} task{'s make' if count > 1 else ' makes'} way for it on {names}"
