"""A stream of bytes, both ways, that blocks: who sends waits for who receives, however the bytes travel."""

import contextlib
import errno
import os
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from typing import Protocol

from opsconsole_protocol.stream.error import StreamLost
from opsconsole_protocol.stream.message import Way

STALL_CHECK_S = 5.0
"""How often a call that waits looks whether the other machine is still there."""
SILENT_MS = 30_000
"""Bytes that wait this long for an acknowledgement, be it one that there is no room, wait for nobody."""
_KEEPALIVE = (
    (socket.TCP_KEEPIDLE, 15),
    (socket.TCP_KEEPINTVL, 5),
    (socket.TCP_KEEPCNT, 4),
)
_PROBES_MAX = 3
"""Questions whether there is room again that may go unanswered."""
_TCP_INFO = struct.Struct("3xB4x16xI28xI")
"""Of the kernel's `tcp_info`: unanswered probes, unacknowledged segments, and the age of the last acknowledgement."""

Buffer = bytes | bytearray | memoryview


class Stream(Protocol):
    """A stream. One thread at a time sends, and one receives, which may be another; `close` may come from any."""

    @property
    def way(self) -> Way:
        """How its bytes travel."""

    @property
    def engine(self) -> str:
        """The engine of WebRTC that moves its bytes; empty where none does."""

    def send(self, data: Buffer) -> None:
        """Send all of `data`; wait while the other end doesn't take it. Raises StreamLost."""

    def receive_into(self, view: bytearray | memoryview) -> int:
        """Wait for bytes, put them at the beginning of `view` and return how many; 0 at the end. Raises StreamLost."""

    def close(self) -> None:
        """End the stream; whoever waits in it gets StreamLost. Closing twice is fine."""


def tune(sock: socket.socket) -> None:
    """Let a TCP socket send small pieces at once, and notice a peer that has vanished. Other sockets stay as they are."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


class SocketStream:
    """A stream over a connected socket, with TLS or without. The socket is the stream's from now on.

    TLS says at the end that it is the end. A socket with `suppress_ragged_eofs=False` tells that from a connection which broke.

    `received`: bytes of the stream that were read together with what came before it.
    """

    def __init__(self, sock: socket.socket, way: Way, received: bytes = b"") -> None:
        tune(sock)
        sock.settimeout(STALL_CHECK_S)
        self._socket = sock
        self._way = way
        self._received = memoryview(received)
        self._lock = threading.Lock()
        self._tls = threading.Lock() if isinstance(sock, ssl.SSLSocket) else None
        """OpenSSL can't be in one connection twice at a time."""
        if self._tls is not None:
            sock.settimeout(0)
        self._users = 0
        self._is_closed = False

    @property
    def way(self) -> Way:
        """How its bytes travel."""
        return self._way

    @property
    def engine(self) -> str:
        """The engine of WebRTC that moves its bytes; empty where none does."""
        return ""

    def send(self, data: Buffer) -> None:
        """Send all of `data`. Raises StreamLost."""
        rest, stalls = memoryview(data).cast("B"), 0
        self._enter()
        try:
            while rest:
                try:
                    rest, stalls = rest[self._in_turn(lambda left=rest: self._socket.send(left)) :], 0  # type: ignore[misc]
                except TimeoutError as error:
                    stalls += 1
                    _check_alive(self._socket, stalls, error)
        except OSError as error:
            raise self._lost(error) from None
        finally:
            self._leave()

    def receive_into(self, view: bytearray | memoryview) -> int:
        """Wait for bytes and put them at the beginning of `view`, which isn't empty; 0 at the end. Raises StreamLost."""
        if self._received:
            size = min(len(view), len(self._received))
            view[:size] = self._received[:size]
            self._received = self._received[size:]
            return size
        size, stalls = -1, 0
        self._enter()
        try:
            while size < 0:
                try:
                    size = self._in_turn(lambda: self._socket.recv_into(view))
                except TimeoutError as error:
                    stalls += 1
                    _check_alive(self._socket, stalls, error)
        except OSError as error:
            raise self._lost(error) from None
        finally:
            self._leave()
        if not size and self._is_closed:
            raise self._lost()
        return size

    def close(self) -> None:
        """End the stream; whoever waits in it gets StreamLost."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            if not self._users:
                _say_goodbye(self._socket)
            with contextlib.suppress(OSError):
                # Of the socket below TLS: whoever waits is woken, and finds the state of TLS as it was.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            if not self._users:
                self._socket.close()

    def _in_turn(self, step: Callable[[], int]) -> int:
        """What `step` does to the socket, as soon as it can. Nobody waits within TLS. Raises OSError; TimeoutError after STALL_CHECK_S."""
        if self._tls is None:
            return step()
        until_s = time.monotonic() + STALL_CHECK_S
        while True:
            try:
                with self._tls:
                    return step()
            except ssl.SSLWantReadError:
                wanted = select.POLLIN
            except ssl.SSLWantWriteError:
                wanted = select.POLLOUT
            poll = select.poll()
            poll.register(self._socket.fileno(), wanted)
            if not poll.poll(max(0.0, 1000 * (until_s - time.monotonic()))):
                raise TimeoutError

    def _enter(self) -> None:
        with self._lock:
            if self._is_closed:
                raise self._lost()
            self._users += 1

    def _leave(self) -> None:
        """The last who is in it closes the socket: its number mustn't become another file's under somebody's hands."""
        with self._lock:
            self._users -= 1
            if self._is_closed and not self._users:
                self._socket.close()

    def _lost(self, error: OSError | None = None) -> StreamLost:
        if self._is_closed or error is None:
            return StreamLost("the stream was closed at this end")
        return StreamLost(f"the stream broke ({reason_of(error)})")


def _say_goodbye(sock: socket.socket) -> None:
    """Let TLS say that this is the end, as far as that goes at once. Nobody else may be in the socket."""
    if isinstance(sock, ssl.SSLSocket):
        with contextlib.suppress(OSError, ValueError):  # it can't be sent; or it is, and the other's isn't waited for
            sock.settimeout(0)
            sock.unwrap()


def reason_of(error: OSError) -> str:
    """What happened to a connection, in a few words."""
    if isinstance(error, ssl.SSLEOFError):
        return "Connection lost"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'closed'}"
    if isinstance(error, TimeoutError) and error.errno is None:
        return "no answer"
    return os.strerror(error.errno) if error.errno else "closed"


def _check_alive(sock: socket.socket, stalls: int, error: TimeoutError) -> None:
    """Raise TimeoutError where the other machine is gone; TCP itself would often wait for a quarter of an hour.

    `stalls`: how often in a row the caller has waited for STALL_CHECK_S. `error`: of the last time; with a number it is not
    Python's, who has waited long enough, but TCP's, that has asked the other machine in vain.
    """
    if error.errno is not None:
        raise error
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or stalls * STALL_CHECK_S * 1_000 < SILENT_MS:
        return
    facts = _TCP_INFO.unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size))
    if is_gone(*facts):
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))


def is_gone(probes: int, unacknowledged: int, last_ack_ms: int) -> bool:
    """Whether a machine that leaves this unanswered is gone. One that is only slow answers that it has no room."""
    return (unacknowledged > 0 or probes > _PROBES_MAX) and last_ack_ms > SILENT_MS
