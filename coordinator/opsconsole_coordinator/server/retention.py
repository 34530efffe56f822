"""Removes old history in small steps: ended jobs by age and by the store's size, logs by their size in all."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

from opsconsole_coordinator.core.model import SYSTEM
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.log_service import LogService
from opsconsole_coordinator.store import removal
from opsconsole_coordinator.store.schema import analyze
from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.quantity import spell_size

log = logging.getLogger("opsconsole.coordinator.retention")

DAY_MS = 24 * 3600 * 1000
EVERY_S = 3600.0
JOBS_AT_ONCE = 20
ROWS_AT_ONCE = 1_000
"""How many rows one transaction removes: all other writes wait for it."""
EVENTS_AT_ONCE = 10_000
"""How many events one read looks at."""
PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How much history stays: days of ended jobs, bytes of the store and of logs in all; None keeps everything."""

    finished_days: float | None = 365
    log_bytes: int | None = 50 << 30
    store_bytes: int | None = 20 << 30


class Retention:
    """Looks every hour. A job is removed as a whole, with its log, and only once it has ended."""

    def __init__(self, commit_loop: CommitLoop, log_service: LogService, policy: RetentionPolicy) -> None:
        self._commit_loop = commit_loop
        self._log_service = log_service
        self.policy = policy
        self.on_removed: list[Callable[[Collection[str]], None]] = []
        """Told which jobs are removed: what is kept for them isn't needed any more."""

    async def run(self) -> None:
        """Sweep every hour, for ever."""
        while True:
            try:
                await self.sweep()
                await self._commit_loop.database.write(analyze)
            except (OpsconsoleError, OSError) as error:
                log.warning("old history stays for now: %s", error)
            await asyncio.sleep(EVERY_S)

    async def sweep(self) -> int:
        """Remove what is too old or too much now. Returns the number of jobs whose history or logs were removed."""
        await self._finish()  # what was begun before a restart
        gone = 0
        if self.policy.finished_days is not None:
            before_ms = self._commit_loop.clock.now_ms() - round(self.policy.finished_days * DAY_MS)
            gone += await self._remove_before(before_ms)
        if self.policy.store_bytes is not None:
            gone += await self._shrink_store(self.policy.store_bytes)
        if self.policy.log_bytes is not None:
            gone += await self._shrink_logs(self.policy.log_bytes)
        return gone

    async def _remove_before(self, before_ms: int) -> int:
        gone = 0
        while batch := await self._ended(before_ms):
            await self.remove(batch)
            gone += len(batch)
        await self._remove_loose_events(before_ms)
        self._audit_removal(gone, f"ended more than {self.policy.finished_days:g} days ago")
        return gone

    async def _remove_loose_events(self, before_ms: int) -> None:
        database = self._commit_loop.database
        numbers = await database.read(lambda one: removal.events_before(one, before_ms))
        for start in range(0, len(numbers), EVENTS_AT_ONCE):
            seqs = await database.read(partial(removal.loose_events, numbers=numbers[start : start + EVENTS_AT_ONCE]))
            if seqs:
                await database.write(partial(removal.remove_events, seqs=seqs))
            await asyncio.sleep(PAUSE_S)

    async def _shrink_store(self, limit: int) -> int:
        """Remove the jobs that ended longest ago until the rest fits."""
        gone = 0
        while await self._commit_loop.database.read(removal.used_bytes) > limit and (batch := await self._ended(None)):
            await self.remove(batch)
            gone += len(batch)
        self._audit_removal(gone, f"ended longest ago, and the store is to stay below {spell_size(limit)}")
        return gone

    async def _ended(self, before_ms: int | None) -> list[str]:
        found = await self._commit_loop.database.read(lambda one: removal.ended(one, before_ms, JOBS_AT_ONCE))
        return [job_id for job_id in found if job_id not in self._commit_loop.fleet.jobs]

    async def remove(self, jobs: list[str]) -> None:
        """Remove ended jobs, logs first."""
        self._commit_loop.reactor.on_jobs_removed([JobId(one) for one in jobs])
        self._commit_loop.changed()
        for job_id in jobs:
            await self._log_service.delete(job_id)
        await self._commit_loop.database.write(lambda one: removal.begin_removal(one, jobs))
        await self._finish()
        for listener in self.on_removed:
            listener(jobs)

    async def _finish(self) -> None:
        is_left = True
        while is_left:
            is_left = await self._commit_loop.database.write(lambda one: removal.continue_removal(one, ROWS_AT_ONCE))
            await asyncio.sleep(PAUSE_S)

    def _audit_removal(self, gone: int, why: str) -> None:
        if gone:
            text = f"{gone} jobs removed: they {why}"
            log.info(text)
            self._commit_loop.reactor.on_audit(
                SYSTEM, EventKind.REMOVED, text, self._commit_loop.fleet.name, self._commit_loop.clock.now_ms()
            )
            self._commit_loop.changed()

    async def _shrink_logs(self, limit: int) -> int:
        """Delete the logs of the jobs that ended longest ago until the rest fits; their history stays."""
        sizes = await self._log_service.usage()
        excess = sum(sizes.values()) - limit
        if excess <= 0:
            return 0

        def read(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute("SELECT job_id FROM jobs WHERE is_live = 0 ORDER BY finished_at_ms")
            return [row[0] for row in rows if row[0] in sizes]

        gone = 0
        for job_id in await self._commit_loop.database.read(read):
            if excess <= 0:
                break
            await self._log_service.delete(job_id)
            excess -= sizes[job_id]
            gone += 1
        if gone:
            text = f"the logs of {gone} jobs removed: all logs are to stay below {spell_size(limit)}"
            log.info(text)
            self._commit_loop.reactor.on_audit(
                SYSTEM, EventKind.REMOVED, text, self._commit_loop.fleet.name, self._commit_loop.clock.now_ms()
            )
            self._commit_loop.changed()
        return gone
