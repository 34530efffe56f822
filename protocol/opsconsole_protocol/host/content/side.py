"""What both sides of a transfer do: frames in and out, progress, and how they stop."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from opsconsole_protocol.content.frame import Frame, FrameKind, FrameReader, failure
from opsconsole_protocol.content.manifest import Manifest
from opsconsole_protocol.content.round import AHEAD_MAX
from opsconsole_protocol.error import Conflict, OpsconsoleError
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.stream.error import StreamCancelled, StreamLost

_DRAINED_FRAMES_MAX = 4 * AHEAD_MAX + 256


class ByteStream(Protocol):
    """What a transfer needs of a stream (`host/stream/stream.py`). Both methods raise StreamLost when it has died."""

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of it."""

    def receive_into(self, view: memoryview) -> int:
        """Wait for bytes. Returns how many have come, 0 at the stream's end."""


class Progress(NamedTuple):
    """How far a transfer is. What the receiver had already counts as done, and as skipped, and so do holes, which nobody sends."""

    bytes_done: int
    bytes_total: int
    files_done: int
    files_total: int
    bytes_skipped: int
    bytes_empty: int = 0
    """Holes of files that were lacking; part of what was skipped."""


class Summary(NamedTuple):
    """A transfer that has ended well. `bytes`: the size of the tree; `bytes_sent`: of files, over this stream."""

    content_id: ContentId
    bytes: int
    bytes_sent: int
    files: int
    seconds: float
    left_out: int = 0
    """Of the receiver: how many things the sender had to leave out of what it was asked for."""
    why: str = ""
    """Why the first of them isn't there, in one line."""


Tell = Callable[[Progress], None]


class Side:
    """One side."""

    def __init__(self, stream: ByteStream, progress: Tell | None, cancel: threading.Event | None) -> None:
        self.stream = stream
        self.reader = FrameReader()
        self.started_s = time.monotonic()
        self.sent = 0
        self._progress = progress
        self._cancel = cancel
        self._total = (0, 0)
        self._skipped = 0
        self._empty = 0
        self._files = 0
        self._has_begun = False
        self._by_peer = False
        """Whether the other end has stopped."""

    def run(self) -> Summary:
        """Do this side's part; if it can't go on, the other end is told why."""
        try:
            return self.transfer()
        except StreamLost:
            self.stop_if_cancelled()
            raise
        except OpsconsoleError as error:
            self.answer_stop() if self._by_peer else self.stop(error)
            raise
        except OSError as error:
            failed = Conflict(f"the disk of one end fails ({error.strerror}): see the logs there")
            self.stop(failed)
            raise failed from None

    def transfer(self) -> Summary:
        """This side's part."""
        raise NotImplementedError

    def await_frame(self) -> Frame:
        """The next frame from the other end. Raises StreamLost if there is none."""
        self.stop_if_cancelled()
        while True:
            count = self.stream.receive_into(self.reader.room())
            if count == 0:
                raise StreamLost("the other end has gone away in the middle of a transfer")
            arrived = self.reader.filled(count)
            if arrived is not None:
                self._by_peer = arrived.kind is FrameKind.FAIL
                return arrived

    def stop_if_cancelled(self) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise StreamCancelled("the transfer was cancelled")

    def begin(self, manifest: Manifest, wanted: list[int]) -> None:
        """It is known what is lacking."""
        self._has_begun = True
        self._total = (manifest.size_bytes, manifest.files)
        lacking = sum(manifest.entries[index].size for index in wanted)
        self._skipped = manifest.size_bytes - lacking
        self._files = manifest.files - len(wanted)
        self.tell(0, 0)

    def tell(self, size: int, files: int, skipped: int = 0, empty: int = 0) -> None:
        """Take note of bytes that have moved, or needn't; `empty` of them are holes."""
        self.sent += size
        self._skipped += skipped
        self._empty += empty
        self._files += files
        if self._progress is not None:
            size_total, files_total = self._total
            done = Progress(self.sent + self._skipped, size_total, self._files, files_total, self._skipped, self._empty)
            self._progress(done)

    def stop(self, error: OpsconsoleError) -> None:
        """Tell the other end why this one stops, and let it read that: what it has sent meanwhile is taken and dropped."""
        try:
            self.stream.send(failure(error))
            for _ in range(_DRAINED_FRAMES_MAX):
                if self._dropped() is FrameKind.FAIL:
                    return
        except OpsconsoleError:
            return  # it can't be told; it will see the stream end

    def answer_stop(self) -> None:
        """The other end has stopped: let it know that this has been read."""
        try:
            self.stream.send(failure(StreamCancelled("stopped")))
        except OpsconsoleError:
            return

    def summary(self, manifest: Manifest) -> Summary:
        seconds = time.monotonic() - self.started_s
        return Summary(manifest.content_id, manifest.size_bytes, self.sent, manifest.files, seconds)

    def _dropped(self) -> FrameKind | None:
        while True:
            count = self.stream.receive_into(self.reader.room())
            if count == 0:
                return FrameKind.FAIL
            arrived = self.reader.filled(count)
            if arrived is not None:
                return arrived.kind
