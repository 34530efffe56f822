"""Streams by the client's requests: for threads that move bytes, over whatever carries requests on its own loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from opsconsole.ask import AnswerT, Requester, ask
from opsconsole_protocol.api import (
    AnyRequest,
    AskForStream,
    AwaitSignals,
    Done,
    EndStream,
    SendSignal,
    SignalsAnswer,
    StreamAnswer,
)
from opsconsole_protocol.bound import cut
from opsconsole_protocol.error import OpsconsoleError, Unavailable
from opsconsole_protocol.stream.error import StreamCancelled, StreamLost, StreamStopped

if TYPE_CHECKING:
    from opsconsole_protocol.host.stream.coordinator_dial import Home
    from opsconsole_protocol.host.stream.transfer import Moved
    from opsconsole_protocol.stream.message import OpenStream, StreamGrant, Way

T = TypeVar("T")
_LOOK_S = 0.25
"""How soon a thread that waits for an answer notices that it is to end."""
_LONG_POLL_MS = 10_000


class StreamRequester(Requester, Protocol):
    """What carries requests to a coordinator, and knows which one it is: a `Client`, or the console's fleet source."""

    async def home(self) -> Home:
        """Where the coordinator is at the moment. Raises Unavailable while there is no connection."""
        ...

    async def store_id(self) -> str:
        """Which coordinator it is, wherever it listens. Raises Unavailable while there is no connection."""
        ...


class Asker:
    """Lets a thread ask over a requester that lives on a loop. `cancel` ends its waiting."""

    def __init__(self, requester: StreamRequester, loop: asyncio.AbstractEventLoop, cancel: threading.Event) -> None:
        self.requester = requester
        self._loop = loop
        self.cancel = cancel

    def ask(self, request: AnyRequest, kind: type[AnswerT]) -> AnswerT:
        """The answer to a request. Raises what `ask.ask` raises, and StreamCancelled."""
        return self.run(ask(self.requester, request, kind))

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for it. Raises what it raises, StreamCancelled, or Unavailable after the loop's end."""
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            raise Unavailable("this program is ending") from None
        while True:
            if self.cancel.is_set():
                future.cancel()
                raise StreamCancelled("the transfer was cancelled")
            try:
                return future.result(timeout=_LOOK_S)
            except concurrent.futures.CancelledError:
                raise StreamCancelled("the transfer was cancelled") from None
            except TimeoutError:
                if future.done():
                    raise
                if self._loop.is_closed():
                    raise Unavailable("this program is ending") from None


class RequestBroker:
    """See `host/stream/transfer.py`. Everything blocks. `granted` is told of each stream."""

    def __init__(self, asker: Asker, granted: Callable[[StreamGrant], None] | None = None) -> None:
        self._asker = asker
        self._granted = granted

    def ask(self, open: OpenStream) -> tuple[StreamGrant, RequestSignaller]:  # noqa: A002 - as on the wire
        """Ask for a stream. Raises what the coordinator refuses it with."""
        grant = self._asker.ask(AskForStream(open=open), StreamAnswer).grant
        if self._granted is not None:
            self._granted(grant)
        return grant, RequestSignaller(self._asker, grant.stream_id)

    def ended(self, stream_id: str, summary: Moved | None, way: Way | None, error: str, engine: str = "") -> None:
        """Report what became of a stream. That this can't be told changes nothing: the coordinator sees its end, too."""
        request = EndStream(
            stream_id=stream_id,
            way=way,
            bytes=0 if summary is None else summary.bytes_sent,
            files=0 if summary is None else summary.files,
            milliseconds=0 if summary is None else round(1000 * summary.seconds),
            error=cut(error),
            engine=engine,
        )
        try:
            self._asker.ask(request, Done)
        except OpsconsoleError:
            return


class RequestSignaller:
    """The signals of one stream: a Signaller. One thread uses it."""

    def __init__(self, asker: Asker, stream_id: str) -> None:
        self._asker = asker
        self._stream_id = stream_id
        self._bodies: deque[bytes] = deque()
        self._is_over = False

    def send(self, body: bytes) -> None:
        """Tell the other end. Raises StreamLost."""
        try:
            self._asker.ask(SendSignal(stream_id=self._stream_id, body=body), Done)
        except StreamCancelled:
            raise
        except OpsconsoleError as error:
            raise StreamLost(error.message) from None

    def receive(self, timeout_s: float) -> bytes | None:
        """What the other end tells, or None after `timeout_s`. Raises StreamLost or StreamStopped."""
        until_s = time.monotonic() + timeout_s
        while not self._bodies:
            if self._is_over:
                raise StreamLost("the coordinator has given the stream up")
            left_ms = round(1000 * max(0.0, until_s - time.monotonic()))
            request = AwaitSignals(stream_id=self._stream_id, wait_ms=min(left_ms, _LONG_POLL_MS))
            try:
                answer = self._asker.ask(request, SignalsAnswer)
            except StreamCancelled:
                raise
            except OpsconsoleError as error:
                raise StreamLost(error.message) from None
            if answer.stopped:
                raise StreamStopped(answer.stopped)
            self._bodies.extend(answer.bodies)
            self._is_over = answer.is_over
            if not self._bodies and not self._is_over and time.monotonic() >= until_s:
                return None
        return self._bodies.popleft()
