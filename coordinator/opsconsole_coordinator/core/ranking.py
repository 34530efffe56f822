"""Which of the workers that accept a task is the best, and why that one."""

from collections.abc import Iterable
from heapq import heapify, nsmallest

from msgspec.structs import replace

from opsconsole_coordinator.core.estimate import Estimates
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.judgement import Offer
from opsconsole_coordinator.core.model import Worker
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.spec import JobSpec, Place

FETCH_MS = 500
"""About what a worker needs until the first byte of what it lacks arrives. Where all else is equal, one that has it all is taken."""
FETCH_BYTES_A_MS = 100_000
"""About how fast it then arrives: what a network of 1 Gbit/s carries."""

Rank = tuple[tuple[float, ...], str]
Ranked = tuple[Rank, int, Offer]
"""An accepted offer with its rank, and its place in the list of all offers."""

_TIME = "expected to end first there"
_DATA = "lacks least of its data"
_OWN = "takes jobs of its project only"
_LEAST_FULL = "the least full"
_FEWEST_GPUS = "the fewest GPUs"
_WHY = {
    None: (_TIME, _OWN, _LEAST_FULL, _FEWEST_GPUS),
    Place.PACK: ("the fewest free {} that suffice", _TIME, _OWN, _FEWEST_GPUS),
    Place.SPREAD: ("the fewest tasks of the job", _LEAST_FULL, _TIME, _OWN, _FEWEST_GPUS),
}
"""What each number of a rank says of the one that is the least."""


class Ranking:
    """How workers are ranked for the tasks of one job: the lower, the better.

    By the estimated time to the end, whether other projects can use the worker, too, how full it is, how many GPUs it has, its
    name. That time is what the worker needs for what it lacks of the job's data, and then for similar tasks. Where jobs are
    packed, first by how much is free that the job asks for; where they are spread, first by how many tasks of the job are there
    and how full it is. `known`: how long they take.
    """

    def __init__(self, fleet: Fleet, spec: JobSpec, job_id: JobId | None = None) -> None:
        self.known = Estimates(fleet, spec)
        self._place = spec.place
        self._has_gpus = spec.resources.gpus_asked > 0
        self._job_id = job_id

    def rank(self, offer: Offer) -> Rank:
        """How good an offer is."""
        worker = offer.worker
        lacks = offer.lacks_bytes
        fetch_ms = 0.0 if lacks is None else FETCH_MS + lacks / FETCH_BYTES_A_MS
        time, count = round(self.known.mid_ms(worker) + fetch_ms, -2), len(worker.gpus)
        is_shared = not worker.properties.get("project")
        match self._place:
            case None:
                return (time, is_shared, worker.live.load.slots / worker.max_concurrent_jobs, count), worker.name
            case Place.PACK:
                return (_free(worker, has_gpus=self._has_gpus), time, is_shared, count), worker.name
            case Place.SPREAD:
                own = sum(one.job_id == self._job_id for one in worker.live.values())
                return (own, _fullness(worker, has_gpus=self._has_gpus), time, is_shared, count), worker.name

    def ranked(self, offers: Iterable[Offer]) -> list[Ranked]:
        """A heap of the accepted offers, the best first."""
        found = [(self.rank(offer), place, offer) for place, offer in enumerate(offers) if offer.accepted]
        heapify(found)
        return found

    def choose(self, offers: Iterable[Offer]) -> Offer | None:
        """The best of the accepted offers, with the reason; None where no worker accepts."""
        best = nsmallest(2, ((self.rank(one), place, one) for place, one in enumerate(offers) if one.accepted))
        if not best:
            return None
        return replace(best[0][2], because=self.because(best[0][0], best[1][0] if len(best) > 1 else None))

    def because(self, best: Rank, second: Rank | None) -> str:
        """Why the best offer is taken and not the second, in words."""
        if second is None:
            return "the only one that accepts"
        for ours, theirs, words in zip(best[0], second[0], _WHY[self._place], strict=True):
            if ours != theirs:
                if words is _TIME and not self.known:
                    return _DATA
                return words.format("GPUs" if self._has_gpus else "slots")
        return "the first by name of those that are as good"


def _used_gpus(worker: Worker) -> float:
    """How many of a worker's GPUs are used; one that is shared by the part of its memory that tasks were promised."""
    load = worker.live.load.gpus
    used = float(len(load.whole))
    if load.shared:
        used += sum(
            min(1.0, load.shared[gpu.uuid].memory_mb / (gpu.memory_total_mb or 1))
            for gpu in worker.gpus
            if gpu.uuid in load.shared
        )
    return used


def _free(worker: Worker, *, has_gpus: bool) -> float:
    return len(worker.gpus) - _used_gpus(worker) if has_gpus else worker.slots_left()


def _fullness(worker: Worker, *, has_gpus: bool) -> float:
    if has_gpus:
        return _used_gpus(worker) / max(1, len(worker.gpus))
    return worker.live.load.slots / worker.max_concurrent_jobs
