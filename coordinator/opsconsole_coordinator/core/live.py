"""The live attempts of a worker, and what they take of it together, added up only after a change."""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import NamedTuple, Protocol, TypeVar

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


class Load(NamedTuple):
    """What attempts take together."""

    slots: int
    with_gpus: int
    """How many of those slots tasks with GPUs have."""
    gpus: GpuLoad
    promised: dict[str, float]
    """Of the worker's `cpus` and `memory_mb`."""


class Live(dict[AttemptId, H]):
    """Attempts by id, and beside them the offers that are reserved. What an attempt takes never changes."""

    __slots__ = ("_load", "offers")

    _load: Load | None

    def __init__(self, other: Mapping[AttemptId, H] | None = None) -> None:
        """Without any, or a copy of another."""
        super().__init__(other or {})
        self.offers: dict[JobId, ReservedOffer] = dict(other.offers) if isinstance(other, Live) else {}
        """By the job that is to come."""

    def holders(self) -> Iterator[Holder]:
        """All that takes something of the worker."""
        return chain(self.values(), self.offers.values())

    def reserve(self, offer: ReservedOffer) -> None:
        """Somebody has chosen an offer."""
        self._load = None
        self.offers[offer.job_id] = offer

    def free(self, job_id: JobId) -> None:
        """An offer isn't reserved any more."""
        self._load = None
        self.offers.pop(job_id, None)

    @property
    def load(self) -> Load:
        """What they take together."""
        try:
            found = self._load
        except AttributeError:
            found = None
        if found is None:
            found = self._load = self._sum()
        return found

    def _sum(self) -> Load:
        without, gpus, promised = 0, GpuLoad(), dict[str, float]()
        for attempt in self.holders():
            if attempt.gpu_ids:
                gpus.take(attempt.gpu_ids, attempt.share_mb)
            else:
                without += 1
            for key, amount in attempt.promised.items():
                promised[key] = promised.get(key, 0) + amount
        return Load(without + gpus.slots, gpus.slots, gpus, promised)

    def __setitem__(self, key: AttemptId, attempt: H) -> None:
        self._load = None
        super().__setitem__(key, attempt)

    def __delitem__(self, key: AttemptId) -> None:
        self._load = None
        super().__delitem__(key)

    def take_out(self, key: AttemptId) -> H | None:
        """Remove an attempt and return it; None where it isn't among them."""
        self._load = None
        return super().pop(key, None)
