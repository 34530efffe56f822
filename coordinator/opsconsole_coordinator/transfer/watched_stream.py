"""A stream that knows when something moved on it last, and whether its other end takes its time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from opsconsole_protocol.host.stream.stream import Buffer, Stream
from opsconsole_protocol.stream.message import Way

HEADWAY_BYTES = 1 << 20
HEADWAY_S = 15.0
"""An end trickles that is waited for longer than this, all waits together, until HEADWAY_BYTES have come from it."""


class WatchedStream:
    """Another stream, watched. Another thread may look."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.moved_s = time.monotonic()
        """When the last call that moved bytes has returned."""
        self.is_closed = False
        self._waits_since_s: float | None = None
        self._waited_s = 0.0
        self._came = 0
        """Bytes that have come, and how long was waited, since HEADWAY_BYTES had come last."""

    @property
    def way(self) -> Way:
        """How its bytes travel."""
        return self._stream.way

    @property
    def engine(self) -> str:
        """The engine of WebRTC that moves its bytes; empty where none does."""
        return self._stream.engine

    @property
    def is_trickling(self) -> bool:
        """Whether its other end makes too little headway for somebody else to wait for it. What is done here doesn't count."""
        since_s = self._waits_since_s
        waits_s = 0.0 if since_s is None else time.monotonic() - since_s
        return self._waited_s + waits_s > HEADWAY_S

    def send(self, data: Buffer) -> None:
        """Send all of `data`. Raises StreamLost."""
        with self._waiting():
            self._stream.send(data)

    def receive_into(self, view: bytearray | memoryview) -> int:
        """Wait for bytes, put them at the beginning of `view` and return how many; 0 at the end. Raises StreamLost."""
        with self._waiting():
            size = self._stream.receive_into(view)
        self._came += size
        if self._came >= HEADWAY_BYTES:
            self._came, self._waited_s = 0, 0.0
        return size

    def close(self) -> None:
        """End the stream; whoever waits in it gets StreamLost."""
        self.is_closed = True
        self._stream.close()

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        since_s = self._waits_since_s = time.monotonic()
        try:
            yield
        finally:
            self.moved_s = time.monotonic()
            self._waits_since_s = None
            self._waited_s += self.moved_s - since_s
