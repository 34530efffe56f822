"""Copies of checkpoints: fetched when the core says so, and kept in the store of trees while their task may go on from them.

Who holds one in the store says of which attempt it is, `checkpoint.ATTEMPT.TIME`, so that it is found again after a restart. It goes when
the task has a newer copy or has succeeded, with its job's history, and before that, where all of them are too large, with the job that
ended first.
"""

import logging
import sqlite3
from collections.abc import Iterable

from opsconsole_coordinator.core.checkpoint import CopyCheckpoint, KeptCheckpoint
from opsconsole_coordinator.core.model import Job
from opsconsole_coordinator.server.commit_loop import CommitLoop, ToldRows
from opsconsole_coordinator.server.open_stream import Party, PartyKind
from opsconsole_coordinator.server.stream_broker import StreamBroker
from opsconsole_coordinator.server.sweeper import Sweeper
from opsconsole_coordinator.server.transfer_process import TransferProcess
from opsconsole_coordinator.store import query
from opsconsole_coordinator.transfer.message import Held, Over, Receive
from opsconsole_protocol.api import EventRow, JobRow
from opsconsole_protocol.content.glob import literal
from opsconsole_protocol.error import Forbidden, InvalidRequest, LimitExceeded, NotFound, OpsconsoleError
from opsconsole_protocol.ids import AttemptId, AttemptParts, ContentId, JobId, WorkerId, split_attempt_id
from opsconsole_protocol.state import TaskState
from opsconsole_protocol.stream.message import FileRoot, ReadFiles, RootKind

log = logging.getLogger("opsconsole.coordinator.checkpoint")

CHECKPOINT_HOLDER = "checkpoint."
_FINAL = frozenset({LimitExceeded.code, InvalidRequest.code, Forbidden.code, NotFound.code})
"""Of errors that come again however often it is tried."""


def holder_of(attempt_id: AttemptId, at_ms: int) -> str:
    """Who holds the copy of the checkpoint that an attempt told of at this time."""
    return f"{CHECKPOINT_HOLDER}{attempt_id}.{at_ms}"


class CheckpointKeeper:
    """All copies. `bytes_max`: how large they may be together."""

    def __init__(self, commit_loop: CommitLoop, broker: StreamBroker, process: TransferProcess, bytes_max: int) -> None:
        self._commit_loop = commit_loop
        self._broker = broker
        self._process = process
        self._bytes_max = bytes_max
        self._by_job: dict[JobId, dict[str, Held]] = {}
        self._coming: set[str] = set()
        self._sweeper = Sweeper(self.sweep, log, "copies of checkpoints stay for now")
        commit_loop.on_checkpoints = self.copy
        commit_loop.commit_listeners.append(self)

    @property
    def size_bytes(self) -> int:
        """Of all copies."""
        return sum(one.size_bytes for found in self._by_job.values() for one in found.values())

    # --- copying -----------------------------------------------------------------------------------------------

    def copy(self, wanted: Iterable[CopyCheckpoint]) -> None:
        """Begin to copy these. Never blocks."""
        for one in wanted:
            try:
                self._begin(one)
            except OpsconsoleError as error:
                self._failed(one, error.code, error.message)

    def _begin(self, wanted: CopyCheckpoint) -> None:
        latest = wanted.latest
        worker = self._commit_loop.fleet.workers.get(WorkerId(wanted.worker_id))
        if worker is None or latest.root is None:
            raise NotFound("the worker was removed")
        root = FileRoot(
            kind=latest.root,
            job_id=wanted.job_id,
            task_index=wanted.task_index,
            attempt_id=latest.attempt_id,
            output_path=latest.output_path if latest.root is RootKind.OUTPUT else "",
        )
        holder = holder_of(latest.attempt_id, latest.checkpoint.at_ms)
        self._coming.add(holder)
        try:
            self._broker.fetch_for_store(
                Party(PartyKind.WORKER, worker.id, worker.name),
                ReadFiles(root=root, patterns=(literal(latest.below.encode("utf-8", "surrogateescape")),)),
                f"the checkpoint of job {wanted.job_id}",
                wanted.job_id,
                Receive(content_id=None, bytes_max=self._bytes_max, holder=holder),
                lambda over: self._on_over(wanted, over),
            )
        except OpsconsoleError:
            self._coming.discard(holder)
            raise

    def _on_over(self, wanted: CopyCheckpoint, over: Over) -> None:
        self._coming.discard(holder_of(wanted.latest.attempt_id, wanted.latest.checkpoint.at_ms))
        if over.error or over.content_id is None:
            self._failed(wanted, over.code, over.error or "it is empty")
            return
        now_ms = self._commit_loop.clock.now_ms()
        is_wanted = self._commit_loop.reactor.on_checkpoint_copied(wanted, over.content_id, over.size_bytes, now_ms)
        if is_wanted:
            self._commit_loop.changed()
        else:
            self._settle(wanted.job_id, self._commit_loop.fleet.jobs.get(wanted.job_id))

    def _failed(self, wanted: CopyCheckpoint, code: str, reason: str) -> None:
        now_ms = self._commit_loop.clock.now_ms()
        self._commit_loop.reactor.on_checkpoint_failed(wanted, reason, now_ms, is_final=code in _FINAL)
        self._commit_loop.changed()

    # --- what is kept ------------------------------------------------------------------------------------------

    def on_held(self, held: Held) -> None:
        """The store has a copy."""
        try:
            job_id = _saved_by(held.holder).job_id
        except InvalidRequest:
            self._process.unpin(held.holder)
            return
        if not held.content_ids:
            self._process.unpin(held.holder)
            return
        self._by_job.setdefault(job_id, {})[held.holder] = held
        if self.size_bytes > self._bytes_max:
            self._sweeper.hurry()

    def on_removed(self, content_ids: set[ContentId]) -> None:
        """The store has some trees no longer: copies among them were damaged."""
        for job_id, found in list(self._by_job.items()):
            for held in [one for one in found.values() if content_ids.intersection(one.content_ids)]:
                self._let_go(job_id, held)
                index = _saved_by(held.holder).task_index
                now_ms = self._commit_loop.clock.now_ms()
                self._commit_loop.reactor.on_checkpoint_lost(job_id, index, held.content_ids[0], now_ms)
                self._commit_loop.changed()

    def publish(self, jobs: ToldRows, workers: Iterable[WorkerId], events: list[EventRow], seq: int) -> None:
        """Take note of a committed batch: what no task goes on from any more may go."""
        del workers, events, seq
        if not self._by_job:
            return
        for job_id, row in jobs.items():
            if job_id in self._by_job:
                job = self._commit_loop.fleet.jobs.get(job_id)
                if job is not None or (isinstance(row, JobRow) and row.state == TaskState.SUCCEEDED):
                    self._settle(job_id, job)

    def _settle(self, job_id: JobId, job: Job | None) -> None:
        """Let go of all copies of a job but those from which its tasks go on, and those that are on their way."""
        needed = {_holder(task.kept) for task in job.tasks if task.kept is not None} if job is not None else set()
        for holder, held in list(self._by_job.get(job_id, {}).items()):
            if holder not in needed and holder not in self._coming:
                self._let_go(job_id, held)

    def forget(self, job_ids: Iterable[str]) -> None:
        """Ended jobs are removed from the store: their copies may go."""
        for job_id in map(JobId, job_ids):
            for held in list(self._by_job.get(job_id, {}).values()):
                self._let_go(job_id, held)

    def _let_go(self, job_id: JobId, held: Held) -> None:
        found = self._by_job[job_id]
        del found[held.holder]
        if not found:
            del self._by_job[job_id]
        self._process.unpin(held.holder)
        for content_id in held.content_ids:
            self._process.remove(content_id)

    async def run(self) -> None:
        """Let go of what has to go, every hour and when there is too much, for ever."""
        await self._sweeper.run()

    async def sweep(self) -> None:
        """Let go of the copies of jobs that were removed, and of those that ended first where all are too large."""
        jobs = [one for one in self._by_job if one not in self._commit_loop.fleet.jobs]

        def read(connection: sqlite3.Connection) -> dict[JobId, int | None]:
            return query.finished_at(connection, jobs)

        finished_ms = await self._commit_loop.database.read(read)
        self.forget(one for one in jobs if one not in finished_ms)
        for job_id in sorted((one for one in jobs if one in finished_ms), key=lambda one: finished_ms[one] or 0):
            if self.size_bytes <= self._bytes_max:
                break
            self.forget([job_id])


def _saved_by(holder: str) -> AttemptParts:
    """The attempt that saved what is held under this name. Raises InvalidRequest for a name that `holder_of` doesn't give."""
    return split_attempt_id(holder.removeprefix(CHECKPOINT_HOLDER).rpartition(".")[0])


def _holder(kept: KeptCheckpoint) -> str:
    return holder_of(kept.attempt_id, kept.checkpoint.at_ms)
