"""Which GPUs of a worker tasks have for themselves, and which they share by memory. Coordinator and agent both count by this."""

from collections.abc import Iterable
from typing import NamedTuple

SHARERS_MAX = 48
"""How many tasks share one GPU at most. Each has a context of its own on it, whatever it computes."""
GPU_SHARING = "gpu_sharing"
"""The property of a worker whose agent counts shares. An older one would let a task wait until it has the GPU for itself."""


class Shared(NamedTuple):
    """How many tasks share a GPU, and how much of its memory they were promised together, in MiB."""

    tasks: int
    memory_mb: int


NOT_SHARED = Shared(0, 0)


class GpuLoad:
    """What tasks hold of a worker's GPUs.

    A task that has GPUs for itself takes one slot. Those that share take together as many as GPUs are shared, and no more than
    there are of them: so what a worker has slots for as whole GPUs it has slots for as shares.
    """

    __slots__ = ("_sharing", "_whole_tasks", "shared", "whole")

    def __init__(self) -> None:
        self.whole: dict[str, int] = {}
        """Those that tasks have for themselves; by more than one only where more were found alive than should be."""
        self.shared: dict[str, Shared] = {}
        self._whole_tasks = self._sharing = 0

    def copy(self) -> "GpuLoad":
        """One that goes on from here by itself."""
        found = GpuLoad()
        found.whole, found.shared = dict(self.whole), dict(self.shared)
        found._whole_tasks, found._sharing = self._whole_tasks, self._sharing
        return found

    def take(self, gpu_ids: Iterable[str], share_mb: int = 0) -> None:
        """A task gets GPUs, or a part of each one's memory."""
        if not gpu_ids:
            return
        if not share_mb:
            self._whole_tasks += 1
            for gpu_id in gpu_ids:
                self.whole[gpu_id] = self.whole.get(gpu_id, 0) + 1
            return
        self._sharing += 1
        for gpu_id in gpu_ids:
            before = self.shared.get(gpu_id, NOT_SHARED)
            self.shared[gpu_id] = Shared(before.tasks + 1, before.memory_mb + share_mb)

    def leave(self, gpu_ids: Iterable[str], share_mb: int = 0) -> None:
        """A task gives back what it took."""
        if not gpu_ids:
            return
        if not share_mb:
            self._whole_tasks -= 1
            for gpu_id in gpu_ids:
                self.whole[gpu_id] -= 1
                if not self.whole[gpu_id]:
                    del self.whole[gpu_id]
            return
        self._sharing -= 1
        for gpu_id in gpu_ids:
            before = self.shared.pop(gpu_id)
            if before.tasks > 1:
                self.shared[gpu_id] = Shared(before.tasks - 1, before.memory_mb - share_mb)

    @property
    def slots(self) -> int:
        """How many slots the tasks take together."""
        return self._whole_tasks + min(self._sharing, len(self.shared))

    def slots_with(self, gpu_ids: Iterable[str]) -> int:
        """How many slots they would take with one more that shares these."""
        return self._whole_tasks + min(self._sharing + 1, len(self.shared.keys() | set(gpu_ids)))

    def is_free(self, gpu_id: str) -> bool:
        """Whether nobody has any of a GPU."""
        return gpu_id not in self.whole and gpu_id not in self.shared

    def has_room(self, gpu_id: str, share_mb: int, room_mb: float) -> bool:
        """Whether a GPU may be given to one more; for one that shares, where `room_mb` are for all of those that share it."""
        if not share_mb:
            return self.is_free(gpu_id)
        tasks, memory_mb = self.shared.get(gpu_id, NOT_SHARED)
        return gpu_id not in self.whole and tasks < SHARERS_MAX and memory_mb + share_mb <= room_mb
