"""A bounded queue of messages to one peer, which a task of its own sends in batches."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Raw
from starlette.websockets import WebSocket, WebSocketDisconnect

from opsconsole_protocol.codec import BATCH_BYTES_MAX

FRAME_MESSAGES_MAX = 512
QUEUED_BYTES_MAX = 64 << 20


class Outbox:
    """Collects messages and sends what has come together as one frame.

    When more than `limit` messages or QUEUED_BYTES_MAX bytes wait, they are dropped. Once the peer reads again, `on_overflow`
    is called, to send it a whole set instead.
    """

    def __init__(
        self,
        socket: WebSocket,
        encode: Callable[[Sequence[msgspec.Struct | Raw]], bytes],
        limit: int,
        on_overflow: Callable[[], None],
    ) -> None:
        self._socket = socket
        self._encode = encode
        self._limit = limit
        self._on_overflow = on_overflow
        self._queue: list[msgspec.Struct | Raw] = []
        self._bytes = 0
        self._has_overflowed = False
        self._wake = asyncio.Event()
        self._is_ending = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def is_ending(self) -> bool:
        """Whether a last message is on its way."""
        return self._is_ending

    def put(self, message: msgspec.Struct | Raw) -> None:
        """Queue a message, encoded already or not. Never blocks."""
        if len(self._queue) >= self._limit or self._bytes > QUEUED_BYTES_MAX:
            self._queue.clear()
            self._bytes = 0
            self._has_overflowed = True
        if not self._has_overflowed:
            self._queue.append(message)
            self._bytes += _size(message)
        self._idle.clear()
        self._wake.set()

    async def drained(self) -> None:
        """Wait until nothing is queued, for callers that can gather more meanwhile."""
        await self._idle.wait()

    def end(self, message: msgspec.Struct) -> None:
        """Queue a last message; `run` returns once it is sent."""
        self._queue.append(message)
        self._is_ending = True
        self._wake.set()

    async def run(self) -> None:
        """Send until the peer is gone or `end` was called."""
        try:
            while not (self._is_ending and not self._queue):
                await self._wake.wait()
                self._wake.clear()
                await self._flush()
        except (WebSocketDisconnect, RuntimeError):
            return  # the receiving side notices, too, and cleans up

    async def _flush(self) -> None:
        while self._queue:
            batch, self._queue = self._queue[:FRAME_MESSAGES_MAX], self._queue[FRAME_MESSAGES_MAX:]
            await self._send(batch)
            self._bytes = max(0, self._bytes - sum(map(_size, batch)))
        if self._has_overflowed:
            self._has_overflowed = False
            self._on_overflow()
        self._idle.set()

    async def _send(self, batch: list[msgspec.Struct | Raw]) -> None:
        """Send a batch as one frame, or as several where one would be larger than the peer takes."""
        frame = self._encode(batch)
        if len(frame) <= BATCH_BYTES_MAX or len(batch) == 1:
            await self._socket.send_bytes(frame)
            return
        half = len(batch) // 2
        await self._send(batch[:half])
        await self._send(batch[half:])


def _size(message: msgspec.Struct | Raw) -> int:
    """How many bytes a message takes; 0 for one that isn't encoded yet, since all large ones are encoded."""
    return len(message) if isinstance(message, Raw) else 0


class Closed(Exception):
    """The peer's connection has ended."""


async def receive(socket: WebSocket) -> bytes:
    """The next binary message. Raises Closed at the end; text is answered like any other malformed message."""
    message: dict[str, Any] = dict(await socket.receive())
    if message["type"] == "websocket.disconnect":
        raise Closed
    data = message.get("bytes")
    return data if data is not None else (message.get("text") or "").encode()
