"""A loop whose datagram endpoints read and write in batches.

asyncio reads one datagram for each turn of its loop, and a turn costs more than aiortc's work on a datagram. This loop reads as many
as there are, up to a bound, and asks for large buffers, so that a burst isn't lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, cast

DATAGRAMS_AT_ONCE = 64
"""Read in one turn of the loop."""
DATAGRAM_BYTES_MAX = 64 * 1024
UNSENT_BYTES_MAX = 4 * 1024 * 1024
"""What waits for the system to take it; what comes on top is dropped, as a full queue in the network would."""
SOCKET_BYTES = 4 * 1024 * 1024
"""Of the system's buffers, as far as it allows."""


class DatagramLoop(asyncio.SelectorEventLoop):
    """Gives batched endpoints to whoever asks for one at a local address; anything else is asyncio's own."""

    async def create_datagram_endpoint(  # type: ignore[override]
        self, protocol_factory: Callable[[], asyncio.DatagramProtocol], local_addr: Any = None, **options: Any
    ) -> tuple[asyncio.DatagramTransport, asyncio.DatagramProtocol]:
        """See asyncio's. `local_addr` is a numeric address and a port."""
        if local_addr is None or options:
            return await super().create_datagram_endpoint(protocol_factory, local_addr, **options)
        host, port = local_addr
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, option, SOCKET_BYTES)
            sock.bind((host, port))
        except BaseException:
            sock.close()
            raise
        protocol = protocol_factory()
        transport = _BatchedTransport(self, sock, protocol)
        protocol.connection_made(transport)
        transport.start()
        return transport, protocol


class _BatchedTransport(asyncio.DatagramTransport):
    """A bound UDP socket that belongs to the loop."""

    def __init__(self, loop: DatagramLoop, sock: socket.socket, protocol: asyncio.DatagramProtocol) -> None:
        super().__init__({"socket": sock, "sockname": sock.getsockname()})
        self._loop = loop
        self._socket = sock
        self._protocol = protocol
        self._queue: deque[tuple[bytes, Any]] = deque()
        self._queued_bytes = 0
        self._is_closing = False

    def start(self) -> None:
        """Hand on what arrives."""
        if not self._is_closing:
            self._loop.add_reader(self._socket, self._read)

    def _read(self) -> None:
        receive, receiver = self._socket.recvfrom, self._protocol.datagram_received
        for _ in range(DATAGRAMS_AT_ONCE):
            if self._is_closing:
                return
            try:
                data, address = receive(DATAGRAM_BYTES_MAX)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._protocol.error_received(error)
                return
            receiver(data, address)

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send at once if the system takes it, or queue it."""
        if self._queue:
            self._enqueue(bytes(data), addr)
            return
        try:
            self._socket.sendto(data, addr)
        except (BlockingIOError, InterruptedError):
            self._enqueue(bytes(data), addr)
            self._loop.add_writer(self._socket, self._write)
        except OSError as error:
            self._protocol.error_received(error)

    def _enqueue(self, data: bytes, address: Any) -> None:
        if self._queued_bytes + len(data) <= UNSENT_BYTES_MAX:
            self._queue.append((data, address))
            self._queued_bytes += len(data)

    def _write(self) -> None:
        while self._queue:
            data, address = self._queue[0]
            try:
                self._socket.sendto(data, address)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._protocol.error_received(error)
            self._queue.popleft()
            self._queued_bytes -= len(data)
        self._loop.remove_writer(self._socket)
        if self._is_closing:
            self._loop.call_soon(self._finish)

    def is_closing(self) -> bool:
        """Whether it takes nothing any more."""
        return self._is_closing

    def close(self) -> None:
        """Send what is queued, and close."""
        if not self._is_closing:
            self._is_closing = True
            self._loop.remove_reader(self._socket)
            if not self._queue:
                self._loop.call_soon(self._finish)

    def abort(self) -> None:
        """Close and drop what is queued."""
        if self._queue:
            self._queue.clear()
            self._loop.remove_writer(self._socket)
        self.close()

    def _finish(self) -> None:
        if self._socket.fileno() >= 0:
            self._protocol.connection_lost(None)
            self._socket.close()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand what arrives to another protocol."""
        self._protocol = cast("asyncio.DatagramProtocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return who is handed what arrives."""
        return self._protocol
