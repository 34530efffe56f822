"""A coordinator that speaks `protocol/link` and keeps everything in memory: what an agent is tested against."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from opsconsole_protocol import PROTOCOL_VERSION, codec, link
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.link import Desired, Mode, Observed, Want, decode_frame
from opsconsole_protocol.link.codec import coordinator_codec
from opsconsole_protocol.state import AttemptState, is_attempt_finished
from tests.agent.core.script import make_launch
from tests.proving import proving
from tests.waiting import until

TOKEN = "invited.secret"


class FakeCoordinator:
    """Desired and observed sets, logs, and switches for everything that can go wrong.

    `forgets`: say `forget` as soon as an end and all its log have arrived. `acks`: answer heartbeats. `refusal`: an
    HTTP status and line for the next connections; `last_words`: the answer to `register` instead of `registered`.
    """

    def __init__(self, heartbeat_ms: int = 200) -> None:
        self.heartbeat_ms = heartbeat_ms
        self.forgets = True
        self.acks = True
        self.adopting = False
        self.refusal: tuple[int, str] | None = None
        self.last_words: link.PeerError | None = None
        self.store_id, self.store_seq = "store", 1
        self.headers: list[dict[str, str]] = []
        self.registers: list[link.Register] = []
        self.heartbeats: list[link.Heartbeat] = []
        self.others: list[link.AgentMessage] = []
        self.contents: list[link.Contents] = []
        self.desired: dict[str, Desired] = {}
        self.observed: dict[str, Observed] = {}
        self.history: dict[str, list[AttemptState]] = {}
        self.forgotten: list[str] = []
        self.logs: dict[tuple[str, str], bytes] = {}
        self.on_report: Callable[[Observed], None] = lambda _: None
        self.tokens = {TOKEN}
        """What it knows, the credentials of agents that it let in among them."""
        self.port = 0
        self._codec = coordinator_codec()
        self._server: Server | None = None
        self._connection: ServerConnection | None = None
        self._outbox: list[link.CoordinatorMessage] = []
        self._news = asyncio.Event()
        self._seq = 0

    # --- its life --------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Listen, on the same port as before if there was one."""
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            self.port,
            process_request=self._admit,
            compression=None,
            max_size=None,
            create_connection=proving(lambda: self.tokens),
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def close(self) -> None:
        """Gone, connections and all."""
        if self._server is not None:
            self._server.close(close_connections=True)
            await self._server.wait_closed()
            self._server = None

    @property
    def url(self) -> str:
        """Where agents dial."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def is_connected(self) -> bool:
        """Whether an agent is registered."""
        return self._connection is not None

    def drop(self) -> None:
        """Cut the connection without a word."""
        if self._connection is not None:
            self._connection.transport.abort()

    # --- what tests want -------------------------------------------------------------------------------------------

    def assign(self, attempt_id: str, *command: str, want: Want | None = None, **launch: Any) -> None:
        """An attempt joins the desired set."""
        desired = Desired(
            attempt_id=AttemptId(attempt_id), launch=make_launch(command=command, **launch), want=want or Want()
        )
        self.desired[attempt_id] = desired
        self.send(link.JobAssignment(seq=self.next_seq(), desired=desired))

    def want(self, attempt_id: str, mode: Mode, reason: str = "", grace_ms: int = 5_000) -> None:
        """What is desired of it changes."""
        want = Want(mode=mode, reason=reason, grace_ms=grace_ms)
        old = self.desired[attempt_id]
        self.desired[attempt_id] = Desired(attempt_id=old.attempt_id, launch=old.launch, want=want)
        self.send(link.SetWant(seq=self.next_seq(), attempt_id=AttemptId(attempt_id), want=want))

    def state(self, attempt_id: str) -> AttemptState | None:
        """As last reported."""
        observed = self.observed.get(attempt_id)
        return None if observed is None else observed.state

    def log(self, attempt_id: str, source: str = "stdout") -> bytes:
        """What has arrived of it."""
        return self.logs.get((attempt_id, source), b"")

    async def until_state(self, attempt_id: str, *states: str, timeout_s: float = 20.0) -> Observed:
        """Wait until it is reported in one of the states."""
        await until(
            lambda: self.state(attempt_id) in states,
            timeout_s,
            f"{attempt_id} to be {states}; it is {self.observed.get(attempt_id)}",
        )
        return self.observed[attempt_id]

    async def until_connected(self) -> None:
        """Wait until an agent is registered."""
        await until(lambda: self.is_connected, 20.0, "an agent to register")

    def send(self, message: link.CoordinatorMessage) -> None:
        """Queue a message for the agent, if one is there."""
        self._outbox.append(message)
        self._news.set()

    def next_seq(self) -> int:
        """The number of the next change to the desired set."""
        self._seq += 1
        return self._seq

    # --- the connection --------------------------------------------------------------------------------------------

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        self.headers.append(dict(request.headers.raw_items()))
        self.tokens.add(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if self.refusal is not None:
            status, line = self.refusal
            return connection.respond(HTTPStatus(status), line + "\n")
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        sender = None
        try:
            register = self._codec.decode(await _binary(connection))[0]
            assert isinstance(register, link.Register)
            self.registers.append(register)
            if self.last_words is not None:
                await connection.send(self._codec.encode([self.last_words]))
                return
            self._welcome(connection, register)
            sender = asyncio.create_task(self._send(connection))
            while True:
                self._take(await _binary(connection))
        except ConnectionClosed:
            pass
        finally:
            if sender is not None:
                sender.cancel()
            if self._connection is connection:
                self._connection = None

    def _welcome(self, connection: ServerConnection, register: link.Register) -> None:
        self._connection = connection
        self._outbox.clear()
        self._seq = 0
        self.send(
            link.Registered(
                protocol=PROTOCOL_VERSION,
                coordinator="fake",
                store_id=self.store_id,
                store_seq=self.store_seq,
                heartbeat_ms=self.heartbeat_ms,
            )
        )
        desired = tuple(
            Desired(
                attempt_id=one.attempt_id, launch=one.launch, want=one.want, log_offsets=self._offsets(one.attempt_id)
            )
            for one in self.desired.values()
        )
        self.send(link.DesiredSet(seq=self.next_seq(), attempts=desired, adopting=self.adopting))
        for observed in register.observed:
            self._note(observed)

    async def _send(self, connection: ServerConnection) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            batch, self._outbox = self._outbox, []
            if batch:
                await connection.send(self._codec.encode(batch))

    def _take(self, frame: bytes) -> None:
        if not codec.is_batch(frame):
            self._store(frame)
            return
        for message in self._codec.decode(frame):
            match message:
                case link.Report() | link.Observation():
                    for observed in message.attempts:
                        self._note(observed)
                case link.Heartbeat():
                    self.heartbeats.append(message)
                    if self.acks:
                        self.send(link.HeartbeatAck(at_ms=message.at_ms, store_seq=self.store_seq))
                case link.Contents():
                    self.contents.append(message)
                case _:
                    self.others.append(message)

    def _note(self, observed: Observed) -> None:
        attempt_id = observed.attempt_id
        self.observed[attempt_id] = observed
        states = self.history.setdefault(attempt_id, [])
        if not states or states[-1] is not observed.state:
            states.append(observed.state)
        self.on_report(observed)
        self._forget_if_complete(attempt_id)

    def _store(self, frame: bytes) -> None:
        chunk = decode_frame(frame)
        key = (chunk.attempt_id, str(chunk.source))
        stored = self.logs.get(key, b"")
        if chunk.offset <= len(stored) < chunk.end:
            self.logs[key] = stored = stored[: chunk.offset] + chunk.data
        self.send(link.LogAck(offsets=((AttemptId(chunk.attempt_id), str(chunk.source), len(stored)),)))
        self._forget_if_complete(chunk.attempt_id)

    def _forget_if_complete(self, attempt_id: str) -> None:
        observed = self.observed.get(attempt_id)
        if not self.forgets or observed is None or not is_attempt_finished(observed.state):
            return
        if all(len(self.log(attempt_id, source)) >= size for source, size in observed.log_sizes.items()):
            self.desired.pop(attempt_id, None)
            self.forgotten.append(attempt_id)
            self.send(link.Forget(seq=self.next_seq(), attempt_ids=(AttemptId(attempt_id),)))

    def _offsets(self, attempt_id: str) -> dict[str, int]:
        return {source: len(data) for (one, source), data in self.logs.items() if one == attempt_id}


async def _binary(connection: ServerConnection) -> bytes:
    frame = await connection.recv(decode=False)
    assert isinstance(frame, bytes)
    return frame
