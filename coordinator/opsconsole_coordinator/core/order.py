"""The order of waiting jobs: higher priority first, then first come."""

from bisect import bisect_left, insort
from collections.abc import Iterator

from opsconsole_coordinator.core.model import Job
from opsconsole_protocol.ids import JobId

_Key = tuple[int, int, JobId]


class Order:
    """The jobs that have pending tasks, in order."""

    def __init__(self) -> None:
        self._keys: list[_Key] = []
        self._by_job: dict[JobId, _Key] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[JobId]:
        """The jobs' ids in order, as it is now: changes during the iteration don't show in it."""
        return iter([key[2] for key in self._keys])

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._by_job

    def add(self, job: Job) -> None:
        """Insert a job, or move it to where its present priority belongs."""
        key = (-job.priority, job.seq, job.id)
        if self._by_job.get(job.id) == key:
            return
        self.discard(job)
        insort(self._keys, key)
        self._by_job[job.id] = key

    def discard(self, job: Job) -> None:
        """Remove a job, if it is there."""
        key = self._by_job.pop(job.id, None)
        if key is not None:
            del self._keys[bisect_left(self._keys, key)]
