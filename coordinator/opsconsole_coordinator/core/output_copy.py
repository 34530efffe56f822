"""Results that the coordinator wants to keep: which of them it doesn't have yet, and from which worker they can be fetched.

In memory are only those that are wanted. A copy that has come to its end is in the store alone.
"""

from collections.abc import Iterator, Mapping

from opsconsole_coordinator.core.model import Collect, OutputCopy, OutputKey, Worker
from opsconsole_protocol.ids import JobId, WorkerId

COLLECTS_AT_ONCE = 8
"""How many results are fetched at a time."""


class OutputCopies:
    """The results that are wanted, by the place where they lie."""

    def __init__(self) -> None:
        self._wanted: dict[OutputKey, OutputCopy] = {}
        self._by_place: dict[str, dict[OutputKey, OutputCopy]] = {}
        self._asked: set[OutputKey] = set()

    def __len__(self) -> int:
        return len(self._wanted)

    def __iter__(self) -> Iterator[OutputCopy]:
        """All of them, as it is now."""
        return iter(list(self._wanted.values()))

    def find(self, job_id: JobId, index: int) -> OutputCopy | None:
        """The wanted results of a task."""
        return self._wanted.get((job_id, index))

    def jobs(self) -> set[JobId]:
        """The jobs of which results are wanted."""
        return {job_id for job_id, _ in self._wanted}

    def add(self, copy: OutputCopy) -> None:
        """Want something, in the place of what was wanted of its task."""
        self.discard(copy.key)
        self._wanted[copy.key] = copy
        self._by_place.setdefault(copy.place, {})[copy.key] = copy

    def discard(self, key: OutputKey) -> OutputCopy | None:
        """Want the results of a task no longer."""
        copy = self._wanted.pop(key, None)
        if copy is not None:
            self._asked.discard(key)
            there = self._by_place[copy.place]
            del there[key]
            if not there:
                del self._by_place[copy.place]
        return copy

    def note_asked(self, copy: OutputCopy, *, is_asked: bool) -> None:
        """The shell fetches it, or doesn't any more."""
        copy.is_asked = is_asked
        if is_asked:
            self._asked.add(copy.key)
        else:
            self._asked.discard(copy.key)

    def hurry(self, worker: Worker) -> None:
        """A worker is back: what it holds isn't waited for any longer."""
        for copy in self._by_place.get(worker.output_place, {}).values():
            copy.not_before_ms = 0

    def due(self, workers: Mapping[WorkerId, Worker], now_ms: int) -> list[Collect]:
        """What can be fetched now, as far as there is room: of the worker that wrote it, or of another that sees its folder."""
        found: list[Collect] = []
        room = COLLECTS_AT_ONCE - len(self._asked)
        if room <= 0:
            return found
        for worker in workers.values():
            if not worker.is_reachable:
                continue
            for copy in self._by_place.get(worker.output_place, {}).values():
                if len(found) == room:
                    return found
                if not copy.is_asked and copy.not_before_ms <= now_ms and _can_give(worker, copy, workers):
                    found.append(Collect(copy, worker.id))
        return found


def _can_give(worker: Worker, copy: OutputCopy, workers: Mapping[WorkerId, Worker]) -> bool:
    if worker.id == copy.worker_id:
        return True
    writer = workers.get(copy.worker_id)
    if writer is not None and writer.is_reachable:
        return False
    folder = (worker.properties.get("io_paths") or {}).get("output")
    return bool(folder) and copy.output_path.startswith(f"{folder}/jobs/")
