"""Ends of streams for tests: an operator's and an agent's, which dial the coordinator as the real ones do."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace
from websockets.exceptions import ConnectionClosed

from opsconsole_protocol import api, link
from opsconsole_protocol.content.manifest import Manifest
from opsconsole_protocol.error import from_code
from opsconsole_protocol.host.content import session
from opsconsole_protocol.host.content.scan import scan
from opsconsole_protocol.host.content.sink import FolderSink
from opsconsole_protocol.host.content.source import FolderSource
from opsconsole_protocol.host.stream.coordinator_dial import Home
from opsconsole_protocol.host.stream.negotiation import open_stream
from opsconsole_protocol.host.stream.stream import Stream
from opsconsole_protocol.ids import AttemptId, ContentId
from opsconsole_protocol.job_content import Upload
from opsconsole_protocol.stream.error import StreamLost
from opsconsole_protocol.stream.message import FetchContent, KeepContent, OpenStream, StreamGrant, Via
from tests.coordinator.server.peer import Agent, Operator, Site

T = TypeVar("T")


class NoSignals:
    """To the coordinator's own store nothing has to be told."""

    def send(self, body: bytes) -> None:
        """Nobody listens."""

    def receive(self, timeout_s: float) -> bytes | None:
        """Nobody speaks."""
        threading.Event().wait(timeout_s)
        return None


def home(site: Site) -> Home:
    """The coordinator as streams reach it."""
    return Home(site.endpoint.url, site.endpoint.certificate_hash)


def dialled(site: Site, grant: StreamGrant) -> Stream:
    """This end of a stream to the coordinator's store, whoever has asked for it. It blocks."""
    return open_stream(
        replace(grant, is_initiator=True), NoSignals(), home(site), tell=lambda _: None, cancel=threading.Event()
    )


def make_tree(folder: Path, files: dict[str, bytes]) -> Manifest:
    """A folder with these files, and its manifest."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return scan(folder)


def upload_of(manifest: Manifest, name: str = "data") -> Upload:
    """A job's upload that is this tree."""
    return Upload(
        name=name,
        content_id=manifest.content_id,
        size_bytes=manifest.size_bytes,
        files=manifest.files,
        is_folder=True,
    )


async def ask_to_keep(operator: Operator, manifest: Manifest) -> StreamGrant:
    """The grant by which an operator brings a tree."""
    purpose = KeepContent(content_id=manifest.content_id, size_bytes=manifest.size_bytes, files=manifest.files)
    answer: api.StreamAnswer = await operator.call(api.AskForStream(open=OpenStream(purpose=purpose)))
    return answer.grant


async def keep(site: Site, operator: Operator, folder: Path, manifest: Manifest) -> session.Summary:
    """An operator brings a tree to the coordinator."""
    grant = await ask_to_keep(operator, manifest)

    return await asyncio.to_thread(sent, lambda: dialled(site, grant), folder, manifest)


def sent(dial: Callable[[], Stream], folder: Path, manifest: Manifest) -> session.Summary:
    """Send a tree over the stream that `dial` makes. It blocks."""
    stream = dial()
    source = FolderSource(folder, manifest)
    try:
        return session.send(stream, source)
    finally:
        source.close()
        stream.close()


async def ask_to_fetch(
    agent: Agent, content_id: ContentId, attempt_id: str, number: int = 1, via: Via = Via.AUTO
) -> StreamGrant:
    """The grant by which an agent fetches a tree. Raises what it is refused with."""
    purpose = FetchContent(content_id=content_id, attempt_id=attempt_id)
    await agent.send(link.AskForStream(number=number, open=OpenStream(purpose=purpose, via=via)))
    while True:
        match await agent.next():
            case link.StreamGranted(number=found, grant=grant) if found == number:
                return grant
            case link.StreamRefused(number=found, code=code, message=message) if found == number:
                raise from_code(code, message)


async def fetch(site: Site, agent: Agent, content_id: ContentId, attempt_id: AttemptId, into: Path) -> session.Summary:
    """An agent fetches a tree."""
    grant = await ask_to_fetch(agent, content_id, attempt_id)
    return await asyncio.to_thread(received, lambda: dialled(site, grant), into)


def received(dial: Callable[[], Stream], into: Path) -> session.Summary:
    """Receive the tree that comes over the stream that `dial` makes. It blocks."""
    stream = dial()
    try:
        return session.receive(stream, lambda manifest: FolderSink(manifest, into.with_suffix(".incoming"), into))
    finally:
        stream.close()


def _result(call: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
    """What a call on the loop gives, for another thread. The peer's own end of its connection ends the stream, too."""
    try:
        return asyncio.run_coroutine_threadsafe(call, loop).result()
    except ConnectionClosed:
        raise StreamLost("the connection is closed") from None


class OperatorSignals:
    """The signals of one stream over two connections that nobody else uses meanwhile: one end tells and waits at a time."""

    def __init__(self, teller: Operator, waiter: Operator, stream_id: str) -> None:
        self._teller = teller
        self._waiter = waiter
        self._stream_id = stream_id
        self._loop = asyncio.get_running_loop()
        self._waiting: list[bytes] = []

    def _call(self, operator: Operator, request: api.AnyRequest) -> object:
        return _result(operator.call(request), self._loop)

    def send(self, body: bytes) -> None:
        """Tell the other end."""
        self._call(self._teller, api.SendSignal(stream_id=self._stream_id, body=body))

    def receive(self, timeout_s: float) -> bytes | None:
        """What the other end tells."""
        if not self._waiting:
            wait_ms = round(timeout_s * 1000)
            answer = self._call(self._waiter, api.AwaitSignals(stream_id=self._stream_id, wait_ms=wait_ms))
            assert isinstance(answer, api.SignalsAnswer)
            if answer.is_over:
                raise StreamLost("the coordinator says that it is over")
            self._waiting += answer.bodies
        return self._waiting.pop(0) if self._waiting else None


class AgentSignals:
    """The signals of one stream over an agent's link."""

    def __init__(self, agent: Agent, stream_id: str) -> None:
        self._agent = agent
        self._stream_id = stream_id
        self._loop = asyncio.get_running_loop()

    def send(self, body: bytes) -> None:
        """Tell the other end."""
        message = link.Signal(stream_id=self._stream_id, body=body)
        _result(self._agent.send(message), self._loop)

    def receive(self, timeout_s: float) -> bytes | None:
        """What the other end tells."""
        return _result(self._next(timeout_s), self._loop)

    async def _next(self, timeout_s: float) -> bytes | None:
        try:
            async with asyncio.timeout(timeout_s):
                message = await self._agent.take(link.Signal)
        except TimeoutError:
            return None
        assert message.stream_id == self._stream_id
        return message.body


def joined(site: Site, grant: StreamGrant, signals: OperatorSignals | AgentSignals) -> Stream:
    """This end of a stream to somebody else. It blocks."""
    return open_stream(grant, signals, home(site), tell=lambda _: None, cancel=threading.Event())
