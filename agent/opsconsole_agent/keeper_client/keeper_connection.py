"""One connection to a keeper: commands go out in batches; lines that come in are replies and events."""

import asyncio
import socket
import struct
from collections.abc import Callable

import msgspec

from opsconsole_agent.keeper_client import message
from opsconsole_agent.keeper_client.message import ErrorReply, KeeperEvent, KeeperHello, Reply
from opsconsole_protocol.error import (
    Conflict,
    Forbidden,
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
    "frozen": Conflict,
    "command_not_found": NotFound,
    "permission_denied": Forbidden,
    "malformed": InvalidRequest,
    "unknown_command": InvalidRequest,
    "too_long": LimitExceeded,
}


_OLDER_KEEPER = (
    "the keeper on this worker is older than its agent and can't do this: let the tasks end that it keeps, it leaves a "
    "minute later by itself"
)
_CREDENTIALS = struct.Struct("3i")


class KeeperConnection(asyncio.Protocol):
    """A protocol for `create_unix_connection`. `ready` is done when the hello has come, `lost` when the connection ends."""

    def __init__(self, publish: Callable[[KeeperEvent], None]) -> None:
        """`publish` is called with every event that comes."""
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[KeeperHello] = loop.create_future()
        self.lost: asyncio.Future[str] = loop.create_future()
        self.replaced = False
        self.key = ""
        self._loop = loop
        self._publish = publish
        self._transport: asyncio.Transport | None = None
        self._replies: dict[int, asyncio.Future[Reply]] = {}
        self._number = 0
        self._unsent: list[bytes] = []
        self._partial: list[bytes] = []

    @property
    def peer(self) -> tuple[int, int]:
        """Pid and uid at the other end, as the kernel knows them."""
        assert self._transport is not None  # noqa: S101  (for the type checker; it is connected)
        sock = self._transport.get_extra_info("socket")
        pid, user, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        return pid, user

    @property
    def open(self) -> bool:
        """Whether a command can be sent."""
        return self._transport is not None and not self.lost.done()

    def request(self, kind: str, fields: dict[str, object]) -> asyncio.Future[Reply]:
        """Send a command; the future has its reply, or raises the error that it was refused with."""
        self._number += 1
        reply: asyncio.Future[Reply] = self._loop.create_future()
        line = message.encode(kind, {"n": self._number, **fields})
        self._replies[self._number] = reply
        self.resume()
        self._send(line)
        return reply

    def notify(self, kind: str, fields: dict[str, object]) -> None:
        """Send a command that has no reply."""
        self._send(message.encode(kind, fields))

    def _send(self, line: bytes) -> None:
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(line)

    def pause(self) -> None:
        """Stop reading, as the reader of events is behind; not while a reply is awaited."""
        if self._transport is not None and self._transport.is_reading() and not self._replies:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Go on reading."""
        if self._transport is not None and not self._transport.is_closing() and not self._transport.is_reading():
            self._transport.resume_reading()

    def hang_up(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # ---- asyncio.Protocol ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  (for the type checker; it is a stream)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Handle every complete line."""
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
                self._handle_line(line)
            except msgspec.DecodeError as error:
                self._fail(ProtocolError(f"the keeper sent what can't be understood: {error}"))
                return
            except VersionMismatch as error:
                self._fail(error)
                return

    def connection_lost(self, exc: Exception | None) -> None:
        """End all that waits for a reply."""
        self._fail(Unavailable(f"the keeper hung up: {exc}" if exc else "the keeper hung up"))

    # ---- lines ----

    def _handle_line(self, line: bytes) -> None:
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
                received = msgspec.structs.replace(received, key="")  # nobody else needs it, and no log may show it
                if not self.ready.done():
                    self.ready.set_result(received)
                self._publish(received)
            case _:
                self._publish(received)

    def _settle(self, number: int | None, outcome: Reply | OpsconsoleError) -> None:
        reply = self._replies.pop(number, None) if number is not None else None
        if reply is None or reply.done():  # cancelled meanwhile
            return
        if isinstance(outcome, Reply):
            reply.set_result(outcome)
        else:
            reply.set_exception(outcome)

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
            self.ready.exception()  # retrieved, so that asyncio doesn't report it; who connects reads it, too
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(Unavailable("the keeper was lost before it answered"))
        self._replies.clear()
        self.hang_up()
