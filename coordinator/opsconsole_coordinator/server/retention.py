"""Letting go of old history: ended jobs by age, logs by their size in all. Little by little, off the hot path."""

import asyncio
import logging
import sqlite3
from dataclasses import dataclass

from opsconsole_coordinator.server.kernel import Kernel
from opsconsole_coordinator.server.log_room import LogRoom
from opsconsole_protocol.error import OpsconsoleError

log = logging.getLogger("opsconsole.coordinator.retention")

DAY_MS = 24 * 3600 * 1000
EVERY_S = 3600.0
JOBS_AT_ONCE = 100
PAUSE_S = 0.05
_TABLES = ("events", "attempts", "tasks", "jobs")


@dataclass(frozen=True, slots=True)
class Keep:
    """How much history stays: days of ended jobs, and bytes of logs in all; None keeps everything."""

    finished_days: float | None = 365
    log_bytes: int | None = 50 << 30


class Retention:
    """Looks every hour; a job goes as a whole, with its log, and never one that is live."""

    def __init__(self, kernel: Kernel, logs: LogRoom, keep: Keep) -> None:
        self._kernel = kernel
        self._logs = logs
        self._keep = keep

    async def run(self) -> None:
        """Do it for ever."""
        while True:
            try:
                await self.sweep()
            except (OpsconsoleError, OSError) as error:
                log.warning("old history stays for now: %s", error)
            await asyncio.sleep(EVERY_S)

    async def sweep(self) -> int:
        """Let go of what is too old or too much now; the number of jobs whose history or logs went."""
        gone = 0
        if self._keep.finished_days is not None:
            before_ms = self._kernel.clock.now_ms() - round(self._keep.finished_days * DAY_MS)
            while batch := await self._ended(before_ms):
                await self._delete(batch)
                gone += len(batch)
                await asyncio.sleep(PAUSE_S)
        if self._keep.log_bytes is not None:
            gone += await self._shrink_logs(self._keep.log_bytes)
        return gone

    async def _ended(self, before_ms: int) -> list[str]:
        def read(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute(
                "SELECT job_id FROM jobs WHERE is_live = 0 AND finished_at_ms < ? ORDER BY finished_at_ms LIMIT ?",
                (before_ms, JOBS_AT_ONCE),
            )
            return [row[0] for row in rows if row[0] not in self._kernel.fleet.jobs]

        return await self._kernel.database.read(read)

    async def _delete(self, jobs: list[str]) -> None:
        for job_id in jobs:
            await self._logs.delete(job_id)

        def write(connection: sqlite3.Connection) -> None:
            for table in _TABLES:
                connection.executemany(f"DELETE FROM {table} WHERE job_id = ?", [(job_id,) for job_id in jobs])

        await self._kernel.database.write(write)

    async def _shrink_logs(self, limit: int) -> int:
        """Delete the logs of the jobs that ended longest ago until the rest fits; their history stays."""
        sizes = await self._logs.usage()
        excess = sum(sizes.values()) - limit
        if excess <= 0:
            return 0

        def read(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute("SELECT job_id FROM jobs WHERE is_live = 0 ORDER BY finished_at_ms")
            return [row[0] for row in rows if row[0] in sizes]

        gone = 0
        for job_id in await self._kernel.database.read(read):
            if excess <= 0:
                break
            await self._logs.delete(job_id)
            excess -= sizes[job_id]
            gone += 1
        return gone
