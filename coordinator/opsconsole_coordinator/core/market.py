"""What workers offer in one pass of the scheduler. Those that changed during the pass are asked again before they are given more."""

from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from msgspec.structs import replace

from opsconsole_coordinator.core.booking import asks_of
from opsconsole_coordinator.core.capacity import has_room
from opsconsole_coordinator.core.demand import Demand
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.judgement import Offer
from opsconsole_coordinator.core.model import Worker
from opsconsole_coordinator.core.offer import collect_offers, renew_offer
from opsconsole_coordinator.core.order import Ask, Group, Size
from opsconsole_coordinator.core.ranking import Rank, Ranking
from opsconsole_protocol.ids import WorkerId
from opsconsole_protocol.spec import Place


class Room:
    """The workers that could start one more task at once, and which of them have changed since the last pass."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        fleet.passes += 1
        self._number = fleet.passes
        self._changed: dict[WorkerId, Worker] = {}
        if fleet.all_changed:
            fleet.room = {one.id: one for one in fleet.workers.values() if _has_room(one)}
            return
        for worker_id in fleet.changed:
            if self.look_again(worker_id):
                self._changed[worker_id] = fleet.workers[worker_id]

    def __bool__(self) -> bool:
        return bool(self._fleet.room)

    @property
    def has_changed(self) -> bool:
        """Whether any worker that has changed has room."""
        return bool(self._changed)

    def look_again(self, worker_id: WorkerId) -> bool:
        """See whether a worker has room now, and return that."""
        worker = self._fleet.workers.get(worker_id)
        if worker is not None and _has_room(worker):
            self._fleet.room[worker_id] = worker
            return True
        self._fleet.room.pop(worker_id, None)
        self._changed.pop(worker_id, None)
        return False

    def is_left(self, size: Size, *, stuck: bool) -> bool:
        """Whether any of them may take a task of this size; for stuck groups only those count that have changed.

        Once none may, none will in this pass.
        """
        place = int(stuck)
        if size.closed[place] == self._number:
            return False
        for one in self._for(stuck=stuck):
            if has_room(one, size.gpus, size.capacities, size.share_mb):
                return True
        size.closed = (size.closed[0], self._number) if stuck else (self._number, self._number)
        return False

    def for_group(self, group: Group) -> list[Worker]:
        """Those that may take a task of a group: of all of them, or where all had refused it of those that changed since."""
        size = group.ask.size
        return [
            one for one in self._for(stuck=group.is_stuck) if has_room(one, size.gpus, size.capacities, size.share_mb)
        ]

    def _for(self, *, stuck: bool) -> Iterable[Worker]:
        return self._changed.values() if stuck else self._fleet.room.values()


def _has_room(worker: Worker) -> bool:
    if worker.session is None:
        return False
    return worker.slots_left() > 0 or bool(worker.live.load.gpus.shared) or has_room(worker, 1, ())


class Market:
    """The offers of one pass, by what is asked for."""

    def __init__(self, fleet: Fleet, room: Room, now_ms: int) -> None:
        self.fleet = fleet
        self.now_ms = now_ms
        self._room = room
        self._candidates: dict[tuple[object, ...], Candidates] = {}
        self._asks: list[Ask] = []
        self._changes: dict[WorkerId, int] = {}
        self._has_bound = any("project" in one.properties for one in fleet.room.values())
        """Whether some workers take jobs of one project only."""

    def candidates(self, group: Group, demand: Demand) -> "Candidates":
        """The workers that may take a task of a group, the best first."""
        is_spread = demand.spec.place is Place.SPREAD  # which depends on where the job has tasks already
        apart = demand.job_id if is_spread else None
        project = group.line.project if self._has_bound else ""
        # A group that was refused by all is shown to fewer workers than one that asks the same and wasn't.
        key = (project, id(group.ask), group.is_stuck, apart, *asks_of(self.fleet, demand))
        found = self._candidates.get(key)
        if found is None:
            self._asks.append(group.ask)  # which lives on, so that its id stays its own
            found = self._candidates[key] = Candidates(self, demand, self._offers(group, demand))
        return found

    def _offers(self, group: Group, demand: Demand) -> list[Offer]:
        if group.prefetches:
            return collect_offers(self.fleet, demand, self.now_ms)
        offers = collect_offers(self.fleet, demand, self.now_ms, self._room.for_group(group))
        if any(one.avoided for one in offers):  # whether these may accept depends on all others
            return collect_offers(self.fleet, demand, self.now_ms)
        return offers

    def note_change(self, worker_id: WorkerId) -> None:
        """A worker was given a task: its offers don't count any more, and it may be full."""
        self.note_kept(worker_id)
        self._room.look_again(worker_id)

    def note_kept(self, worker_id: WorkerId) -> None:
        """Something of a worker is kept for a job: its offers don't count any more, though as much of it is free as before."""
        self._changes[worker_id] = self.changes(worker_id) + 1

    def changes(self, worker_id: WorkerId) -> int:
        """How often a worker has changed in this pass."""
        return self._changes.get(worker_id, 0)


_ANY: Rank = ((), "")


class Candidates:
    """The workers that accept one kind of task, the best first."""

    def __init__(self, market: Market, demand: Demand, offers: Iterable[Offer]) -> None:
        self._market = market
        self._demand = demand
        self._ranking = Ranking(market.fleet, demand.spec, demand.job_id)
        self._last: Offer | None = None
        self._count = 0
        accepted = [one for one in offers if one.accepted]
        self._is_only = len(accepted) == 1
        """It makes no difference how good it is."""
        self._heap = [self._entry(one) for one in accepted]
        heapify(self._heap)

    def _entry(self, offer: Offer) -> tuple[Rank, int, int, Offer]:
        self._count += 1
        rank = _ANY if self._is_only else self._ranking.rank(offer)
        return rank, self._count, self._market.changes(offer.worker.id), offer

    def take(self) -> Offer | None:
        """The best offer as things stand now; None where no worker accepts."""
        if self._last is not None:
            self._renew(self._last)
            self._last = None
        self._renew_first()
        if not self._heap:
            return None
        best, _, _, offer = heappop(self._heap)
        self._last = offer
        self._renew_first()
        return replace(offer, because=self._ranking.because(best, self._heap[0][0] if self._heap else None))

    def _renew_first(self) -> None:
        """The first offer of the heap is as things stand now."""
        while self._heap and self._heap[0][2] != self._market.changes(self._heap[0][3].worker.id):
            self._renew(heappop(self._heap)[3])

    def _renew(self, offer: Offer) -> None:
        demand = self._demand
        if not (demand.prefetch or has_room(offer.worker, demand.gpus, demand.capacities, demand.share_mb)):
            return
        again = renew_offer(self._market.fleet, offer, self._demand, self._market.now_ms)
        if again.accepted:
            heappush(self._heap, self._entry(again))
