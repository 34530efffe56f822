"""The log store behind the event loop: one thread that appends and syncs, a few that read, and waiting readers."""

import asyncio
import contextlib
import logging
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from pathlib import Path

from msgspec.structs import replace

from opsconsole_coordinator.core.model import Attempt
from opsconsole_coordinator.log.store import LogKey, LogStore, Outcome
from opsconsole_coordinator.report.folder import ReportFolder
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.fair_semaphore import FairSemaphore
from opsconsole_coordinator.server.job_lookup import resolve
from opsconsole_coordinator.store import query
from opsconsole_protocol.api import LogAnswer, ReadLog
from opsconsole_protocol.error import NotFound, Unavailable
from opsconsole_protocol.ids import AttemptId, JobId, split_attempt_id, task_id
from opsconsole_protocol.link import LogChunk
from opsconsole_protocol.log import LogPage, Source
from opsconsole_protocol.report import Reported
from opsconsole_protocol.state import TaskState, WorkerConnection, is_task_finished

log = logging.getLogger("opsconsole.coordinator.log")

SYNC_EVERY_S = 1.0
SEAL_EVERY_S = 60.0
READERS = 2
RETRY_AFTER_S_MAX = 60.0
STEADY_AFTER_S = 5.0


def key_of(attempt_id: AttemptId) -> LogKey:
    """The log of an attempt, from the parts of its id."""
    return LogKey(*split_attempt_id(attempt_id), attempt_id)


LOG_FILES = 128
"""How many logs are kept open, where the system allows many open files."""


class LogService:
    """Appends chunks, reads pages, wakes those who wait for more."""

    def __init__(self, folder: Path, commit_loop: CommitLoop, open_files_max: int = LOG_FILES) -> None:
        self.folder = folder
        self.reports = ReportFolder(folder.with_name("reports"))
        self._store = LogStore(folder, open_files_max=open_files_max)
        self._commit_loop = commit_loop
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="log-writer")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="log-reader")
        self._waiting: dict[AttemptId, set[asyncio.Event]] = {}
        self._is_dirty = False
        self._page_reads = FairSemaphore(READERS, READERS - 1)
        self.trouble = ""
        """Why nothing can be stored at the moment; empty when all is well."""
        self._retry_after_s = SYNC_EVERY_S
        self._try_from_s = self._steady_from_s = 0.0
        self._works = asyncio.Event()
        self._works.set()

    async def recovered(self) -> None:
        """Wait until logs can be stored."""
        await self._works.wait()

    def offsets(self, attempt_id: AttemptId) -> dict[str, int]:
        """How many bytes of each source are stored. The first call reads the whole log's headers: call it on a thread."""
        offsets = {str(source): offset for source, offset in self._store.offsets(key_of(attempt_id)).items()}
        return offsets | {Source.REPORT: size} if (size := self.reports.size(attempt_id)) else offsets

    async def append(self, chunks: Sequence[LogChunk]) -> dict[tuple[str, str], int]:
        """Store chunks, and return the offset that each source has now. Raises Unavailable where the disk refuses."""
        items = [(key_of(AttemptId(chunk.attempt_id)), chunk) for chunk in chunks if chunk.source is not Source.REPORT]
        loop = asyncio.get_running_loop()
        results = await loop.run_in_executor(self._writer, self._store.append_many, items)
        self._is_dirty = True
        offsets = await self._append_reports([chunk for chunk in chunks if chunk.source is Source.REPORT])
        for result in results:
            if result.outcome is Outcome.FAILED:
                self._fail(result.error)
                raise Unavailable(result.error)
            offsets[result.key.attempt_id, str(result.source)] = result.durable_offset
        self._commit_loop.counts.log_bytes += sum(
            len(chunk.data)
            for (_, chunk), result in zip(items, results, strict=True)
            if result.outcome is Outcome.STORED
        )
        for attempt_id, _ in offsets:
            for event in self._waiting.get(AttemptId(attempt_id), ()):
                event.set()
        return offsets

    async def _append_reports(self, chunks: Sequence[LogChunk]) -> dict[tuple[str, str], int]:
        """Store what tasks report, and let the core know what it says."""
        if not chunks:
            return {}

        def append() -> dict[AttemptId, tuple[int, Reported]]:
            return {
                AttemptId(one.attempt_id): self.reports.append(
                    AttemptId(one.attempt_id), one.offset, one.data, one.at_ms
                )
                for one in chunks
            }

        try:
            stored = await asyncio.get_running_loop().run_in_executor(self._writer, append)
        except OSError as error:
            self._fail(f"reports can't be stored: {error.strerror}")
            raise Unavailable(self.trouble) from None
        for attempt_id, (_, reported) in stored.items():
            self._commit_loop.reactor.on_reported(attempt_id, reported, self._commit_loop.clock.now_ms())
        self._commit_loop.counts.log_bytes += sum(len(chunk.data) for chunk in chunks)
        return {(str(attempt_id), str(Source.REPORT)): size for attempt_id, (size, _) in stored.items()}

    async def seal_reports(self) -> None:
        """Every minute keep of the reports that are complete their points only, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SEAL_EVERY_S)
            for attempt_id in await loop.run_in_executor(self._readers, self.reports.unsealed):
                attempt = self._commit_loop.fleet.attempts.get(attempt_id)
                if attempt is None or not attempt.open:
                    with contextlib.suppress(OSError):  # tried again
                        said = await loop.run_in_executor(self._writer, self.reports.seal, attempt_id)
                        if said is not None:
                            now_ms = self._commit_loop.clock.now_ms()
                            self._commit_loop.reactor.on_reported(attempt_id, said, now_ms)
                            self._commit_loop.changed()

    async def run(self) -> None:
        """Every second make durable what was appended, or try whether a disk with a fault works again, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SYNC_EVERY_S)
            if self._is_dirty:
                self._is_dirty = False
                try:
                    await loop.run_in_executor(self._writer, self._sync)
                except OSError as error:
                    self._is_dirty = True
                    self._fail(f"logs can't be made durable: {error.strerror}")
            elif self.trouble:
                await self._try_again()

    def _sync(self) -> None:
        self._store.sync()
        self.reports.sync()

    def _fail(self, trouble: str) -> None:
        if not self.trouble:
            log.error("no log is stored until this works again: %s", trouble)
            now_s = asyncio.get_running_loop().time()
            is_again = now_s < self._steady_from_s
            self._retry_after_s = min(2 * self._retry_after_s, RETRY_AFTER_S_MAX) if is_again else SYNC_EVERY_S
            self._try_from_s = now_s + self._retry_after_s
        self.trouble = trouble
        self._works.clear()

    async def _try_again(self) -> None:
        """Try whether logs can be stored. After a failure that came soon after a recovery the next try comes later, since agents
        connect anew at each recovery."""
        if asyncio.get_running_loop().time() < self._try_from_s:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._store.probe)
        except OSError:
            return
        log.warning("logs are stored again")
        self._steady_from_s = asyncio.get_running_loop().time() + 2 * self._retry_after_s + STEADY_AFTER_S
        self.trouble = ""
        self._works.set()

    async def delete(self, job_id: str) -> None:
        """Delete all logs and reports of a job. Raises OSError."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._writer, self._store.delete, job_id)
        await loop.run_in_executor(self._writer, self.reports.delete, job_id)

    async def usage(self) -> dict[str, int]:
        """Bytes of logs and reports on disk by job."""

        def read() -> dict[str, int]:
            return dict(Counter(self._store.usage()) + Counter(self.reports.usage()))

        return await asyncio.get_running_loop().run_in_executor(self._readers, read)

    def close(self) -> None:
        """Make everything durable and end the threads."""
        self._writer.shutdown()
        self._readers.shutdown()
        try:
            self._store.close()
        except OSError as error:
            log.error("logs can't be made durable: %s", error)

    async def read(self, request: ReadLog, caller: str) -> LogAnswer:
        """A page of one attempt's log; an empty one waits up to `wait_ms` for more. Raises NotFound, LogQueryError.

        Callers are served in turn, so that one's many requests don't hold up another's one.
        """
        job_id, index = await resolve(self._commit_loop, request.id)
        index = request.task_index if request.task_index is not None else (index or 0)
        deadline = asyncio.get_running_loop().time() + request.wait_ms / 1000
        with self._commit_loop.watch([job_id]) as changed:
            note = await self._wait_for_rest(request.settle_ms, request.attempt, job_id, index, changed)
            while True:
                answer, attempt_id = await self._answer(request, caller, job_id, index)
                if note:
                    return replace(answer, page=replace(answer.page, note=note))
                is_news = answer.page.lines or answer.finished or not answer.page.end
                left_s = deadline - asyncio.get_running_loop().time()
                if is_news or left_s <= 0:
                    return answer
                with self._wait(attempt_id, changed):
                    # What came between the page and the registration is seen by the next page: look once more.
                    again, _ = await self._answer(request, caller, job_id, index)
                    if again.page.lines or again.finished:
                        return again
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(left_s):
                            await changed.wait()
                    changed.clear()

    async def settle(self, settle_ms: int, number: int | None, job_id: JobId, indices: Iterable[int]) -> None:
        """Wait, `settle_ms` at most for all, until what these tasks' attempts (None: the latest) wrote and reported is here."""
        deadline = asyncio.get_running_loop().time() + settle_ms / 1000
        with self._commit_loop.watch([job_id]) as changed:
            for index in indices:
                left_ms = round(1000 * (deadline - asyncio.get_running_loop().time()))
                await self._wait_for_rest(max(0, left_ms), number, job_id, index, changed)

    async def _wait_for_rest(
        self, settle_ms: int, number: int | None, job_id: JobId, index: int, changed: asyncio.Event
    ) -> str:
        """Wait while the attempt has ended and a part of its log is still on the way. Returns a note where the wait was too short."""
        if not settle_ms:
            return ""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settle_ms / 1000):
                while self._unsettled(number, job_id, index) is not None:
                    await changed.wait()
                    changed.clear()
        late = self._unsettled(number, job_id, index)
        return f"the end of this log isn't here yet: it is on {late.worker_name}" if late is not None else ""

    def _unsettled(self, number: int | None, job_id: JobId, index: int) -> Attempt | None:
        """The attempt (None: the latest) if it has ended and more of its log will come; such an attempt is in memory."""
        fleet = self._commit_loop.fleet
        job = fleet.jobs.get(job_id)
        if job is None or index >= len(job.tasks):
            return None
        attempt = fleet.current(job.tasks[index])
        if number is not None and (attempt is None or attempt.number != number):
            there = (fleet.attempts.get(one) for one in job.open_attempts)
            attempt = next((one for one in there if one and (one.index, one.number) == (index, number)), None)
        is_late = attempt is not None and attempt.is_finished and not self._is_over(attempt)
        return attempt if is_late else None

    @contextlib.contextmanager
    def _wait(self, attempt_id: AttemptId | None, event: asyncio.Event) -> Iterator[None]:
        if attempt_id is None:
            yield
            return
        self._waiting.setdefault(attempt_id, set()).add(event)
        try:
            yield
        finally:
            waiting = self._waiting[attempt_id]
            waiting.discard(event)
            if not waiting:
                del self._waiting[attempt_id]

    async def _answer(
        self, request: ReadLog, caller: str, job_id: JobId, index: int
    ) -> tuple[LogAnswer, AttemptId | None]:
        task_state, attempts = await self._attempts(job_id, index)
        attempt = _choose(attempts, request.attempt)
        if attempt is None:
            if request.attempt is not None:
                raise NotFound(f"{task_id(job_id, index)} has no attempt {request.attempt}: it has {len(attempts)}")
            page = LogPage(lines=(), next_cursor=request.query.cursor or "", end=True)
            return self._to_answer(job_id, index, page, None, task_state), None
        # Copied before the page is read: if the attempt ends meanwhile, the page may lack its last lines.
        before = copy(attempt)
        is_over = before.is_finished and not before.open
        loop = asyncio.get_running_loop()
        key = key_of(attempt.id)
        asked = request.query
        async with self._page_reads.acquire(caller):
            page = await loop.run_in_executor(self._readers, lambda: self._store.read(key, asked, ended=is_over))
        return self._to_answer(job_id, index, page, before, task_state), attempt.id

    def _to_answer(
        self, job_id: JobId, index: int, page: LogPage, attempt: Attempt | None, state: TaskState
    ) -> LogAnswer:
        is_over = attempt is None or self._is_over(attempt)
        return LogAnswer(
            page=page,
            task_id=task_id(job_id, index),
            attempt=attempt.number if attempt is not None else 0,
            attempt_state=str(attempt.state) if attempt is not None else str(state),
            worker=attempt.worker_name if attempt is not None else None,
            finished=is_task_finished(state) and is_over and page.end,
        )

    def _is_over(self, attempt: Attempt) -> bool:
        """Whether it has ended with its whole log stored, or on a worker that is lost or removed: then nobody waits for the rest."""
        worker = self._commit_loop.fleet.workers.get(attempt.worker_id)
        return attempt.is_finished and (
            not attempt.open or worker is None or worker.connection == WorkerConnection.LOST
        )

    async def _attempts(self, job_id: JobId, index: int) -> tuple[TaskState, list[Attempt]]:
        """The task's state and its attempts, oldest first, as committed or as they live."""
        live = self._commit_loop.fleet.jobs.get(job_id)
        if live is not None and index < len(live.tasks):
            task = live.tasks[index]
            current = self._commit_loop.fleet.current(task)
            if task.attempts <= 1 and (current is not None or not task.attempts):
                return task.state, [current] if current is not None else []

        def read(connection: sqlite3.Connection) -> tuple[TaskState | None, list[Attempt]]:
            return query.task_state(connection, job_id, index), query.attempts(connection, job_id, index, 1).get(
                index, []
            )

        state, attempts = await self._commit_loop.database.read(read)
        if state is None:
            raise NotFound(f"job {job_id} has no task {index}")
        in_memory = self._commit_loop.fleet.attempts
        return state, [in_memory.get(attempt.id, attempt) for attempt in attempts]


def _choose(attempts: list[Attempt], number: int | None) -> Attempt | None:
    if number is None:
        return attempts[-1] if attempts else None
    return next((attempt for attempt in attempts if attempt.number == number), None)
