"""The live attempts of a worker, and what they take of it together, added up only after a change."""

from typing import NamedTuple, Protocol, TypeVar

from opsconsole_protocol.gpu_load import GpuLoad
from opsconsole_protocol.ids import AttemptId


class Holder(Protocol):
    """What holds a part of a worker."""

    gpu_ids: tuple[str, ...]
    share_mb: int
    promised: dict[str, float]


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
    """Attempts by id. What an attempt takes never changes."""

    __slots__ = ("_load",)

    _load: Load | None

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
        for attempt in self.values():
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
