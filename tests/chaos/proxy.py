"""A TCP proxy that is as bad as networks are: slow, narrow, silent in one direction or both, cut, half open.

Nothing is dropped from within a connection, for TCP would send it again: what is held arrives once the line is healed.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any, Literal

Direction = Literal["up", "down"]
Side = Literal["agent", "coordinator"]
UP: Direction = "up"
"""Towards the coordinator."""
DOWN: Direction = "down"
"""Away from it."""

_RESET = struct.pack("ii", 1, 0)
_BLOCK_BYTES = 16 * 1024
_HELD_BLOCKS = 64
"""In each direction of a connection; then whoever sends has to wait, as on any full line."""


class Line:
    """How the network is at the moment; all connections of a proxy share it."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.bytes_per_s: float | None = None
        self.open: dict[Direction, asyncio.Event] = {UP: asyncio.Event(), DOWN: asyncio.Event()}
        for gate in self.open.values():
            gate.set()


class Proxy:
    """Listens on `port` of loopback and passes everything on to `target_port`. Every method may be called from any thread."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self.accepted = 0
        """Connections that were passed on so far."""
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._connections: set[_Connection] = set()
        self._thread.start()
        self._server, self._line = self._run(self._listen)

    # --- commands ----------------------------------------------------------------------------------------------

    def slow(self, delay_s: float, bytes_per_s: float | None = None) -> None:
        """Every byte takes so long in each direction; no more than so many bytes a second."""

        def do() -> None:
            self._line.delay_s, self._line.bytes_per_s = delay_s, bytes_per_s

        self._call(do)

    def stall(self, *directions: Direction) -> None:
        """Hold all bytes of these directions, silently; without any, of both. New connections too: they open, and hang."""
        for direction in directions or (UP, DOWN):
            self._call(self._line.open[direction].clear)

    def heal(self) -> None:
        """Hold nothing any more: what was held arrives now."""
        for gate in self._line.open.values():
            self._call(gate.set)

    def cut(self) -> None:
        """Reset every connection, on both sides."""
        self._call(lambda: self._abort("agent", "coordinator"))

    def half_open(self, noticed_by: Side) -> None:
        """Reset every connection on one side only: the other takes it for open, and hears nothing any more."""
        self._call(lambda: self._abort(noticed_by))

    def close(self) -> None:
        """End everything."""
        self._run(self._shut)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # --- inside ------------------------------------------------------------------------------------------------

    def _call(self, action: Callable[[], object]) -> None:
        async def do() -> None:
            action()

        self._run(do)

    def _run(self, function: Callable[[], Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(function(), self._loop).result(10)

    async def _listen(self) -> tuple[asyncio.Server, Line]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server, Line()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection(self._line, writer, far_writer)
        self._connections.add(connection)
        self.accepted += 1
        try:
            await connection.run(reader, far_reader)
        finally:
            self._connections.discard(connection)

    def _abort(self, *sides: Side) -> None:
        for connection in list(self._connections):
            connection.abort(*sides)

    async def _shut(self) -> None:
        self._server.close()
        self._abort("agent", "coordinator")
        while self._connections:  # noqa: ASYNC110  (they end at once, each by its own task)
            await asyncio.sleep(0)


class _Connection:
    def __init__(self, line: Line, agent: asyncio.StreamWriter, coordinator: asyncio.StreamWriter) -> None:
        self._line = line
        self._writers = {"agent": agent, "coordinator": coordinator}
        self._lost: set[str] = set()
        self._over = asyncio.Event()

    async def run(self, agent: asyncio.StreamReader, coordinator: asyncio.StreamReader) -> None:
        """Until both sides are gone."""
        works = [
            asyncio.create_task(self._pump(agent, "agent", "coordinator", UP)),
            asyncio.create_task(self._pump(coordinator, "coordinator", "agent", DOWN)),
        ]
        await self._over.wait()
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)

    def abort(self, *sides: Side) -> None:
        """Reset these sides. A side that is left isn't told; it finds out, or hangs up, by itself."""
        for side in sides:
            self._lost.add(side)
            found: socket.socket = self._writers[side].get_extra_info("socket")
            with contextlib.suppress(OSError):  # closed by the other end just now
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._writers[side].transport.abort()
        if len(self._lost) == len(self._writers):
            self._over.set()

    def _close(self) -> None:
        """One side has closed it: so does the other, after all that was sent."""
        for writer in self._writers.values():
            writer.close()
        self._over.set()

    async def _pump(self, reader: asyncio.StreamReader, source: Side, sink: Side, direction: Direction) -> None:
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_HELD_BLOCKS)
        writing = asyncio.create_task(self._write(held, source, sink, direction))
        try:
            with contextlib.suppress(OSError):
                while block := await reader.read(_BLOCK_BYTES):
                    await held.put((asyncio.get_running_loop().time() + self._line.delay_s, block))
            await held.put((asyncio.get_running_loop().time() + self._line.delay_s, b""))
            await writing
        finally:
            writing.cancel()

    async def _write(
        self, held: asyncio.Queue[tuple[float, bytes]], source: Side, sink: Side, direction: Direction
    ) -> None:
        """Pass blocks on when they are due; the end of the source, too, unless it was we who ended it."""
        loop = asyncio.get_running_loop()
        while True:
            due_s, block = await held.get()
            await asyncio.sleep(due_s - loop.time())
            await self._line.open[direction].wait()
            if not block:
                if source not in self._lost:
                    self._close()
                return
            if self._line.bytes_per_s is not None:
                await asyncio.sleep(len(block) / self._line.bytes_per_s)
            if self._writers[sink].transport.is_closing():
                continue  # into the void
            with contextlib.suppress(OSError):
                self._writers[sink].write(block)
                await self._writers[sink].drain()
