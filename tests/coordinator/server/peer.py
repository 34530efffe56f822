"""Agents and operators that speak the bare protocol, rightly or wrongly."""

import asyncio
import contextlib
import secrets
import zlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from opsconsole_coordinator.http.acceptor import Acceptor
from opsconsole_coordinator.runtime import Coordinator, CoordinatorConfig
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.identity import Identities
from opsconsole_coordinator.server.streams import Streams
from opsconsole_coordinator.trust.token_file import read_token
from opsconsole_protocol import PROTOCOL_VERSION, api, link
from opsconsole_protocol.api.codec import client_codec
from opsconsole_protocol.error import from_code
from opsconsole_protocol.host.dial import dial
from opsconsole_protocol.host.endpoint import Endpoint
from opsconsole_protocol.ids import AttemptId, JobId, WorkerId, job_id, spell
from opsconsole_protocol.link import LogChunk, Observed, encode_frame
from opsconsole_protocol.link.codec import agent_codec
from opsconsole_protocol.log import Source
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.state import AttemptState
from opsconsole_protocol.trust.secret import SECRET_BYTES, new_secret

M = TypeVar("M")
TIMEOUT_S = 10.0


def some_secret() -> str:
    """A secret that nobody knows yet."""
    return new_secret(secrets.token_bytes(SECRET_BYTES))


def id_of(name: str) -> str:
    """The id of the worker that is called so."""
    return f"worker-{spell(zlib.crc32(name.encode()), 8)}"


def some_job_id() -> JobId:
    """The id of a new job."""
    return job_id(secrets.randbits(50))


class Peer:
    """A websocket to a coordinator, with the messages that came in."""

    def __init__(self, socket: ClientConnection, incoming: Any, outgoing: Any) -> None:
        self.socket = socket
        self._decoder = incoming
        self._encoder = outgoing
        self._queue: list[Any] = []

    async def send(self, *messages: msgspec.Struct) -> None:
        """Send messages as one frame."""
        await self.socket.send(self._encoder.encode(messages))

    async def next(self) -> Any:
        """The next message; ConnectionClosed at the end."""
        while not self._queue:
            async with asyncio.timeout(TIMEOUT_S):
                frame = await self.socket.recv()
            assert isinstance(frame, bytes)
            self._queue += self._decoder.decode(frame)
        return self._queue.pop(0)

    async def take(self, kind: type[M]) -> M:
        """The next message of this kind; others are skipped."""
        while not isinstance(message := await self.next(), kind):
            pass
        return message

    async def ended(self) -> list[Any]:
        """What is still said until the connection ends."""
        said = []
        with contextlib.suppress(ConnectionClosed):
            while True:
                said.append(await self.next())
        return said

    async def close(self) -> None:
        """Close the connection."""
        await self.socket.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Agent(Peer):
    """An agent, as far as the wire goes."""

    def __init__(self, socket: ClientConnection, worker_id: WorkerId, name: str) -> None:
        super().__init__(socket, agent_codec(), agent_codec())
        self.worker_id = worker_id
        self.name = name

    async def register(self, **fields: Any) -> link.DesiredSet:
        """Register; the whole desired set."""
        await self.send(link.Register(**{
            "protocol": PROTOCOL_VERSION, "agent_version": "1", "worker_id": self.worker_id, "name": self.name,
            "run_id": "run-1", **fields,
        }))  # fmt: skip
        return await self.take(link.DesiredSet)

    async def report(self, attempt_id: AttemptId, state: AttemptState, **fields: Any) -> None:
        """Report an attempt."""
        await self.send(link.Report(seen=0, attempts=(Observed(attempt_id=attempt_id, state=state, **fields),)))

    async def log(self, attempt_id: AttemptId, data: bytes, offset: int = 0) -> None:
        """Send bytes of stdout."""
        await self.socket.send(encode_frame(LogChunk(attempt_id, Source.STDOUT, offset, 1, data)))

    async def assigned(self) -> AttemptId:
        """The next attempt that it is given, confirmed."""
        attempt_id = (await self.take(link.JobAssignment)).desired.attempt_id
        await self.report(attempt_id, AttemptState.ASSIGNED)
        return attempt_id

    async def run_one(self, **fields: Any) -> AttemptId:
        """Take an attempt, run it, and let it succeed."""
        attempt_id = await self.assigned()
        await self.report(attempt_id, AttemptState.RUNNING, started_at_ms=1)
        end = {"started_at_ms": 1, "finished_at_ms": 2, "exit_code": 0, **fields}
        await self.report(attempt_id, AttemptState.SUCCEEDED, **end)
        return attempt_id


class Operator(Peer):
    """An operator, as far as the wire goes."""

    def __init__(self, socket: ClientConnection) -> None:
        super().__init__(socket, client_codec(), client_codec())
        self.updates: list[api.Update] = []
        self._number = 0
        self._answers: dict[int, api.Answer | api.Failure] = {}
        self._reading = asyncio.Lock()

    async def greet(self, protocol: int = PROTOCOL_VERSION) -> api.Welcome:
        """Say hello."""
        await self.send(api.Hello(protocol, "test"))
        message = await self.next()
        if isinstance(message, api.Failure):
            raise from_code(message.code, message.message)
        assert isinstance(message, api.Welcome)
        return message

    async def ask(self, request: api.AnyRequest) -> int:
        """Ask, and don't wait; the number of the call."""
        self._number += 1
        await self.send(api.Call(self._number, request))
        return self._number

    async def answer(self, number: int) -> Any:
        """The answer to a call, whoever else waits for one. Raises the coordinator's error."""
        while number not in self._answers:
            async with self._reading:
                if number not in self._answers:
                    self._take_in(await self.next())
        match self._answers.pop(number):
            case api.Failure(code=code, message=text):
                raise from_code(code, text)
            case found:
                return found.answer

    def _take_in(self, message: Any) -> None:
        match message:
            case api.Answer(number=number):
                self._answers[number] = message
            case api.Failure(number=0, code=code, message=text):
                raise from_code(code, text)
            case api.Failure(number=number):
                self._answers[number] = message
            case api.Update() as update:
                self.updates.append(update)
            case other:
                raise AssertionError(f"unexpected: {other}")

    async def call(self, request: api.AnyRequest) -> Any:
        """Ask and wait."""
        return await self.answer(await self.ask(request))

    async def submit(self, **fields: Any) -> api.JobRow:
        """Submit one job."""
        spec = JobSpec(**{"command": ("/bin/true",), **fields})
        answer = await self.call(api.SubmitJobs(submissions=(api.Submission(some_job_id(), spec),)))
        return cast("api.JobRow", answer.jobs[0])

    async def wait(self, *ids: str, timeout_ms: int = 10_000) -> Sequence[api.JobRow]:
        """Wait for jobs."""
        return cast("api.JobList", await self.call(api.WaitJobs(ids=ids, timeout_ms=timeout_ms))).jobs


@dataclass
class Site:
    """A running coordinator and ways to it."""

    coordinator: Coordinator
    endpoint: Endpoint
    data_dir: Path

    @property
    def commit_loop(self) -> CommitLoop:
        """Its innermost part, for tests that break something there."""
        assert self.coordinator._web is not None
        return self.coordinator._web._commit_loop

    @property
    def identities(self) -> Identities:
        """Who may come in, for tests that look inside."""
        assert self.coordinator._web is not None
        return self.coordinator._web._identities

    @property
    def streams(self) -> Streams:
        """Streams and what is kept, for tests that look inside."""
        assert self.coordinator.streams is not None
        return self.coordinator.streams

    @property
    def acceptor(self) -> Acceptor:
        """Where connections are accepted."""
        assert self.coordinator._web is not None
        return self.coordinator._web._acceptors[0]

    @property
    def token(self) -> str:
        """The local operator's."""
        token = read_token(self.data_dir)
        assert token is not None
        return token

    async def connect(self, path: str, **headers: str) -> ClientConnection:
        """A websocket with these headers, underscores for hyphens. Raises what `dial` raises."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await dial(
            self.endpoint.url, path=path, certificate_hash=self.endpoint.certificate_hash, headers=named,
            max_size=64 << 20, close_timeout_s=1,
        )  # fmt: skip

    async def agent(
        self,
        name: str = "w1",
        *,
        secret: str | None = None,
        invitation: str | None = None,
        worker_id: str | None = None,
    ) -> Agent:
        """An agent that is let in, and hasn't registered."""
        worker = WorkerId(worker_id or id_of(name))
        socket = await self.connect(
            "/agent",
            Authorization=f"Bearer {secret or some_secret()}",
            Opsconsole_Worker=worker,
            Opsconsole_Invitation=self.token if invitation is None else invitation,
        )
        return Agent(socket, worker, name)

    async def operator(self, token: str | None = None, **headers: str) -> Operator:
        """An operator that is let in and has greeted."""
        socket = await self.connect("/operator", Authorization=f"Bearer {token or self.token}", **headers)
        operator = Operator(socket)
        await operator.greet()
        return operator

    async def invite(self, **fields: Any) -> str:
        """The token of a new invitation."""
        async with await self.operator() as operator:
            line = (await operator.call(api.Invite(**fields))).line
        return cast("str", line.partition("#")[2].partition(".")[2])

    async def operator_of(self, role: str) -> Operator:
        """An operator with a role."""
        secret = some_secret()
        token = await self.invite(role=role, name=f"the-{role}")
        first = await self.operator(secret, Opsconsole_Invitation=token)
        await first.close()
        return await self.operator(secret)


@contextlib.asynccontextmanager
async def site(data_dir: Path, **config: Any) -> AsyncIterator[Site]:
    """A coordinator on a free port of this machine."""
    coordinator = Coordinator(
        CoordinatorConfig(data_dir=data_dir, **{"listen": "127.0.0.1:0", "name": "lab", **config})
    )
    endpoint = await coordinator.start()
    try:
        yield Site(coordinator, endpoint, data_dir)
    finally:
        await coordinator.stop()
