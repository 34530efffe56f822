"""Results that jobs ask the coordinator to keep (`collect`): of which task, how large, and until when.

What is kept is written down by who holds it in the store of trees, `collected.ATTEMPT`, so that it survives restarts. It goes
with its job's history, and before that where all of it is too large: that of the jobs first which ended first.
"""

import logging
import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from opsconsole_coordinator.core.model import SYSTEM, OutputCopy
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.sweeper import Sweeper
from opsconsole_coordinator.server.transfer_process import TransferProcess
from opsconsole_coordinator.store import query
from opsconsole_coordinator.transfer.message import Held, Receive
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import AttemptId, ContentId, JobId, split_attempt_id
from opsconsole_protocol.quantity import size_words

log = logging.getLogger("opsconsole.coordinator.collection")

COLLECTED_HOLDER = "collected."
"""Before an attempt's id: the holder of its results."""


class Collected(NamedTuple):
    """The kept results of one attempt."""

    attempt_id: AttemptId
    job_id: JobId
    task_index: int
    number: int
    content_id: ContentId
    size_bytes: int

    @property
    def holder(self) -> str:
        """Who holds them in the store."""
        return COLLECTED_HOLDER + self.attempt_id


class Collection:
    """All kept results. `bytes_max`: how large they may be together."""

    def __init__(self, commit_loop: CommitLoop, process: TransferProcess, bytes_max: int) -> None:
        self._commit_loop = commit_loop
        self._process = process
        self._bytes_max = bytes_max
        self._by_job: dict[JobId, dict[AttemptId, Collected]] = {}
        self._lost: list[tuple[JobId, int, AttemptId]] = []
        """Kept results that turned out to be damaged, of which that hasn't been told yet."""
        self._sweeper = Sweeper(self.sweep, log, "kept results stay for now")

    @property
    def size_bytes(self) -> int:
        """Of all kept results."""
        return sum(one.size_bytes for found in self._by_job.values() for one in found.values())

    def of_task(self, job_id: JobId, index: int) -> Collected | None:
        """The kept results of a task, of its last attempt that left any."""
        found = [one for one in self._by_job.get(job_id, {}).values() if one.task_index == index]
        return max(found, key=lambda one: one.number) if found else None

    def receiving(self, attempt_id: AttemptId) -> Receive:
        """How an attempt's results are taken."""
        return Receive(content_id=None, bytes_max=self._bytes_max, holder=COLLECTED_HOLDER + attempt_id)

    def forget(self, job_ids: Iterable[str]) -> None:
        """Ended jobs are removed from the store: what is kept of them may go."""
        for job_id in job_ids:
            self._let_go(JobId(job_id))

    def on_held(self, held: Held) -> None:
        """The store has an attempt's results."""
        attempt_id = AttemptId(held.holder.removeprefix(COLLECTED_HOLDER))
        try:
            job_id, index, number = split_attempt_id(attempt_id)
        except InvalidRequest:
            self._process.unpin(held.holder)
            return
        if not held.content_ids:
            self._process.unpin(held.holder)
            self._note_lost(job_id, index, attempt_id)
            return
        found = Collected(attempt_id, job_id, index, number, held.content_ids[0], held.size_bytes)
        self._by_job.setdefault(found.job_id, {})[attempt_id] = found
        if self.size_bytes > self._bytes_max:
            self._sweeper.hurry()

    def on_removed(self, content_ids: set[ContentId]) -> None:
        """The store has some trees no longer: what was kept in them, and wasn't let go, was damaged."""
        if not content_ids:
            return
        for found in list(self._by_job.values()):
            for one in [one for one in found.values() if one.content_id in content_ids]:
                del found[one.attempt_id]
                self._process.unpin(one.holder)
                self._note_lost(one.job_id, one.task_index, one.attempt_id)

    def _note_lost(self, job_id: JobId, index: int, attempt_id: AttemptId) -> None:
        self._lost.append((job_id, index, attempt_id))
        self._sweeper.hurry()

    async def run(self) -> None:
        """Let go of what has to go, every hour and when there is too much, for ever."""
        await self._sweeper.run()

    async def sweep(self) -> None:
        """Let go of the results of jobs that were removed, and of the oldest where all are too large."""
        await self._tell_lost()
        jobs = list(self._by_job)

        def read(connection: sqlite3.Connection) -> dict[JobId, int | None]:
            return query.finished_at(connection, jobs)

        finished_ms = await self._commit_loop.database.read(read)
        for job_id in jobs:
            if job_id not in finished_ms and job_id not in self._commit_loop.fleet.jobs:
                self._let_go(job_id)
        self._shrink({job_id: at_ms for job_id, at_ms in finished_ms.items() if at_ms is not None})

    async def _tell_lost(self) -> None:
        """Have it said of results that they were damaged."""
        lost, self._lost = self._lost, []

        def read(connection: sqlite3.Connection) -> list[OutputCopy]:
            rows = [(query.output_copies(connection, job_id, index, 1).get(index), one) for job_id, index, one in lost]
            return [copy for copy, attempt_id in rows if copy is not None and copy.attempt_id == attempt_id]

        if lost:
            for copy in await self._commit_loop.database.read(read):
                self._commit_loop.reactor.on_collected_lost(copy, self._commit_loop.clock.now_ms())
            self._commit_loop.changed()

    def _shrink(self, finished_ms: dict[JobId, int]) -> None:
        gone = 0
        for job_id in sorted(finished_ms, key=lambda one: finished_ms[one]):
            if self.size_bytes <= self._bytes_max:
                break
            gone += self._let_go(job_id)
        if gone:
            tasks = "1 task" if gone == 1 else f"{gone:,} tasks"
            text = f"the kept results of {tasks} removed: all of them are to stay below {size_words(self._bytes_max)}"
            log.info(text)
            now_ms = self._commit_loop.clock.now_ms()
            self._commit_loop.reactor.on_audit(SYSTEM, EventKind.REMOVED, text, self._commit_loop.name, now_ms)
            self._commit_loop.changed()

    def _let_go(self, job_id: JobId) -> int:
        found = self._by_job.pop(job_id, {})
        for one in found.values():
            self._process.unpin(one.holder)
            self._process.remove(one.content_id)
        return len(found)
