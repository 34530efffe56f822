"""The coordinator's disk: SQLite in memory behind the real journal, and the logs. Both outlive the coordinator."""

import copy
import random
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from opsconsole_coordinator.core.batch import Batch
from opsconsole_coordinator.core.model import Attempt
from opsconsole_coordinator.core.task import Task
from opsconsole_coordinator.server.commit_loop import Session
from opsconsole_coordinator.store import journal
from opsconsole_coordinator.store.database import Database, _snapshot, _transact
from opsconsole_coordinator.store.schema import StoreError, prepare
from opsconsole_protocol.api import JobRow
from opsconsole_protocol.dependency import Dependency
from opsconsole_protocol.error import Unavailable
from opsconsole_protocol.ids import AttemptId, JobId, WorkerId
from opsconsole_protocol.link import LogChunk
from tests.simulation.virtual import Future, Loop

R = TypeVar("R")
STORE_ID = "simulated"


def _empty() -> bytes:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    prepare(connection)
    connection.execute("INSERT INTO meta VALUES ('store_id', ?)", (STORE_ID,))
    image = connection.serialize()
    connection.close()
    return image


_EMPTY = _empty()


@dataclass
class Facts:
    """What one transaction makes true, as it stood when it was handed to the journal."""

    seq: int
    tasks: list[tuple[JobId, Task]]
    attempts: list[Attempt]
    jobs: list[tuple[JobId, tuple[Dependency, ...]]]


def facts_of(batch: Batch) -> Facts:
    """A copy of a batch: its entities go on changing."""
    tasks = [(job_id, copy.copy(task)) for job_id, task in batch.tasks]
    tasks += [(job.id, copy.copy(task)) for job in batch.jobs_added for task in job.look_at_tasks()]
    return Facts(
        seq=batch.seq,
        tasks=tasks,
        attempts=[copy.copy(attempt) for attempt in batch.attempts],
        jobs=[(job.id, job.spec.dependencies) for job in batch.jobs_added],
    )


@dataclass
class Disk:
    """What a coordinator finds again after a crash; and what can go wrong with it."""

    loop: Loop
    rng: random.Random
    connection: sqlite3.Connection = field(
        default_factory=lambda: sqlite3.connect(":memory:", isolation_level=None, cached_statements=128)
    )
    logs: dict[tuple[AttemptId, str], bytearray] = field(default_factory=dict)
    commit_ms: int = 2
    fail_next: bool = False
    crash_after_next: Callable[[], None] | None = None
    pending: Facts | None = None
    on_commit: Callable[[Facts], None] = lambda _: None

    def __post_init__(self) -> None:
        self.connection.deserialize(_EMPTY)

    def backup(self) -> bytes:
        """An image of the store."""
        return self.connection.serialize()

    def restore(self, image: bytes) -> None:
        """Put an older image in its place; the logs stay."""
        self.connection.deserialize(image)


class MemoryDatabase(Database):
    """The real interface over one connection; a write takes virtual time, and can fail or never return."""

    def __init__(self, disk: Disk) -> None:
        super().__init__(Path(":memory:"))
        self._disk = disk
        self.is_dead = False

    async def write(self, transaction: Callable[[sqlite3.Connection], R]) -> R:
        """See Database."""
        disk, facts = self._disk, self._disk.pending
        disk.pending = None
        await _pause(disk.loop, disk.rng.randrange(disk.commit_ms + 1))
        if disk.fail_next:
            disk.fail_next = False
            raise StoreError("can't write: the disk is full (simulated)")
        result = _transact(disk.connection, transaction)
        if facts is not None:
            disk.on_commit(facts)
        if disk.crash_after_next is not None:
            crash, disk.crash_after_next = disk.crash_after_next, None
            crash()
            await Future[None]()
        return result

    async def read(self, query: Callable[[sqlite3.Connection], R]) -> R:
        """See Database."""
        disk = self._disk
        if disk.rng.random() < 0.3:
            await _pause(disk.loop, disk.rng.randrange(disk.commit_ms + 1))
        return _snapshot(disk.connection, query)


class NotingJournal:
    """The real journal; the facts of a batch are kept for the checkers until the transaction is through."""

    def __init__(self, disk: Disk, sessions: Mapping[WorkerId, Session]) -> None:
        self._disk = disk
        self.sessions = sessions

    async def commit(self, database: Database, batch: Batch, rows: dict[str, JobRow], **meta: str) -> None:
        """See journal.commit."""
        self._disk.pending = facts_of(batch)
        await journal.commit(database, batch, rows, **meta)


class MemoryLogs:
    """The rules of the log store: a gap is refused, what is known is skipped."""

    def __init__(self, disk: Disk, check: Callable[[LogChunk], None]) -> None:
        self._disk = disk
        self._check = check
        self.fail_next = False
        self.trouble = ""

    async def recovered(self) -> None:
        """See LogService.recovered: a disk that failed works again at once."""

    def offsets(self, attempt_id: AttemptId) -> dict[str, int]:
        """How much of each source is stored."""
        return {source: len(data) for (one, source), data in self._disk.logs.items() if one == attempt_id and data}

    async def append(self, chunks: Sequence[LogChunk]) -> dict[tuple[str, str], int]:
        """See LogService.append."""
        await _pause(self._disk.loop, self._disk.rng.randrange(self._disk.commit_ms + 1))
        if self.fail_next:
            self.fail_next = False
            raise Unavailable("the disk is full (simulated)")
        offsets: dict[tuple[str, str], int] = {}
        for chunk in chunks:
            key = (AttemptId(chunk.attempt_id), str(chunk.source))
            stored = self._disk.logs.setdefault(key, bytearray())
            if chunk.offset <= len(stored) < chunk.end:
                stored += chunk.data[len(stored) - chunk.offset :]
                self._check(chunk)
            offsets[key] = len(stored)
        return offsets


async def _pause(loop: Loop, delay_ms: int) -> None:
    future: Future[None] = Future()
    loop.at(delay_ms, future.wake)
    await future
