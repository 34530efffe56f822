"""Accepts connections, and closes those whose peer shows no secret in time.

A peer that says nothing, or little at a time, is closed after REQUEST_TIMEOUT_S, whether it is in the middle of TLS, of a
request's head or of its body. Connections are accepted here and not by asyncio, which counts them only after TLS, and
which writes a traceback for each of a thousand attempts a second when no file is left.
"""

import asyncio
import errno
import logging
import resource
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from opsconsole_coordinator.http.connection_limit import ConnectionLimit
from opsconsole_coordinator.http.first_bytes import FIRST_BYTES, Kind, kind_of

log = logging.getLogger("opsconsole.coordinator.acceptor")

_http_log = logging.getLogger("opsconsole.coordinator.http")
_http_log.setLevel(logging.ERROR)  # uvicorn would log a line for each peer that doesn't speak HTTP
SOCKETS_MAX = 8_192
"""How many connections may be open, those before their first request included. Where the system allows few open files it is less."""
FILES_KEPT = 512
"""How many of the files that may be open are left to the store and the logs."""
REQUEST_TIMEOUT_S = 10.0
ACCEPT_PAUSE_S = 0.1
ACCEPTS_AT_ONCE = 128
"""How many connections are accepted before the loop does something else."""
TELL_EVERY_S = 60.0
_WORDS = {
    "full": "authenticated peers have all connections",
    "no_file": "no file was left",
    "overtaken": "others came after them",
    "silent": f"they said too little in {REQUEST_TIMEOUT_S:g} s",
    "tls": "TLS came to nothing",
}
"""Why a connection is closed before its peer has shown a secret: as it is counted, and as the log says it."""
_FULL = "this coordinator has its {} sockets: close some and try again\n"
_NO_MORE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

Peer = tuple[Any, ...]
"""A peer's address and port, which no other open connection has."""


class HttpConnection(H11Protocol):
    """An HTTP connection that says when it has ended, also after it has become a websocket."""

    def __init__(self, *, on_closed: Callable[[], None], **options: Any) -> None:
        super().__init__(**options)
        self.logger = _http_log
        self._on_closed = on_closed

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed: it counts no more."""
        super().connection_lost(exc)
        self._on_closed()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """The websocket protocol takes the connection over, and says when it has ended."""
        super().handle_websocket_upgrade(event)
        protocol: Any = self.transport.get_protocol()
        protocol.on_closed = self._on_closed


class StreamTaker(Protocol):
    """Who takes connections over that ask for a stream."""

    def take(self, connection: socket.socket, on_known: Callable[[], None], on_closed: Callable[[], None]) -> bool:
        """Take one; False where there are too many. `on_known`: its peer has shown a secret; `on_closed`: it is closed."""


class Acceptor:
    """Accepts connections of one listening socket. `make(on_closed=…)` makes the protocol that speaks on one."""

    def __init__(
        self,
        listener: socket.socket,
        make: Callable[..., asyncio.Protocol],
        context: ssl.SSLContext | None,
        refused: Counter[str],
        stream_taker: StreamTaker | None = None,
    ) -> None:
        """`stream_taker`: None where there are no streams."""
        self._listener = listener
        self._make = make
        self._context = context
        self._refused = refused
        self._stream_taker = stream_taker
        self._unread: dict[Peer, socket.socket] = {}
        """Connections of which too little has come to know whose they are."""
        self._loop = asyncio.get_running_loop()
        self._connecting: set[asyncio.Task[None]] = set()
        self._closed_by_reason: Counter[str] = Counter()
        self._log_timer: asyncio.TimerHandle | None = None
        self._pause_timer: asyncio.TimerHandle | None = None
        self._unclosed: set[Peer] = set()
        """Peers of connections that still take a file, those included that were shut down and aren't closed yet."""
        self.connection_limit = ConnectionLimit(_limit())

    def open(self) -> None:
        """Begin to accept."""
        self._pause_timer = None
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more, and give up those whose TLS isn't done."""
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener.fileno())
        for handle in (self._pause_timer, self._log_timer):
            if handle is not None:
                handle.cancel()
        for task in self._connecting:
            task.cancel()
        for peer, connection in list(self._unread.items()):
            self._loop.remove_reader(connection.fileno())
            self._close_unread(connection, peer)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            if len(self._unclosed) >= self.connection_limit.limit and len(self._unclosed) > len(self.connection_limit):
                self._pause()  # a burst must not take the files that are left to the store and the logs
                return
            try:
                connection, peer = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if error.errno not in _NO_MORE:
                    raise
                self._count_closed("no_file")
                self._pause()
                return
            self._receive(connection, peer[:2])  # an IPv6 address has more parts, which tell nothing apart here

    def _pause(self) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._pause_timer = self._loop.call_later(ACCEPT_PAUSE_S, self.open)

    def _receive(self, connection: socket.socket, peer: Peer) -> None:
        connection.setblocking(False)
        if not self.connection_limit.admit(peer, str(peer[0]), partial(self._shut_down, connection, "overtaken")):
            self._refuse(connection)
            return
        self._unclosed.add(peer)
        deadline = self._loop.call_later(REQUEST_TIMEOUT_S, self._end_if_anonymous, connection, peer)

        def on_closed() -> None:
            deadline.cancel()
            self.connection_limit.release(peer)
            self._unclosed.discard(peer)

        if self._stream_taker is None:
            self._begin(connection, on_closed)
        else:
            self._sort(connection, peer, on_closed)

    def _begin(self, connection: socket.socket, on_closed: Callable[[], None]) -> None:
        task = self._loop.create_task(self._connect(connection, on_closed), name="connect")
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    # --- streams -----------------------------------------------------------------------------------------------

    def _sort(self, connection: socket.socket, peer: Peer, on_closed: Callable[[], None], seen: int = 0) -> None:
        """Give the connection to whom it belongs, as soon as enough of it has come. `seen`: what had come at the last look."""
        try:
            data = connection.recv(FIRST_BYTES, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            self._await_bytes(connection, peer, on_closed, 0, 1)
            return
        except OSError:
            data = b""
        is_over = len(data) <= seen  # woken, though nothing new has come
        kind = Kind.OTHER if is_over else kind_of(data, is_tls=self._context is not None)
        if isinstance(kind, int):
            self._await_bytes(connection, peer, on_closed, len(data), kind)
        elif kind is Kind.OTHER:
            self._begin(connection, on_closed)
        else:
            self._hand_over(connection, peer, on_closed)

    def _await_bytes(
        self, connection: socket.socket, peer: Peer, on_closed: Callable[[], None], seen: int, number: int
    ) -> None:
        """Look again once `number` bytes are there. The loop isn't woken before, however slowly they come."""
        if number > 1:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, number)

        def look_again() -> None:
            self._loop.remove_reader(connection.fileno())
            del self._unread[peer]
            if number > 1:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            self._sort(connection, peer, on_closed, seen)

        self._unread[peer] = connection
        self._loop.add_reader(connection.fileno(), look_again)

    def _hand_over(self, connection: socket.socket, peer: Peer, on_closed: Callable[[], None]) -> None:
        assert self._stream_taker is not None  # noqa: S101 - else nobody looks at the first bytes

        def on_known() -> None:
            self.connection_limit.authenticate(peer)
            self._unclosed.discard(peer)  # from now on only the transfer process has it open

        if not self._stream_taker.take(connection, on_known, on_closed):
            on_closed()
            connection.close()
            self._count_closed("full")

    def _close_unread(self, connection: socket.socket, peer: Peer) -> None:
        del self._unread[peer]
        self.connection_limit.release(peer)
        self._unclosed.discard(peer)
        connection.close()

    # --- http --------------------------------------------------------------------------------------------------

    async def _connect(self, connection: socket.socket, on_closed: Callable[[], None]) -> None:
        options = {} if self._context is None else {"ssl_handshake_timeout": REQUEST_TIMEOUT_S}
        try:
            await self._loop.connect_accepted_socket(
                partial(self._make, on_closed=on_closed), connection, ssl=self._context, **options
            )
        except (OSError, EOFError):  # TLS errors are OSErrors
            on_closed()
            connection.close()
            self._count_closed("tls")
        except asyncio.CancelledError:
            on_closed()
            connection.close()
            raise

    def _end_if_anonymous(self, connection: socket.socket, peer: Peer) -> None:
        if self.connection_limit.is_anonymous(peer):
            self._shut_down(connection, "silent")

    def _shut_down(self, connection: socket.socket, reason: str) -> None:
        """End the connection's traffic; the protocol on it, TLS or HTTP, notices and closes it."""
        self._count_closed(reason)
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it has just ended by itself

    def _refuse(self, connection: socket.socket) -> None:
        self._count_closed("full")
        with connection:
            if self._context is None:
                body = _FULL.format(self.connection_limit.limit).encode()
                head = f"HTTP/1.1 503 Service Unavailable\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
                try:
                    connection.send(head.encode() + body)
                except OSError:
                    return

    def _count_closed(self, reason: str) -> None:
        """Count a closed connection. The first is logged at once; from then on, once a minute, how many there were."""
        self._refused[reason] += 1
        self._closed_by_reason[reason] += 1
        if self._log_timer is None:
            self._log_closed()

    def _log_closed(self) -> None:
        self._log_timer = None
        if self._closed_by_reason:
            told = ", ".join(f"{number} because {_WORDS[reason]}" for reason, number in self._closed_by_reason.items())
            log.warning("connections were closed before they had shown a token: %s", told)
            self._closed_by_reason.clear()
            self._log_timer = self._loop.call_later(TELL_EVERY_S, self._log_closed)


def _limit() -> int:
    """How many connections may be open, so that enough files are left for everything else."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed == resource.RLIM_INFINITY:
        return SOCKETS_MAX
    in_use = sum(1 for _ in Path("/proc/self/fd").iterdir()) if Path("/proc/self/fd").exists() else 0
    kept = min(FILES_KEPT, allowed // 4)
    return max(4, min(SOCKETS_MAX, allowed - in_use - kept))
