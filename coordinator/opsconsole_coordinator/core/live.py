"""The live attempts of a worker, and what they take of it together, added up as they come and go."""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Protocol, TypeVar

from opsconsole_coordinator.core.reserved_offer import ReservedOffer
from opsconsole_protocol.gpu_load import GpuLoad
from opsconsole_protocol.ids import AttemptId, JobId


class Holder(Protocol):
    """What holds a part of a worker."""

    @property
    def job_id(self) -> JobId: ...
    @property
    def gpu_ids(self) -> tuple[str, ...]: ...
    @property
    def share_mb(self) -> int: ...
    @property
    def promised(self) -> dict[str, float]: ...


H = TypeVar("H", bound=Holder)


class Load:
    """What attempts take together."""

    __slots__ = ("_is_exact", "_without_gpus", "gpus", "promised", "slots", "with_gpus")

    def __init__(self) -> None:
        self.slots = 0
        self.with_gpus = 0
        """How many of those slots tasks with GPUs have."""
        self.gpus = GpuLoad()
        self.promised: dict[str, float] = {}
        """Of the worker's `cpus` and `memory_mb`."""
        self._without_gpus = 0
        self._is_exact = True

    def change(self, holder: Holder, sign: int) -> bool:
        """One more takes a part, or gives it back; False where that can't be told exactly: all have to be added up."""
        if holder.gpu_ids:
            (self.gpus.take if sign > 0 else self.gpus.leave)(holder.gpu_ids, holder.share_mb)
            self.with_gpus = self.gpus.slots
        else:
            self._without_gpus += sign
        self.slots = self._without_gpus + self.with_gpus
        for key, amount in holder.promised.items():
            self.promised[key] = self.promised.get(key, 0) + sign * amount
            self._is_exact = self._is_exact and amount == int(amount)
        return self._is_exact or sign > 0


class Live(dict[AttemptId, H]):
    """Attempts by id, and beside them the offers that are reserved. What an attempt takes never changes."""

    __slots__ = ("_load", "offers")

    def __init__(self, other: Mapping[AttemptId, H] | None = None) -> None:
        """Without any, or a copy of another."""
        super().__init__(other or {})
        self._load: Load | None = None
        self.offers: dict[JobId, ReservedOffer] = dict(other.offers) if isinstance(other, Live) else {}
        """By the job that is to come."""

    def holders(self) -> Iterator[Holder]:
        """All that takes something of the worker."""
        return chain(self.values(), self.offers.values())

    def reserve(self, offer: ReservedOffer) -> None:
        """Somebody has chosen an offer."""
        self.free(offer.job_id)
        self._change(offer, 1)
        self.offers[offer.job_id] = offer

    def free(self, job_id: JobId) -> None:
        """An offer isn't reserved any more."""
        offer = self.offers.pop(job_id, None)
        if offer is not None:
            self._change(offer, -1)

    @property
    def load(self) -> Load:
        """What they take together."""
        found = self._load
        if found is None:
            found = self._load = Load()
            for holder in self.holders():
                found.change(holder, 1)
        return found

    def _change(self, holder: Holder, sign: int) -> None:
        if self._load is not None and not self._load.change(holder, sign):
            self._load = None

    def __setitem__(self, key: AttemptId, attempt: H) -> None:
        if key in self:
            self._load = None
        else:
            self._change(attempt, 1)
        super().__setitem__(key, attempt)

    def __delitem__(self, key: AttemptId) -> None:
        self._change(self[key], -1)
        super().__delitem__(key)

    def take_out(self, key: AttemptId) -> H | None:
        """Remove an attempt and return it; None where it isn't among them."""
        found = super().pop(key, None)
        if found is not None:
            self._change(found, -1)
        return found
