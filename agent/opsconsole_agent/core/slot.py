"""Slots and GPUs: which attempts have them, which wait for them, and for what."""

from collections import OrderedDict
from typing import NamedTuple

from opsconsole_protocol.gpu_load import GpuLoad
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Launch

_ANY = float("inf")


class Claim(NamedTuple):
    """What an attempt takes of GPUs: those that it has for itself, or a part of the memory of each."""

    gpu_ids: tuple[str, ...] = ()
    share_mb: int = 0
    sizes_mb: tuple[int, ...] = ()
    """How much memory each has in all, 0 where that isn't known: what all who share it may have together."""

    def fits(self, load: GpuLoad) -> bool:
        """Whether it may have them beside what others have."""
        return not any(self.lacks(load, place) for place in range(len(self.gpu_ids)))

    def lacks(self, load: GpuLoad, place: int) -> bool:
        """Whether others have too much of one of its GPUs."""
        size_mb = (self.sizes_mb[place] if place < len(self.sizes_mb) else 0) or _ANY
        return not load.has_room(self.gpu_ids[place], self.share_mb, size_mb)


NO_GPUS = Claim()


def claim_of(launch: Launch | None) -> Claim:
    """What an attempt takes by its launch; nothing is known of one without."""
    if launch is None or not launch.gpu_ids:
        return NO_GPUS
    return Claim(launch.gpu_ids, launch.resources.share_mb, launch.gpu_sizes_mb)


class Slots:
    """Who has a slot and GPUs. They are given in the order of asking, but an attempt whose GPUs are taken holds up no other.

    A GPU belongs to one attempt at a time, or to several that share it by memory. At most `limit` slots are given to attempts with
    GPUs, counted as GpuLoad does; one without GPUs is given a slot only where fewer than `limit` are taken in all. One with GPUs
    doesn't wait for those without: a GPU shall not idle over that.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._taken: dict[AttemptId, Claim] = {}
        self._load = GpuLoad()
        self._without = 0
        self._waiting_with_gpus = 0
        self._queue: OrderedDict[AttemptId, Claim] = OrderedDict()

    @property
    def taken(self) -> frozenset[AttemptId]:
        """The attempts that have a slot."""
        return frozenset(self._taken)

    @property
    def has_waiting(self) -> bool:
        """Whether an attempt waits for a slot."""
        return bool(self._queue)

    def holds(self, attempt_id: AttemptId) -> bool:
        """Whether this attempt has a slot."""
        return attempt_id in self._taken

    def take(self, attempt_id: AttemptId, claim: Claim) -> None:
        """Give it a slot and its GPUs, whether or not they are free: it was found alive, or admitted."""
        self.leave(attempt_id)
        self._taken[attempt_id] = claim
        self._without += not claim.gpu_ids
        self._load.take(claim.gpu_ids, claim.share_mb)

    def enqueue(self, attempt_id: AttemptId, claim: Claim) -> None:
        """Let it wait behind all others. Nothing changes for one that waits already."""
        if attempt_id not in self._queue:
            self._queue[attempt_id] = claim
            self._waiting_with_gpus += bool(claim.gpu_ids)

    def leave(self, attempt_id: AttemptId) -> None:
        """Take it out of the queue, and give back whatever it has."""
        self._waiting_with_gpus -= bool(self._queue.pop(attempt_id, NO_GPUS).gpu_ids)
        given = self._taken.pop(attempt_id, None)
        if given is not None:
            self._without -= not given.gpu_ids
            self._load.leave(given.gpu_ids, given.share_mb)

    def admit(self) -> tuple[list[AttemptId], list[AttemptId]]:
        """Give slots to all that can have them now; returns those, in order, and those that were passed over for want of a GPU."""
        admitted: list[AttemptId] = []
        passed: list[AttemptId] = []
        if not self._waiting_with_gpus and self._is_full(NO_GPUS):
            return admitted, passed
        for attempt_id, claim in list(self._queue.items()):
            if not self._waiting_with_gpus and self._is_full(NO_GPUS):
                break
            if self._is_full(claim):
                continue
            if not claim.fits(self._load):
                passed.append(attempt_id)
                continue
            self.take(attempt_id, claim)
            admitted.append(attempt_id)
        return admitted, passed

    def _is_full(self, claim: Claim) -> bool:
        """Whether no slot is left for it. One that joins others on GPUs that are shared may take none."""
        load = self._load
        if not claim.gpu_ids:
            return self._without + load.slots >= self.limit
        if claim.share_mb:
            return load.slots < load.slots_with(claim.gpu_ids) > self.limit
        return load.slots >= self.limit

    def obstacle(self, claim: Claim) -> str:
        """What an attempt with these GPUs waits for, in words."""
        if self._is_full(claim):
            return f"waiting for a slot: max_concurrent_jobs is {self.limit}"
        for place, gpu_id in enumerate(claim.gpu_ids):
            if claim.lacks(self._load, place):
                has = [one for one, taken in self._taken.items() if gpu_id in taken.gpu_ids]
                return f"waiting for GPU {gpu_id}: {' and '.join(has)} {'have' if len(has) > 1 else 'has'} it"
        return "waiting for its turn"
