"""One websocket to a coordinator: calls go out, answers and updates come in.

Every call has a number, and its answer carries that number; answers come in any order. When the connection is lost, every
call that still waits fails with Unavailable, and the connection is of no more use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from opsconsole.target import Target
from opsconsole_protocol import PROTOCOL_VERSION
from opsconsole_protocol.api import Answer, AnyAnswer, AnyRequest, Call, Failure, Hello, ServerMessage, Update, Welcome
from opsconsole_protocol.api.codec import check_request, client_codec
from opsconsole_protocol.codec import BATCH_BYTES_MAX, Codec
from opsconsole_protocol.error import OpsconsoleError, ProtocolError, Unavailable, VersionMismatch, from_code
from opsconsole_protocol.trust.invitation import INVITATION_HEADER

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

OPERATOR_PATH = "/operator"
CALLS_IN_FLIGHT_MAX = 256
"""Calls in flight. A further one waits until one of them was answered."""

OPEN_TIMEOUT_S = 10.0
_CLIENT = "opsconsole/1"

OnUpdate = Callable[[Update], None]


class Connection:
    """An open connection on which both sides have greeted. `open` makes it; it belongs to the event loop that opened it."""

    def __init__(
        self,
        socket: ClientConnection,
        welcome: Welcome,
        codec: Codec[ServerMessage],
        url: str,
        certificate_hash: str | None = None,
    ) -> None:
        self.welcome = welcome
        self.url = url
        self.certificate_hash = certificate_hash
        self.on_update: OnUpdate | None = None
        """Called with every Update, in order. It must not block."""
        self._socket = socket
        self._codec = codec
        self._number = 0
        self._pending: dict[int, asyncio.Future[AnyAnswer]] = {}
        self._room = asyncio.Semaphore(CALLS_IN_FLIGHT_MAX)
        self._lost: OpsconsoleError | None = None
        self._heard_at = asyncio.get_running_loop().time()
        self._reader = asyncio.create_task(self._read(), name=f"read {url}")

    @classmethod
    async def open(cls, target: Target, client: str = _CLIENT) -> Connection:
        """Connect and greet. Raises what `dial` raises, Unavailable, VersionMismatch, ProtocolError, or the error that the server names."""
        from opsconsole_protocol.host.dial import dial

        headers = {"Authorization": f"Bearer {target.token}"}
        if target.invitation is not None:
            headers[INVITATION_HEADER] = target.invitation
        socket = await dial(
            target.url,
            path=OPERATOR_PATH,
            certificate_hash=target.certificate_hash,
            headers=headers,
            secrets=[target.token] if target.invitation is None else [target.token, target.invitation],
            max_size=BATCH_BYTES_MAX,
            open_timeout_s=OPEN_TIMEOUT_S,
        )
        codec = client_codec()
        try:
            welcome = await _greet(socket, codec, target.url, client)
        except BaseException:
            await socket.close()
            raise
        return cls(socket, welcome, codec, target.url, target.certificate_hash)

    @property
    def is_open(self) -> bool:
        """Whether calls can still be made."""
        return self._lost is None

    @property
    def silent_for_s(self) -> float:
        """Seconds since the last frame of any kind came from the coordinator."""
        return asyncio.get_running_loop().time() - self._heard_at

    async def call(self, request: AnyRequest) -> AnyAnswer:
        """Send a request and wait for its answer. Raises the coordinator's error, or Unavailable when the connection is lost.

        A request with a field out of its limits is not sent: InvalidRequest.
        """
        check_request(request)
        async with self._room:
            if self._lost is not None:
                raise self._lost
            self._number += 1
            number = self._number
            future: asyncio.Future[AnyAnswer] = asyncio.get_running_loop().create_future()
            self._pending[number] = future
            try:
                await self._send(Call(number, request))
                return await future
            finally:
                self._pending.pop(number, None)

    async def wait_closed(self) -> OpsconsoleError:
        """Wait for the end of the connection, and return why it ended."""
        await asyncio.wait((self._reader,))
        return self._lost or _lost_error(self.url)

    async def close(self, reason: OpsconsoleError | None = None) -> None:
        """Close the connection. Calls that wait fail with `reason`, or with Unavailable."""
        self._fail_calls(reason or Unavailable("the connection was closed"))
        await self._socket.close()
        await asyncio.wait((self._reader,))

    async def _send(self, message: Call) -> None:
        from websockets.exceptions import ConnectionClosed

        frame = self._codec.encode((message,))
        if len(frame) > BATCH_BYTES_MAX:
            raise ProtocolError(f"this request is too large ({len(frame) >> 20} MiB): split it")
        try:
            await self._socket.send(frame)
        except ConnectionClosed:
            raise self._lost or _lost_error(self.url) from None

    async def _read(self) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            while True:
                frame = await self._socket.recv()
                self._heard_at = asyncio.get_running_loop().time()
                for message in _decode(self._codec, frame):
                    self._dispatch(message)
        except ConnectionClosed as closed:
            reason = closed.rcvd.reason if closed.rcvd is not None else ""
            self._fail_calls(
                Unavailable(f"{self.url} closed the connection: {reason}") if reason else _lost_error(self.url)
            )
        except OpsconsoleError as error:
            self._fail_calls(error)
            await self._socket.close()
        finally:
            self._fail_calls(_lost_error(self.url))  # also after a fault of our own, which the task then shows

    def _dispatch(self, message: ServerMessage) -> None:
        match message:
            case Answer(number=number, answer=answer):
                if (future := self._pending.get(number)) is not None and not future.done():
                    future.set_result(answer)
            case Failure(number=0, code=code, message=text):
                raise from_code(code, text)
            case Failure(number=number, code=code, message=text):
                if (future := self._pending.get(number)) is not None and not future.done():
                    future.set_exception(from_code(code, text))
            case Update():
                if self.on_update is not None:
                    self.on_update(message)
            case Welcome():
                raise ProtocolError(f"{self.url} greets twice: it is no opsconsole coordinator of this version")

    def _fail_calls(self, error: OpsconsoleError) -> None:
        if self._lost is None:
            self._lost = error
        for future in self._pending.values():
            if not future.done():
                future.set_exception(self._lost)


async def _greet(socket: ClientConnection, codec: Codec[ServerMessage], url: str, client: str) -> Welcome:
    from websockets.exceptions import ConnectionClosed

    try:
        await socket.send(codec.encode((Hello(PROTOCOL_VERSION, client),)))
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            batch = _decode(codec, await socket.recv())
    except TimeoutError:
        raise Unavailable(f"{url} accepts the connection, but doesn't greet: is it overloaded? Try again") from None
    except ConnectionClosed as closed:
        reason = closed.rcvd.reason if closed.rcvd is not None else ""
        raise Unavailable(f"{url} closed the connection at once{': ' + reason if reason else ''}") from None
    match batch:
        case [Welcome() as welcome]:
            if welcome.protocol != PROTOCOL_VERSION:
                raise VersionMismatch(
                    f"{url} speaks protocol {welcome.protocol}, this opsconsole {PROTOCOL_VERSION}: upgrade the older"
                )
            return welcome
        case [Failure(code=code, message=text)]:
            raise from_code(code, text)
    raise ProtocolError(f"{url} doesn't greet as an opsconsole coordinator does")


def _decode(codec: Codec[ServerMessage], frame: bytes | str) -> list[ServerMessage]:
    if isinstance(frame, str):
        raise ProtocolError("the coordinator sent text where messages are expected")
    return codec.decode(frame)


def _lost_error(url: str) -> Unavailable:
    return Unavailable(f"the connection to {url} is lost")
