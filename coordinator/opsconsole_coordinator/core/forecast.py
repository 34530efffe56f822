"""When a worker is expected to have room: by how much longer its tasks are expected to run, and by who is ahead. Pure.

All is done three times, as if all tasks were as short, as usual, or as long as expected: so the range of what follows is
rather too wide than too narrow. Where nobody knows how long something takes that has to end before, nothing is claimed.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from heapq import heapify, heappop, heappush
from math import inf, isfinite
from typing import NamedTuple

from opsconsole_coordinator.core.capacity import fit_gpus, total
from opsconsole_coordinator.core.demand import Demand
from opsconsole_coordinator.core.model import Worker
from opsconsole_protocol.estimate import Estimate
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

    with_gpus: bool
    gpu_ids: frozenset[str]
    capacities: Mapping[str, float]


class _Host:
    """A worker from now on: what of it is free at `at_ms`, and what becomes free later. Places are taken in order."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.at_ms = 0.0
        self._slots = worker.slots_left()
        self._gpu_slots = worker.slots_left(with_gpus=True)
        self._taken = {*worker.live.load.gpus.whole, *worker.live.load.gpus.shared}
        self._promised = dict(worker.live.load.promised)
        self._ends: list[tuple[float, int, _Part]] = []
        self._count = 0

    def hold(self, end_ms: float, part: _Part) -> None:
        """Something that it has already ends then."""
        self._count += 1
        heappush(self._ends, (end_ms, self._count, part))

    def room_at(self, demand: Demand) -> float:
        """When one more has room; infinity where it never has."""
        return self.copy().wait_for_room(demand)

    def copy(self) -> "_Host":
        """One that goes on from here by itself."""
        found = copy(self)
        found._promised, found._ends = dict(self._promised), list(self._ends)  # noqa: SLF001 - of its own class
        return found

    def wait_for_room(self, demand: Demand) -> float:
        """Let as much end as it takes until one more has room, and return when that is; infinity where it never has."""
        while self._lacks(demand):
            if not self._ends:
                return inf
            end_ms, _, part = heappop(self._ends)
            self.at_ms = max(self.at_ms, end_ms)
            self._give(part, 1)
        return self.at_ms

    def take(self, demand: Demand, takes_ms: float) -> None:
        """One starts as soon as there is room."""
        start_ms = self.wait_for_room(demand)
        if not isfinite(start_ms):
            return
        free = [
            one.uuid
            for one in fit_gpus(self.worker, demand.spec.resources.gpu_memory_mb)
            if one.uuid not in self._taken
        ]
        part = _Part(demand.gpus > 0, frozenset(free[: demand.gpus]), {key: need for need, key, _ in demand.capacities})
        self._give(part, -1)
        self.hold(start_ms + takes_ms, part)

    def _give(self, part: _Part, sign: int) -> None:
        self._slots += sign
        self._gpu_slots += sign * part.with_gpus
        self._taken = self._taken - part.gpu_ids if sign > 0 else self._taken | part.gpu_ids
        for key, amount in part.capacities.items():
            self._promised[key] = self._promised.get(key, 0) - sign * amount

    def _lacks(self, demand: Demand) -> bool:
        if (self._gpu_slots if demand.gpus else self._slots) <= 0:
            return True
        if any(total(self.worker, key) - self._promised.get(key, 0) < need for need, key, _ in demand.capacities):
            return True
        fit = fit_gpus(self.worker, demand.spec.resources.gpu_memory_mb) if demand.gpus else []
        return sum(one.uuid not in self._taken for one in fit) < demand.gpus


def starts(
    workers: Iterable[Worker], demand: Demand, ends: Ends, ahead: Sequence[Waiting] = ()
) -> dict[WorkerId, Estimate]:  # fmt: skip
    """When each of these workers is expected to have room for a task, in milliseconds from now; without those of which nobody knows.

    `ahead`: what has its turn before, in order. Each of them is given to the worker that has room for it first. Of shares of GPUs,
    and of GPUs that are shared, nothing is claimed.
    """
    if demand.share_mb:
        return {}
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
    """When a worker has room for a task at the earliest, in milliseconds from now; infinity where nobody knows, or of shares of GPUs."""
    if demand.share_mb:
        return inf
    host = _Host(worker)
    _hold_live(host, ends, 0)
    return host.wait_for_room(demand)


def _hold_live(host: _Host, ends: Ends, part: int) -> None:
    for attempt in host.worker.live.values():
        # One that is shared is free with its last task only.
        gpu_ids = frozenset(() if attempt.share_mb else attempt.gpu_ids)
        host.hold(_part_of(ends.get(attempt.id), part), _Part(bool(attempt.gpu_ids), gpu_ids, attempt.promised))


def _at(
    part: int, every: Iterable[Worker], asked: Iterable[WorkerId], demand: Demand, ends: Ends, ahead: Sequence[Waiting]
) -> dict[WorkerId, float]:
    hosts = {worker.id: _Host(worker) for worker in every}
    for host in hosts.values():
        _hold_live(host, ends, part)
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
