"""A WebRTC connection as a blocking stream: the caller has one end of a socket pair, a thread pumps the other."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from opsconsole_protocol.error import OpsconsoleError, Unavailable
from opsconsole_protocol.host.stream.stream import Buffer, SocketStream
from opsconsole_protocol.host.stream.webrtc.channel import Channel, Engine
from opsconsole_protocol.host.stream.webrtc.pump import LINGER_S, Pump
from opsconsole_protocol.stream.error import StreamLost
from opsconsole_protocol.stream.message import IceServer, Way

PAIR_BYTES = 1024 * 1024
"""Of the buffers between the caller and the pump, as far as the system allows."""
CLOSE_S = 5.0
"""How long an engine may take to give everything back."""
logger = logging.getLogger(__name__)
_T = TypeVar("_T")


class EngineFailed(Unavailable):
    """An engine did what none should."""


class RtcStream:
    """See `Stream`."""

    def __init__(self, engine: Engine, ice_servers: Sequence[IceServer]) -> None:
        self._engine_name = engine.name
        mine, end = socket.socketpair()
        for pair_end in (mine, end):
            pair_end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PAIR_BYTES)
        self._pair_end = mine
        self._mine = SocketStream(mine, Way.WEBRTC)
        self._reason = ""
        self._is_closed = False
        self._pump: Pump | None = None
        self._channel: Channel | None = None
        self._loop = engine.new_loop()
        self._is_made: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(engine, end, tuple(ice_servers)), name=f"webrtc-{engine.name}", daemon=True
        )
        self._thread.start()
        try:
            self._is_made.result()
        except EngineFailed:
            self.close()
            raise

    @property
    def way(self) -> Way:
        """How its bytes travel."""
        return self._mine.way

    @property
    def engine(self) -> str:
        """The engine of WebRTC that moves its bytes; empty where none does."""
        return self._engine_name

    def call(self, make: Callable[[Channel], Coroutine[Any, Any, _T]]) -> Future[_T]:
        """Begin what `make` gives for the channel, in its loop. The result is that, or an OpsconsoleError."""
        channel = self._channel
        if channel is None:
            raise StreamLost(self._reason or "the WebRTC connection has ended")
        return asyncio.run_coroutine_threadsafe(self._guarded(make(channel)), self._loop)

    async def _guarded(self, call: Coroutine[Any, Any, _T]) -> _T:
        try:
            return await call
        except OpsconsoleError:
            raise
        except Exception as error:
            logger.exception("the engine %s has failed", self._engine_name)
            raise self._failed(error) from None

    def _failed(self, error: Exception) -> EngineFailed:
        return EngineFailed(f"the WebRTC engine {self._engine_name} has failed ({type(error).__name__})")

    async def opened(self, _channel: Channel) -> None:
        """Wait until bytes can travel. Raises StreamLost where the connection ends before."""
        pump = self._pump
        if pump is None:
            raise StreamLost("the WebRTC connection has ended")
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(pump.opened)
        if pump.ended.done():
            raise StreamLost(pump.ended.result())

    def send(self, data: Buffer) -> None:
        """Send all of `data`. Raises StreamLost."""
        try:
            self._mine.send(data)
        except StreamLost as error:
            raise self._lost(error) from None

    def receive_into(self, view: bytearray | memoryview) -> int:
        """Wait for bytes and put them at the beginning of `view`; 0 at the end. Raises StreamLost."""
        try:
            size = self._mine.receive_into(view)
        except StreamLost as error:
            raise self._lost(error) from None
        if not size and not (self._pump is not None and self._pump.is_told_end):
            raise self._lost(StreamLost("the WebRTC connection has ended"))
        return size

    def end(self) -> None:
        """Say that no more will be sent; what the other end sends can still be read."""
        with contextlib.suppress(OSError):
            self._pair_end.shutdown(socket.SHUT_WR)

    def _lost(self, error: StreamLost) -> StreamLost:
        if self._is_closed:
            return error
        self._thread.join(CLOSE_S)  # its end of the pair closes just before the reason is there
        return StreamLost(self._reason) if self._reason else error

    def close(self) -> None:
        """End the stream; whoever waits in it gets StreamLost. What was sent still arrives, after this has returned."""
        if self._is_closed:
            return
        self._is_closed = True
        # A program may end right now: what it sent is still to arrive. What is registered last is called first, so the
        # engine is still at work then, whatever it has registered for itself.
        atexit.register(self._wait_at_exit)
        if not self._thread.is_alive():
            atexit.unregister(self._wait_at_exit)
        self._mine.close()

    def abandon(self) -> None:
        """Close, and let what has been sent be lost."""
        self.close()
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._end_now)

    def join(self, timeout_s: float) -> bool:
        """Wait until the connection has been given back, and return whether it has."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _wait_at_exit(self) -> None:
        self.join(LINGER_S)

    # the thread

    def _end_now(self) -> None:
        if self._pump is not None:
            self._pump.on_end("the stream is closed")

    def _run(self, engine: Engine, end: socket.socket, ice_servers: Sequence[IceServer]) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(_note)
        try:
            self._loop.run_until_complete(self._live(engine, end, ice_servers))
        except Exception as error:
            logger.exception("the engine %s has failed", engine.name)
            failed = self._failed(error)
            self._reason = self._reason or failed.message
            if not self._is_made.done():
                self._is_made.set_exception(failed)
        finally:
            end.close()
            self._finish_loop()
            atexit.unregister(self._wait_at_exit)

    async def _live(self, engine: Engine, end: socket.socket, ice_servers: Sequence[IceServer]) -> None:
        pump = Pump(end)
        channel = engine.channel(pump, ice_servers)
        pump.attach(channel)
        self._pump, self._channel = pump, channel
        self._is_made.set_result(None)
        try:
            self._reason = await pump.ended
        finally:
            end.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(channel.close(), CLOSE_S)

    def _finish_loop(self) -> None:
        self._channel = None
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        if left:
            self._loop.run_until_complete(asyncio.wait(left, timeout=CLOSE_S))
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        self._loop.close()


def _note(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    logger.debug("in a WebRTC engine: %s", context.get("message"), exc_info=context.get("exception"))
