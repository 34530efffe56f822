"""One agent's connection: messages in, desired state out, log bytes to the store."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from itertools import count
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace
from starlette.websockets import WebSocket

from opsconsole_coordinator.core import view
from opsconsole_coordinator.core.model import Worker
from opsconsole_coordinator.core.reactor import Reactor
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.log_limit import within
from opsconsole_coordinator.server.log_service import LogService
from opsconsole_coordinator.server.outbox import Closed, Outbox, receive
from opsconsole_protocol import codec, link
from opsconsole_protocol.bound import TIME_MS_MAX
from opsconsole_protocol.error import OpsconsoleError, ProtocolError
from opsconsole_protocol.ids import AttemptId, SessionId, WorkerId
from opsconsole_protocol.link import SILENT_AFTER_MS, Frame, LogChunk, decode_frame
from opsconsole_protocol.link.codec import coordinator_codec

log = logging.getLogger("opsconsole.coordinator.agent")

AGENT_OUTBOX_MAX = 20_000
CHUNKS_MAX = 64
REGISTER_TIMEOUT_S = 10.0
DEAD_AFTER_MS = 2 * SILENT_AFTER_MS
_numbers = count(1)


class AgentSession:
    """Lives as long as its websocket. `worker_id` was authenticated; the first message must be `register`."""

    def __init__(
        self,
        socket: WebSocket,
        commit_loop: CommitLoop,
        log_service: LogService,
        worker_id: WorkerId,
        name: str = "",
        tags: tuple[str, ...] = (),
    ) -> None:
        self.id = SessionId(next(_numbers))
        self._socket = socket
        self._commit_loop = commit_loop
        self._log_service = log_service
        self._worker_id = worker_id
        self._name = name
        self._tags = tags
        self._codec = coordinator_codec()
        self._outbox = Outbox(socket, self._codec.encode, AGENT_OUTBOX_MAX, self._send_desired)
        self._chunks: asyncio.Queue[LogChunk] = asyncio.Queue(CHUNKS_MAX)
        self._has_dropped = asyncio.Event()
        """Set once log bytes came that couldn't be stored: the agent has to send them again."""
        self._is_registered = False
        self._is_ended = False

    def send(self, message: link.CoordinatorMessage) -> None:
        """Queue a message. Never blocks."""
        self._outbox.put(message)

    def end(self, code: str, message: str) -> None:
        """Tell the agent why, and close the connection."""
        if not self._is_ended:
            self._is_ended = True
            self._outbox.end(link.PeerError(code=code, message=message))

    async def run(self) -> None:
        """Serve the connection to its end."""
        sender = asyncio.create_task(self._outbox.run(), name=f"send to {self._worker_id}")
        storer = asyncio.create_task(self._store_logs(), name=f"logs of {self._worker_id}")
        receiver = asyncio.create_task(self._receive(), name=f"receive from {self._worker_id}")
        watcher = asyncio.create_task(self._end_when_silent(), name=f"watch {self._worker_id}")
        asker = asyncio.create_task(self._reconnect_once_logs_work(), name=f"ask {self._worker_id} again")
        tasks = (sender, storer, receiver, watcher, asker)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if self._is_ended:
                await asyncio.wait((sender,), timeout=2)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            worker = self._commit_loop.fleet.workers.get(self._worker_id)
            if worker is not None:
                self._commit_loop.reactor.on_disconnected(worker, self.id)
                self._commit_loop.changed()
            if self._commit_loop.sessions.get(self._worker_id) is self:
                del self._commit_loop.sessions[self._worker_id]

    async def _receive(self) -> None:
        try:
            async with asyncio.timeout(REGISTER_TIMEOUT_S):
                frame = await receive(self._socket)
            await self._register(frame)
            while not self._is_ended:
                await self._handle_frame(await receive(self._socket))
        except Closed:
            return
        except TimeoutError:
            self.end("protocol", "nothing was registered in time: is this an opsconsole agent?")
        except OpsconsoleError as error:
            self.end(error.code, str(error))
        except Exception:
            log.exception("a message of %s was too much for us", self._worker_id)
            self.end("internal", "the coordinator made a mistake over this; its log says more. Please report it")

    async def _register(self, frame: bytes) -> None:
        match self._codec.decode(frame):
            case [link.Register() as message]:
                if message.worker_id != self._worker_id:
                    raise ProtocolError("the registered worker id isn't the authenticated one")
                tags = tuple(dict.fromkeys((*message.tags, *self._tags)))
                await self._commit_loop.register(self, msgspec.structs.replace(message, tags=tags), self._name)
                self._is_registered = True
            case _:
                raise ProtocolError("the first message has to be `register`, alone")

    async def _handle_frame(self, frame: bytes) -> None:
        if not codec.is_batch(frame):
            received = decode_frame(frame)
            await FRAMES[type(received)](self, received)
            return
        try:
            messages = self._codec.decode(frame)
        except ProtocolError as error:
            # The peer is told and goes on: what it wanted to say is still a difference that it repeats.
            self.send(link.PeerError(code=error.code, message=str(error)))
            return
        for message in messages:
            handling = MESSAGES[type(message)]
            finished = await self._commit_loop.finished(handling.attempts(message))
            worker = self._worker()  # after the wait: this may no longer be its session
            if worker is None:
                return
            handling.handle(self, Received(worker, message, finished, self._commit_loop.clock.now_ms()))
        if any(MESSAGES[type(message)].is_change for message in messages):
            self._commit_loop.changed()

    def _worker(self) -> Worker | None:
        """The worker, while this is its present session."""
        worker = self._commit_loop.fleet.workers.get(self._worker_id)
        return worker if worker is not None and worker.session == self.id else None

    # --- messages ----------------------------------------------------------------------------------------------

    def on_register(self, received: "Received") -> None:
        """It has registered before."""
        del received
        self.send(link.PeerError(code="protocol", message="already registered: reconnect to register anew"))

    def on_report(self, received: "Received") -> None:
        self._reactor.on_report(received.worker, received.message, received.finished, received.now_ms)

    def on_observation(self, received: "Received") -> None:
        self._reactor.on_observation(received.worker, received.message, received.finished, received.now_ms)

    def on_heartbeat(self, received: "Received") -> None:
        """Answered with how far the store is, sealed, for an agent to remember."""
        self._reactor.on_heartbeat(received.worker, received.message, received.now_ms)
        seq = self._commit_loop.committed_seq
        seal = self._commit_loop.fleet.seal.of_seq(received.worker.id, seq)
        self.send(link.HeartbeatAck(at_ms=received.message.at_ms, store_seq=seq, store_seal=seal))

    def on_update_metadata(self, received: "Received") -> None:
        self._reactor.on_update_metadata(received.worker, received.message, received.now_ms)

    def on_input_answer(self, received: "Received") -> None:
        self._reactor.on_input_answer(received.worker, received.message, received.now_ms)

    def on_port_found(self, received: "Received") -> None:
        self._reactor.on_port_found(received.worker, received.message, received.now_ms)

    def on_ask_waiting(self, received: "Received") -> None:
        self.send(link.Waiting(tasks=view.waiting_tasks(self._commit_loop.fleet, received.worker)))

    def on_answer(self, received: "Received") -> None:
        """Somebody waits for it."""
        self._commit_loop.questions.answer(received.worker.id, received.message)

    def on_stream_message(self, received: "Received") -> None:
        """What it says about streams and contents."""
        self._commit_loop.on_stream_message(received.worker, received.message)

    def on_peer_error(self, received: "Received") -> None:
        log.warning("%s says %s: %s", received.worker.name, received.message.code, received.message.message)

    def on_output_path(self, received: "Received") -> None:
        """Every report carries it too: the message is for peers that know only the seeds' words."""

    @property
    def _reactor(self) -> Reactor:
        return self._commit_loop.reactor

    # --- logs --------------------------------------------------------------------------------------------------

    async def on_log_chunk(self, chunk: LogChunk) -> None:
        """Queue the bytes for the store. Waits while CHUNKS_MAX frames are queued."""
        if self._log_service.trouble:
            self._has_dropped.set()  # its heartbeats are still taken: a full disk here says nothing about the worker
        else:
            await self._chunks.put(_dated(chunk))

    async def _store_logs(self) -> None:
        """Store the log bytes that have come, all that wait at once, then acknowledge them."""
        while True:
            chunks = [await self._chunks.get()]
            while not self._chunks.empty():
                chunks.append(self._chunks.get_nowait())
            ours = [chunk for chunk in chunks if self._is_accepted(AttemptId(chunk.attempt_id))]
            if not ours:
                continue
            worker, now_ms = self._worker(), self._commit_loop.clock.now_ms()
            ours = [_on_our_clock(worker, chunk, now_ms) for chunk in ours]
            reactor = self._commit_loop.reactor
            kept, offsets = within(ours, self._stored_offsets, reactor.fleet.attempt_log_bytes)
            try:
                offsets |= await self._log_service.append(kept)
            except OpsconsoleError:
                self._has_dropped.set()
                continue
            told = [(AttemptId(one), source, offset) for (one, source), offset in offsets.items()]
            for attempt_id, source, offset in told:
                reactor.on_logs_stored(attempt_id, source, offset)
            self.send(link.LogAck(offsets=tuple(told)))
            if reactor.is_dirty:
                self._commit_loop.changed()

    async def _reconnect_once_logs_work(self) -> None:
        """Once logs can be stored again, let the agent connect anew: then it sends what wasn't acknowledged."""
        await self._has_dropped.wait()
        await self._log_service.recovered()
        self.end("unavailable", "logs can be stored again: connect anew to send what is missing")

    def _stored_offsets(self, attempt_id: str) -> dict[str, int]:
        attempt = self._commit_loop.fleet.attempts.get(AttemptId(attempt_id))
        return attempt.log_offsets if attempt is not None else {}

    def _is_accepted(self, attempt_id: AttemptId) -> bool:
        attempt = self._commit_loop.fleet.attempts.get(attempt_id)
        return attempt is not None and attempt.worker_id == self._worker_id and attempt.open

    def _send_desired(self) -> None:
        """Messages were dropped, since the agent reads too slowly: it is sent its whole desired set instead."""
        self._commit_loop.counts.overflows["agent"] += 1
        worker = self._worker()
        if worker is not None:
            self._commit_loop.reactor.on_messages_dropped(worker)
            self._commit_loop.changed()

    async def _end_when_silent(self) -> None:
        """Return, which ends the connection, once no heartbeat has come for DEAD_AFTER_MS."""
        while True:
            await asyncio.sleep(DEAD_AFTER_MS / 4000)
            worker = self._worker()
            if worker is None and self._is_registered:
                return
            if worker is not None and self._commit_loop.clock.now_ms() - worker.heard_at_ms > DEAD_AFTER_MS:
                return


class Received(NamedTuple):
    """A message that has come, with what is needed to handle it."""

    worker: Worker
    message: Any
    finished: Collection[AttemptId]
    """Those of the attempts it names that the store knows as ended."""
    now_ms: int


class Handling(NamedTuple):
    """How a kind of message is handled."""

    handle: Callable[[AgentSession, Received], None]
    attempts: Callable[[Any], Iterable[link.Observed]] = lambda _: ()
    """The attempts that it names: the store is asked first which of them have ended."""
    is_change: bool = True
    """False: what it changed is told with the next tick. A thousand workers have many readings."""


def _attempts(message: link.Report | link.Observation) -> Iterable[link.Observed]:
    return message.attempts


MESSAGES: dict[type[Any], Handling] = {
    link.Register: Handling(AgentSession.on_register),
    link.Report: Handling(AgentSession.on_report, attempts=_attempts),
    link.Observation: Handling(AgentSession.on_observation, attempts=_attempts),
    link.Heartbeat: Handling(AgentSession.on_heartbeat, is_change=False),
    link.UpdateMetadata: Handling(AgentSession.on_update_metadata),
    link.FileExists: Handling(AgentSession.on_input_answer),
    link.FileNotFound: Handling(AgentSession.on_input_answer),
    link.PortFound: Handling(AgentSession.on_port_found),
    link.AskWaiting: Handling(AgentSession.on_ask_waiting, is_change=False),
    link.Leavings: Handling(AgentSession.on_answer),
    link.FileList: Handling(AgentSession.on_answer, is_change=False),
    link.FilePartRead: Handling(AgentSession.on_answer, is_change=False),
    link.DatasetDescribed: Handling(AgentSession.on_answer, is_change=False),
    link.JobOutputPath: Handling(AgentSession.on_output_path),
    link.PeerError: Handling(AgentSession.on_peer_error),
    link.AskForStream: Handling(AgentSession.on_stream_message, is_change=False),
    link.Signal: Handling(AgentSession.on_stream_message, is_change=False),
    link.StreamEnded: Handling(AgentSession.on_stream_message, is_change=False),
    link.Contents: Handling(AgentSession.on_stream_message),
}
"""All that an agent may say once it has registered."""

FRAMES: dict[type[Frame], Callable[[AgentSession, Any], Awaitable[None]]] = {LogChunk: AgentSession.on_log_chunk}
"""The handlers of binary frames, by kind."""


def _on_our_clock(worker: Worker | None, chunk: LogChunk, now_ms: int) -> LogChunk:
    at_ms = min(now_ms, chunk.at_ms) if worker is None else worker.here_ms(chunk.at_ms, now_ms)
    return replace(chunk, at_ms=at_ms)


def _dated(chunk: LogChunk) -> LogChunk:
    """The chunk with a time within the range that can be shown: a worker's clock may show anything."""
    at_ms = min(max(chunk.at_ms, 0), TIME_MS_MAX)
    return chunk if at_ms == chunk.at_ms else msgspec.structs.replace(chunk, at_ms=at_ms)
