"""Two connections joined: what one sends the other gets, both ways, and each side's end is passed on by itself.

One thread carries a relay. Where both connections are plain the bytes stay in the kernel (`splice`); where one has TLS they
pass through a buffer. A side that doesn't read stops the other's sending: no more than a buffer's worth waits here for it.
"""

import contextlib
import fcntl
import os
import select
import socket
import ssl
import threading
import time
from typing import Protocol

from opsconsole_coordinator.transfer.rate import Rate
from opsconsole_protocol.host.stream.stream import reason_of

BUFFER_BYTES = 256 * 1024
"""What waits here at most in each direction of a relay with TLS."""
PIPE_BYTES = 1024 * 1024
"""The same of a plain one, where the system allows pipes of that size."""
IDLE_S = 900.0
"""A relay by which nothing has come for this long is closed."""
_WAIT_S = 5.0
_HAS_SPLICE = hasattr(os, "splice")


class RelayBroken(Exception):
    """A side broke off."""


class _Pass(Protocol):
    """How the bytes of one direction get from one socket to the other. Both methods raise BlockingIOError, or one of
    the errors by which TLS says so, where they'd have to wait, and OSError where a side is broken."""

    def fill(self) -> int:
        """Take bytes in; 0 at their end."""

    def drain(self) -> int:
        """Pass on what waits; how much of it went."""

    def close(self) -> None:
        """Let go of what it has of the system."""


class _Splice:
    """Through a pipe."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self._source, self._sink = source.fileno(), sink.fileno()
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        with contextlib.suppress(OSError):  # one of many relays of a user without privileges
            fcntl.fcntl(self._writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._waiting = 0

    def fill(self) -> int:
        self._waiting = os.splice(self._source, self._writer, PIPE_BYTES, flags=os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK)
        return self._waiting

    def drain(self) -> int:
        size = os.splice(self._reader, self._sink, self._waiting, flags=os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK)
        self._waiting -= size
        return size

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


class _Copy:
    """Through a buffer, which is filled as far as bytes are there."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self._source, self._sink = source, sink
        self._view = memoryview(bytearray(BUFFER_BYTES))
        self._start = self._end = 0
        self._is_at_end = False

    def fill(self) -> int:
        self._start = self._end = 0
        while self._end < BUFFER_BYTES and not self._is_at_end:
            try:
                size = self._source.recv_into(self._view[self._end :])
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                if not self._end:
                    raise
                break
            self._end += size
            self._is_at_end = not size
        return self._end

    def drain(self) -> int:
        size = self._sink.send(self._view[self._start : self._end])
        self._start += size
        return size

    def close(self) -> None:
        self._view.release()


class _Direction:
    """One way through a relay."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source, self.sink = source, sink
        is_plain = not isinstance(source, ssl.SSLSocket) and not isinstance(sink, ssl.SSLSocket)
        self._through: _Pass = _Splice(source, sink) if is_plain and _HAS_SPLICE else _Copy(source, sink)
        self.waiting = 0
        """Bytes that were taken in and not passed on yet."""
        self.is_over = False
        self.wants = select.POLLIN
        """What it waits for: POLLIN of its source or POLLOUT of its sink."""

    def step(self) -> int:
        """Take in or pass on what can be. Returns how many bytes were taken in; 0 where it has to wait."""
        taken = 0
        try:
            if self.waiting:
                self.waiting -= self._through.drain()
            if not self.waiting and not self.is_over:
                self.wants = select.POLLIN
                taken = self.waiting = self._through.fill()
                if not taken:
                    self._end()
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        if self.waiting:
            self.wants = select.POLLOUT
        return taken

    def _end(self) -> None:
        self.is_over = True
        with contextlib.suppress(OSError):  # gone already
            socket.socket.shutdown(self.sink, socket.SHUT_WR)  # below TLS, which could be read no more otherwise

    def close(self) -> None:
        self._through.close()


class Relay:
    """Joins two connected sockets, which are its own from now on and closed at the end of `run`."""

    def __init__(self, first: socket.socket, second: socket.socket, rate: Rate, idle_s: float = IDLE_S) -> None:
        self._sockets = (first, second)
        self._rate = rate
        self._idle_s = idle_s
        self._cancelled = threading.Event()
        self._reason = ""
        self.moved_bytes = 0
        """In both directions; another thread may look."""

    def cancel(self, reason: str) -> None:
        """End it from another thread."""
        self._reason = reason
        self._cancelled.set()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(one, socket.SHUT_RDWR)

    def run(self) -> None:
        """Carry bytes until both sides have ended. Raises RelayBroken with one line where it ended otherwise."""
        directions: list[_Direction] = []
        try:
            for one in self._sockets:
                one.setblocking(False)
            directions.append(_Direction(*self._sockets))
            directions.append(_Direction(*reversed(self._sockets)))
            self._carry(directions)
        except OSError as error:
            raise RelayBroken(self._reason or f"one end broke off ({reason_of(error)})") from None
        finally:
            for direction in directions:
                direction.close()
            for one in self._sockets:
                one.close()

    def _carry(self, directions: list[_Direction]) -> None:
        at_s = time.monotonic()
        while True:
            taken = sum(direction.step() for direction in directions)
            if self._cancelled.is_set():
                raise RelayBroken(self._reason)
            if taken:
                at_s = time.monotonic()
                self.moved_bytes += taken
                self._cancelled.wait(self._rate.take(taken))
            elif all(direction.is_over for direction in directions):
                return
            elif not self._wait(directions) and time.monotonic() - at_s > self._idle_s:
                raise RelayBroken(f"nothing has come for {self._idle_s:g} s")

    def _wait(self, directions: list[_Direction]) -> bool:
        """Wait until one of the directions can go on; False where none could for a while.

        Raises RelayBroken where a side is gone that is still written to: TLS may take that for a mere end of what it reads.
        """
        events: dict[int, int] = {}
        written: set[int] = set()
        for direction in directions:
            if not direction.is_over:
                wants_in = direction.wants == select.POLLIN
                source, sink = direction.source.fileno(), direction.sink.fileno()
                events[source] = events.get(source, 0) | (select.POLLIN if wants_in else 0)
                events[sink] = events.get(sink, 0) | (0 if wants_in else select.POLLOUT)
                written.add(sink)
        poll = select.poll()
        for descriptor, wanted in events.items():
            poll.register(descriptor, wanted)
        found = poll.poll(_WAIT_S * 1000)
        if any(one in written and event & (select.POLLERR | select.POLLHUP) for one, event in found):
            raise RelayBroken(self._reason or "one end broke off")
        return bool(found)
