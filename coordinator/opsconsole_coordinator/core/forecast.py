"""When a worker is expected to have room: by how much longer its tasks are expected to run, and by who is ahead. Pure.

All is done three times, as if all tasks were as short, as usual, or as long as expected: so the range of what follows is
rather too wide than too narrow. Where nobody knows how long something takes that has to end before, nothing is claimed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from heapq import heapify, heappop, heappush, nsmallest
from math import inf, isfinite
from typing import NamedTuple

from opsconsole_coordinator.core.capacity import fit_gpus, foreign_mb, total
from opsconsole_coordinator.core.demand import Demand
from opsconsole_coordinator.core.gpu_share import fit_for_share
from opsconsole_coordinator.core.model import Attempt, Worker
from opsconsole_protocol.estimate import Estimate
from opsconsole_protocol.gpu_load import GpuLoad
from opsconsole_protocol.ids import AttemptId, WorkerId

Ends = Mapping[AttemptId, Estimate | None]
"""How much longer live attempts run."""


class Waiting(NamedTuple):
    """Tasks that are ahead, all alike: how many, what one needs, which workers would take it, and how long it takes there."""

    tasks: int
    demand: Demand
    workers: Sequence[Worker]
    takes: Estimate | None


class _Part(NamedTuple):
    """What one task has of a host until it ends."""

    gpu_ids: tuple[str, ...]
    share_mb: int
    capacities: Mapping[str, float]


class _Host:
    """A worker from now on: what of it is free at `at_ms`, and what becomes free later. Places are taken in order."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.at_ms = 0.0
        self._gpus = GpuLoad()
        self._without_gpus = 0
        self._promised: dict[str, float] = {}
        self._ends: list[tuple[float, int, _Part]] = []
        self._count = 0

    def hold(self, end_ms: float, part: _Part) -> None:
        """Something has a part of it until then; infinity: nobody knows until when."""
        if part.gpu_ids:
            self._gpus.take(part.gpu_ids, part.share_mb)
        else:
            self._without_gpus += 1
        for key, amount in part.capacities.items():
            self._promised[key] = self._promised.get(key, 0) + amount
        self._count += 1
        heappush(self._ends, (end_ms, self._count, part))

    def room_at(self, demand: Demand) -> float:
        """When one more has room; infinity where it never has."""
        return self.copy().wait_for_room(demand)

    def copy(self) -> "_Host":
        """One that goes on from here by itself."""
        found = copy(self)
        found._gpus, found._promised, found._ends = self._gpus.copy(), dict(self._promised), list(self._ends)  # noqa: SLF001 - of its own class
        return found

    def wait_for_room(self, demand: Demand) -> float:
        """Let as much end as it takes until one more has room, and return when that is; infinity where it never has."""
        while self._choose(demand) is None:
            if not self._ends:
                return inf
            end_ms, _, part = heappop(self._ends)
            self.at_ms = max(self.at_ms, end_ms)
            self._give_back(part)
        return self.at_ms

    def take(self, demand: Demand, takes_ms: float) -> None:
        """One starts as soon as there is room."""
        start_ms = self.wait_for_room(demand)
        gpu_ids = self._choose(demand) if isfinite(start_ms) else None
        if gpu_ids is not None:
            capacities = {key: need for need, key in demand.capacities}
            self.hold(start_ms + takes_ms, _Part(gpu_ids, demand.share_mb, capacities))

    def _give_back(self, part: _Part) -> None:
        if part.gpu_ids:
            self._gpus.leave(part.gpu_ids, part.share_mb)
        else:
            self._without_gpus -= 1
        for key, amount in part.capacities.items():
            self._promised[key] -= amount

    def _choose(self, demand: Demand) -> tuple[str, ...] | None:
        """The GPUs that one would get now; None where it has no room."""
        if any(total(self.worker, key) - self._promised.get(key, 0) < need for need, key in demand.capacities):
            return None
        gpus, slots = self._gpus, self.worker.max_concurrent_jobs
        if not demand.gpus:
            return () if slots > self._without_gpus + gpus.slots else None
        if not demand.share_mb:
            fit = fit_gpus(self.worker, demand.spec.resources.gpu_memory_mb) if slots > gpus.slots else []
            free = tuple(one.uuid for one in fit if gpus.is_free(one.uuid))
            return free[: demand.gpus] if len(free) >= demand.gpus else None
        fit = [
            one
            for one in fit_for_share(self.worker, demand.share_mb)
            if gpus.has_room(one.uuid, demand.share_mb, (one.memory_total_mb or 0) - (foreign_mb(one) or 0))
        ]
        fit.sort(key=lambda one: one.uuid not in gpus.shared)  # those that are shared need no more slots
        chosen = tuple(one.uuid for one in fit[: demand.gpus])
        return chosen if len(chosen) == demand.gpus and gpus.slots_with(chosen) <= max(slots, gpus.slots) else None


def _host(worker: Worker, ends: Callable[[Attempt], float], reserved_ms: float) -> _Host:
    """A worker as it is now; `reserved_ms`: until when offers are reserved there."""
    host = _Host(worker)
    for attempt in worker.live.values():
        host.hold(ends(attempt), _Part(attempt.gpu_ids, attempt.share_mb, attempt.promised))
    for offer in worker.live.offers.values():
        host.hold(reserved_ms, _Part(offer.gpu_ids, offer.share_mb, offer.promised))
    return host


def starts(
    workers: Iterable[Worker], demand: Demand, ends: Ends, ahead: Sequence[Waiting] = ()
) -> dict[WorkerId, Estimate]:  # fmt: skip
    """When each of these workers is expected to have room for a task, in milliseconds from now; without those of which nobody knows.

    `ahead`: what has its turn before, in order. Each of them is given to the worker that has room for it first.
    """
    asked = {one.id: one for one in workers}
    every = asked | {one.id: one for waiting in ahead for one in waiting.workers}
    found = [_at(part, every.values(), asked, demand, ends, ahead) for part in range(3)]
    together = {worker_id: sorted(one[worker_id] for one in found) for worker_id in asked}
    return {
        worker_id: Estimate(round(low), round(mid), round(high))
        for worker_id, (low, mid, high) in together.items()
        if isfinite(high)
    }


def earliest_ms(worker: Worker, demand: Demand, ends: Ends) -> float:
    """When a worker has room for a task at the earliest, in milliseconds from now; infinity where nobody knows."""
    return _host(worker, lambda one: _part_of(ends.get(one.id), 0), inf).wait_for_room(demand)


def places_ms(workers: Iterable[Worker], demand: Demand, ends: Ends, count: int) -> int:
    """Before when these workers can't have room for `count` tasks at once, from now; 0 where that may be now, or never.

    What ends at a time that nobody knows may end now.
    """
    found: list[float] = []
    for worker in workers:
        host = _host(worker, lambda one: 0.0 if ends.get(one.id) is None else _part_of(ends[one.id], 0), 0.0)
        for _ in range(count):
            at_ms = host.wait_for_room(demand)
            if not isfinite(at_ms):
                break
            found.append(at_ms)
            host.take(demand, inf)
    return int(nsmallest(count, found)[-1]) if len(found) >= count else 0


def _at(
    part: int, every: Iterable[Worker], asked: Iterable[WorkerId], demand: Demand, ends: Ends, ahead: Sequence[Waiting]
) -> dict[WorkerId, float]:
    hosts = {worker.id: _host(worker, lambda one: _part_of(ends.get(one.id), part), inf) for worker in every}
    for waiting in ahead:
        if not waiting.workers:
            continue
        takes_ms = _part_of(waiting.takes, part)
        free = [(hosts[one.id].room_at(waiting.demand), place, one.id) for place, one in enumerate(waiting.workers)]
        heapify(free)
        for _ in range(waiting.tasks):
            at_ms, place, worker_id = free[0]
            if not isfinite(at_ms):
                break
            hosts[worker_id].take(waiting.demand, takes_ms)
            heappop(free)
            heappush(free, (hosts[worker_id].room_at(waiting.demand), place, worker_id))
    return {worker_id: hosts[worker_id].room_at(demand) for worker_id in asked}


def _part_of(estimate: Estimate | None, part: int) -> float:
    return inf if estimate is None else float((estimate.low_ms, estimate.mid_ms, estimate.high_ms)[part])
