"""A stream that knows when something moved on it last."""

import time

from opsconsole_protocol.host.stream.stream import Buffer, Stream
from opsconsole_protocol.stream.message import Way


class WatchedStream:
    """Another stream, watched."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.moved_s = time.monotonic()
        """When the last call that moved bytes has returned."""

    @property
    def way(self) -> Way:
        """How its bytes travel."""
        return self._stream.way

    def send(self, data: Buffer) -> None:
        """Send all of `data`. Raises StreamLost."""
        self._stream.send(data)
        self.moved_s = time.monotonic()

    def receive_into(self, view: bytearray | memoryview) -> int:
        """Wait for bytes, put them at the beginning of `view` and return how many; 0 at the end. Raises StreamLost."""
        size = self._stream.receive_into(view)
        self.moved_s = time.monotonic()
        return size

    def close(self) -> None:
        """End the stream; whoever waits in it gets StreamLost."""
        self._stream.close()
