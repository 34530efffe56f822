"""The loop around the core: gather what changed, commit it, and only then let anybody hear of it.

While one batch is being committed the core goes on and gathers the next: group commit comes by itself. When a commit
fails, nothing of its batch is released; the fleet is rebuilt from the store and every agent is asked to reconnect.
"""

import asyncio
import contextlib
import logging
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Protocol

from msgspec import Raw

from opsconsole_coordinator.core import view
from opsconsole_coordinator.core.checkpoint import CopyCheckpoint
from opsconsole_coordinator.core.model import Collect, Worker
from opsconsole_coordinator.core.reactor import TICK_MS, Batch, Fleet, Reactor
from opsconsole_coordinator.server.agent_question import AgentQuestions
from opsconsole_coordinator.server.count import Counts
from opsconsole_coordinator.server.steady_clock import SteadyClock
from opsconsole_coordinator.store import journal, query, rebuild
from opsconsole_coordinator.store.database import Database
from opsconsole_coordinator.store.journal import SMALL_BATCH_JOBS
from opsconsole_coordinator.store.schema import StoreError
from opsconsole_protocol import link
from opsconsole_protocol.api import EventRow, JobRow
from opsconsole_protocol.error import OpsconsoleError, Unavailable
from opsconsole_protocol.ids import AttemptId, JobId, SessionId, WorkerId
from opsconsole_protocol.link import ATTEMPT_LOG_BYTES

log = logging.getLogger("opsconsole.coordinator")

RETRY_AFTER_S = 1.0
GIVE_BACK_AFTER_S = 1.0
"""How long after a large batch the memory is given back that it took: another one may follow."""


class Session(Protocol):
    """A connected agent, as the commit loop reaches it."""

    id: SessionId

    def send(self, message: link.CoordinatorMessage) -> None:
        """Queue a message. Never blocks."""

    def end(self, code: str, message: str) -> None:
        """Tell the agent why, and close the connection."""


ToldRows = Mapping[JobId, JobRow | Raw]
"""Rows that were committed, of many jobs that are new encoded ones."""


class CommitListener(Protocol):
    """Whoever tells others what changed."""

    def publish(self, jobs: ToldRows, workers: Iterable[WorkerId], events: list[EventRow], seq: int) -> None:
        """Take note of a committed batch. Never blocks."""


class CommitLoop:
    """Owns the fleet and the writer. Everything here runs on one event loop."""

    def __init__(self, database: Database, name: str) -> None:
        self.database = database
        self.clock = SteadyClock()
        self.counts = Counts()
        self.name = name
        self.reactor = Reactor(Fleet(secrets.randbits))
        self.sessions: dict[WorkerId, Session] = {}
        self.commit_listeners: list[CommitListener] = []
        self.questions = AgentQuestions(self.sessions)
        """What agents are asked for operators who wait."""
        self.on_collects: Callable[[list[Collect]], None] = lambda _: None
        """Fetches results from workers, and tells the reactor what came of each. Called after the commit. Never blocks."""
        self.on_checkpoints: Callable[[list[CopyCheckpoint]], None] = lambda _: None
        """Copies checkpoints from workers, as `on_collects` fetches results."""
        self.on_stream_message: Callable[[Worker, link.AgentMessage], None] = lambda *_: None
        """Takes what an agent says about streams and contents."""
        self.on_loaded: Callable[[], None] = lambda: None
        """Called when the fleet was built from the store: it knows nothing of what isn't stored."""
        self.open_consoles: list[str] = []
        """The names of the operators whose consoles follow every change, one for each console."""
        self.attempt_log_bytes = ATTEMPT_LOG_BYTES
        self.log_offsets: Callable[[AttemptId], dict[str, int]] = lambda _: {}
        self.trouble: str = ""
        """Why nothing can be committed at the moment; empty when all is well."""
        self.shown: dict[JobId, JobRow] = {}
        """Rows of jobs that are shown beyond what is stored: with the progress that heartbeats have brought since."""
        self.committed_seq = 0
        """The number of the last committed event, which agents remember."""
        self._logs_unread: set[WorkerId] = set()
        """Workers that haven't connected since the start, so that it wasn't looked up yet how much of their logs is stored."""
        self._large_at_s = 0.0
        """When a large batch was committed, whose memory wasn't given back yet; 0: none."""
        self._fault: Exception | None = None
        self._wake = asyncio.Event()
        self._waiters: list[asyncio.Future[None]] = []
        self._job_watches: dict[JobId, set[asyncio.Event]] = {}
        self._leaving: list[tuple[AbstractSet[JobId], set[JobId]]] = []

    async def load(self) -> None:
        """Build the fleet from the store. Raises StoreError."""

        def read(connection: sqlite3.Connection) -> Fleet:
            return rebuild.load(connection, secrets.randbits, self.name, self.clock.now_ms())

        self.reactor = Reactor(await self.database.read(read), self.attempt_log_bytes, self._stored_log_offsets)
        self.shown.clear()
        self.committed_seq = self.fleet.seq
        self._logs_unread = set(self.fleet.workers)
        self.on_loaded()

    @property
    def fleet(self) -> Fleet:
        """What is in memory, to be looked at: only the reactor changes it."""
        return self.reactor.fleet

    # --- inputs ------------------------------------------------------------------------------------------------

    def changed(self) -> None:
        """Say that the fleet has changed: a batch will be committed."""
        self._wake.set()

    async def committed(self) -> None:
        """Return once everything noted so far is durable. Raises Unavailable where it can't be."""
        if self.trouble:
            raise Unavailable(f"not accepted: {self.trouble}")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(future)
        self._wake.set()
        await future

    def watch(self, jobs: Iterable[JobId]) -> "Watch":
        """An event that is set whenever one of the jobs changed; use as a context."""
        return Watch(self._job_watches, tuple(jobs))

    @contextlib.contextmanager
    def note_leaving(self, jobs: AbstractSet[JobId]) -> Iterator[set[JobId]]:
        """Those of the jobs that have left memory since, because they have ended."""
        left = set[JobId]()
        watch = jobs, left
        self._leaving.append(watch)
        try:
            yield left
        finally:
            self._leaving.remove(watch)

    # --- loops -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Commit and release for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(0)  # whoever else is ready joins this batch
            await self._run_batch()

    async def tick(self) -> None:
        """Tell the core of every TICK_MS that have passed, for ever."""
        while True:
            due_ms = self.clock.now_ms() + TICK_MS
            await asyncio.sleep(TICK_MS / 1000)
            if self._large_at_s and asyncio.get_running_loop().time() - self._large_at_s > GIVE_BACK_AFTER_S:
                self._large_at_s = 0.0
                await self.database.give_back_memory()
            if self.trouble:
                continue  # agents can't be heard meanwhile: their silence means nothing
            try:
                now_ms = self.clock.now_ms()
                if now_ms - due_ms > TICK_MS:
                    self.reactor.on_held_up(now_ms - due_ms, now_ms)
                self.reactor.on_tick(now_ms)
            except Exception as error:  # noqa: BLE001 - a mistake over one tick must not be the end of all
                self._fault = error
            if self.reactor.is_dirty or self.reactor.has_jobs_to_show or self._fault is not None:
                self.changed()

    async def _run_batch(self) -> None:
        waiters, self._waiters = self._waiters, []
        try:
            await self._advance(waiters)
        except Exception as error:  # noqa: BLE001 - a mistake over one batch must not be the end of all
            await self._recover(error, waiters)

    async def _advance(self, waiters: list[asyncio.Future[None]]) -> None:
        fleet = self.fleet
        if self._fault is not None:
            fault, self._fault = self._fault, None
            raise fault
        batch = self.reactor.take_batch(self.clock.now_ms())
        calm = batch.take_calm() if len(batch.jobs_added) > SMALL_BATCH_JOBS else frozenset[JobId]()
        rows = {job.id: view.job_row(fleet, job) for job in batch.jobs if job.id not in calm}
        # Made now and not after the commit: meanwhile the job may change in ways that aren't committed yet.
        shown = {job.id: view.job_row(fleet, job) for job in batch.jobs_shown if not job.is_finished}
        for job_id in rows:
            self.shown.pop(job_id, None)
        told: dict[JobId, JobRow | Raw] = {**rows}
        if batch.must_commit:
            began_s = asyncio.get_running_loop().time()
            texts = {str(job): row for job, row in rows.items()}
            if calm:
                told |= await journal.commit(self.database, batch, texts, partial(view.job_row, fleet))
                self._large_at_s = asyncio.get_running_loop().time()
            else:
                await journal.commit(self.database, batch, texts)
            self.counts.commits.add(asyncio.get_running_loop().time() - began_s)
            self.counts.events.update(event.kind for event in batch.events)
            self.committed_seq = batch.seq
        self._release(batch, told, shown)
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        if self.reactor.must_schedule or self.reactor.has_jobs_to_tell:
            self.changed()

    def _release(self, batch: Batch, rows: dict[JobId, JobRow | Raw], shown: dict[JobId, JobRow]) -> None:
        for worker_id, session_id, message in batch.sends:
            session = self.sessions.get(worker_id)
            if session is not None and session.id == session_id:
                session.send(message)
        for worker_id, session_id, code, text in batch.closes:
            session = self.sessions.get(worker_id)
            if session is not None and session.id == session_id:
                session.end(code, text)
        if batch.collects:
            self.on_collects(batch.collects)
        if batch.checkpoints:
            self.on_checkpoints(batch.checkpoints)
        self.reactor.on_committed(batch)
        for watched, left in self._leaving:
            left.update(job.id for job in batch.jobs if job.id in watched and job.id not in self.fleet.jobs)
        self.shown |= shown
        for listener in self.commit_listeners:
            listener.publish(rows | shown, batch.workers_shown, batch.events, batch.seq)
        for job_id in rows if self._job_watches else ():
            for event in self._job_watches.get(job_id, ()):
                event.set()

    async def _recover(self, error: Exception, waiters: list[asyncio.Future[None]]) -> None:
        """The batch is lost: forget all that isn't in the store, and let agents tell what they have."""
        self.counts.failed_commits += 1
        if isinstance(error, StoreError):
            self.trouble = str(error)
            log.error("nothing is accepted until the store works again: %s", error)
        else:
            self.trouble = "the coordinator made a mistake; its log says more. Please report it"
            log.critical("a batch is lost by a fault of our own", exc_info=error)
        for session in list(self.sessions.values()):
            session.end("unavailable", "the coordinator starts over from its store; connect again")
        self.sessions.clear()
        with contextlib.suppress(OpsconsoleError):
            await self.load()  # so that readers see what is committed
        # What was noted since this batch was taken is lost with it.
        late, self._waiters = self._waiters, []
        for waiter in (*waiters, *late):
            if not waiter.done():
                waiter.set_exception(Unavailable(f"not accepted: {self.trouble}"))
        while self.trouble:
            await asyncio.sleep(RETRY_AFTER_S)
            await self._start_over()

    async def _start_over(self) -> None:
        """Go on with the fleet as it is in the store, once the store can be written to."""
        try:
            await self.database.write(_probe)
            await self.load()  # workers get their full time to come back from now on
        except OpsconsoleError as error:
            log.error("the store still has a fault: %s", error)
            return
        self.trouble = ""
        self.changed()

    # --- agents ------------------------------------------------------------------------------------------------

    async def finished(self, observed: Iterable[link.Observed]) -> set[AttemptId]:
        """Which of the observed attempts aren't in memory but known to the store: they have ended."""
        unknown = [one.attempt_id for one in observed if one.attempt_id not in self.fleet.attempts]
        if not unknown:
            return set()
        return await self.database.read(lambda connection: query.ended(connection, unknown))

    async def register(self, session: Session, message: link.Register, name: str = "") -> None:
        """Register an agent's session. Raises VersionMismatch, Conflict or Unavailable."""
        if self.trouble:
            raise Unavailable(self.trouble)
        finished = await self.finished(message.observed)
        if self.trouble:
            raise Unavailable(self.trouble)
        await self._look_up_logs(message)
        if self.trouble:
            raise Unavailable(self.trouble)
        self.reactor.on_register(session.id, message, finished, self.clock.now_ms(), name)
        old = self.sessions.get(message.worker_id)
        if old is not None:
            old.end("conflict", "this worker has connected anew")
        self.sessions[message.worker_id] = session
        self.changed()

    async def _look_up_logs(self, message: link.Register) -> None:
        """Look up in the files how much of a worker's logs is stored: once after each start, when the worker has to be told.

        Doing it for all workers at the start would hold up everybody; here a huge log holds up its own worker only.
        """
        fleet = self.fleet
        found = [AttemptId(one.attempt_id) for one in message.observed if self.reactor.may_be_adopted(one)]
        if message.worker_id in self._logs_unread:
            worker = fleet.workers.get(message.worker_id)  # it may have been removed since
            found += [*worker.live, *worker.ended] if worker is not None else []
        if not found:
            return
        offsets = await asyncio.to_thread(lambda: {one: self._stored_log_offsets(one) for one in found})
        if fleet is not self.fleet or message.worker_id not in self._logs_unread:
            return
        self._logs_unread.discard(message.worker_id)
        self.reactor.on_logs_looked_up(offsets)

    def _stored_log_offsets(self, attempt_id: AttemptId) -> dict[str, int]:
        try:
            return self.log_offsets(attempt_id)
        except OpsconsoleError as error:
            log.error("the log of %s counts as not there: %s", attempt_id, error)
            return {}


def _probe(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('probe', hex(randomblob(8)))")


class Watch:
    """Sets `event` whenever one of the watched jobs was committed anew."""

    def __init__(self, job_watches: dict[JobId, set[asyncio.Event]], jobs: tuple[JobId, ...]) -> None:
        self._job_watches = job_watches
        self._jobs = jobs
        self.event = asyncio.Event()

    def __enter__(self) -> asyncio.Event:
        for job in self._jobs:
            self._job_watches.setdefault(job, set()).add(self.event)
        return self.event

    def __exit__(self, *args: object) -> None:
        for job in self._jobs:
            waiting = self._job_watches.get(job)
            if waiting is not None:
                waiting.discard(self.event)
                if not waiting:
                    del self._job_watches[job]
