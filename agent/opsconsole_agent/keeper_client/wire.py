"""One connection to a keeper: commands out in batches, lines in to the answers and events they are."""

import asyncio
import socket
import struct
from collections.abc import Callable

import msgspec

from opsconsole_agent.keeper_client import message
from opsconsole_agent.keeper_client.message import ErrorReply, KeeperEvent, KeeperHello, Reply
from opsconsole_protocol.error import (
    Conflict,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    OpsconsoleError,
    ProtocolError,
    Unavailable,
    VersionMismatch,
)

_ERRORS: dict[str, type[OpsconsoleError]] = {
    "unknown_attempt": NotFound,
    "ended": Conflict,
    "ending": Conflict,
    "duplicate": Conflict,
    "busy": Conflict,
    "malformed": InvalidRequest,
    "unknown_command": InvalidRequest,
    "too_long": LimitExceeded,
}


_OLDER_KEEPER = (
    "the keeper on this worker is older than its agent and can't do this: let the tasks end that it keeps, it leaves a "
    "minute later by itself"
)
_CREDENTIALS = struct.Struct("3i")


class Wire(asyncio.Protocol):
    """Made for `create_unix_connection`. `ready` and `lost` are done when the hello has come, and when it is over."""

    def __init__(self, publish: Callable[[KeeperEvent], None]) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[KeeperHello] = loop.create_future()
        self.lost: asyncio.Future[str] = loop.create_future()
        self.replaced = False
        self.key = ""
        self._loop = loop
        self._publish = publish
        self._transport: asyncio.Transport | None = None
        self._answers: dict[int, asyncio.Future[Reply]] = {}
        self._number = 0
        self._unsent: list[bytes] = []
        self._partial: list[bytes] = []

    @property
    def peer(self) -> tuple[int, int]:
        """Process and user at the other end, as the kernel knows them."""
        assert self._transport is not None  # noqa: S101  (connected)
        sock = self._transport.get_extra_info("socket")
        pid, user, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        return pid, user

    @property
    def open(self) -> bool:
        """Whether commands can be sent."""
        return self._transport is not None and not self.lost.done()

    def ask(self, kind: str, fields: dict[str, object]) -> asyncio.Future[Reply]:
        """Send a command; the future tells what comes of it, or raises what it was refused with."""
        self._number += 1
        answer: asyncio.Future[Reply] = self._loop.create_future()
        line = message.encode(kind, {"n": self._number, **fields})
        self._answers[self._number] = answer
        self.resume()
        self._send(line)
        return answer

    def tell(self, kind: str, fields: dict[str, object]) -> None:
        """Send a command that needs no answer."""
        self._send(message.encode(kind, fields))

    def _send(self, line: bytes) -> None:
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(line)

    def pause(self) -> None:
        """Leave what comes unread for a while: the reader is behind. Not while it waits for an answer itself."""
        if self._transport is not None and self._transport.is_reading() and not self._answers:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None and not self._transport.is_closing() and not self._transport.is_reading():
            self._transport.resume_reading()

    def hang_up(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # ---- asyncio.Protocol ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  (for the type checker; it is a stream)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if self.lost.done():
            return
        *whole, rest = data.split(b"\n")
        if whole and self._partial:
            whole[0] = b"".join([*self._partial, whole[0]])
            self._partial.clear()
        if rest:
            self._partial.append(rest)
        for line in whole:
            try:
                self._receive(line)
            except msgspec.DecodeError as error:
                self._fail(ProtocolError(f"the keeper sent what can't be understood: {error}"))
                return
            except VersionMismatch as error:
                self._fail(error)
                return

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._fail(Unavailable(f"the keeper hung up: {exc}" if exc else "the keeper hung up"))

    # ---- lines ----

    def _receive(self, line: bytes) -> None:
        if not self.ready.done():
            message.check_version(line)
        received = message.decode(line)
        match received:
            case None:
                pass
            case Reply():
                self._settle(received.re, received)
            case ErrorReply():
                text = _OLDER_KEEPER if received.code == "unknown_command" else received.text
                self._settle(received.re, _ERRORS.get(received.code, Unavailable)(text))
            case message.Replaced():
                self.replaced = True
            case KeeperHello():
                self.key = received.key
                received = msgspec.structs.replace(received, key="")  # nobody else needs it, nor should a log show it
                if not self.ready.done():
                    self.ready.set_result(received)
                self._publish(received)
            case _:
                self._publish(received)

    def _settle(self, number: int | None, outcome: Reply | OpsconsoleError) -> None:
        answer = self._answers.pop(number, None) if number is not None else None
        if answer is None or answer.done():  # cancelled meanwhile
            return
        if isinstance(outcome, Reply):
            answer.set_result(outcome)
        else:
            answer.set_exception(outcome)

    def _flush(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _fail(self, error: OpsconsoleError) -> None:
        if self.lost.done():
            return
        self.lost.set_result(error.message)
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()  # looked at by whoever dials; never "not retrieved"
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(Unavailable("the keeper was lost before it answered"))
        self._answers.clear()
        self.hang_up()
