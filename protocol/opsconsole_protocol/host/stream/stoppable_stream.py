"""A stream that stands, and that the coordinator may end: it hears of that over the link by which the stream was opened."""

import threading

from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.host.stream.signaller import Signaller
from opsconsole_protocol.host.stream.stream import Buffer, Stream
from opsconsole_protocol.stream.error import StreamCancelled, StreamLost, StreamStopped
from opsconsole_protocol.stream.message import Way

LISTEN_S = 10.0
"""How long one question lasts whether the stream is to end."""
AGAIN_S = 1.0
"""How soon it is asked again where nothing could be heard: the link may be back."""


class StoppableStream:
    """Another stream. Once `watch` has heard that it is to end, it is closed, and its methods raise StreamStopped."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._closed = threading.Event()
        self._stopped = ""

    @property
    def way(self) -> Way:
        """How its bytes travel."""
        return self._stream.way

    @property
    def engine(self) -> str:
        """The engine of WebRTC that moves its bytes; empty where none does."""
        return self._stream.engine

    def send(self, data: Buffer) -> None:
        """Send all of `data`. Raises StreamLost or StreamStopped."""
        try:
            self._stream.send(data)
        except StreamLost:
            self._raise_stopped()
            raise

    def receive_into(self, view: bytearray | memoryview) -> int:
        """Wait for bytes, put them at the beginning of `view` and return how many; 0 at the end. Raises StreamLost or StreamStopped."""
        try:
            size = self._stream.receive_into(view)
        except StreamLost:
            self._raise_stopped()
            raise
        if not size:
            self._raise_stopped()
        return size

    def close(self) -> None:
        """End the stream; whoever waits in it gets StreamLost."""
        self._closed.set()
        self._stream.close()

    def watch(self, signaller: Signaller) -> None:
        """Wait until the stream is closed, or has to be, in a thread that does nothing else.

        A link that is lost ends nothing: the stream doesn't need it, and is heard of again when it is back.
        """
        while not self._closed.is_set():
            try:
                signaller.receive(LISTEN_S)
            except StreamStopped as error:
                self.stop(error.message)
            except StreamCancelled:
                return  # whoever has cancelled the transfer closes it
            except OpsconsoleError:
                self._closed.wait(AGAIN_S)

    def stop(self, reason: str) -> None:
        """End it, and let whoever uses it know why."""
        self._stopped = reason
        self.close()

    def _raise_stopped(self) -> None:
        if self._stopped:
            raise StreamStopped(self._stopped) from None
