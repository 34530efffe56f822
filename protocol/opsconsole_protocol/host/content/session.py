"""Send and receive a tree over a blocking stream, in the calling thread."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from opsconsole_protocol.content.digest import CHUNK_BYTES
from opsconsole_protocol.content.frame import (
    HEAD_BYTES,
    LEAVES_FRAME_BYTES,
    PLACE_BYTES,
    Frame,
    FrameKind,
    FrameReader,
    failure,
    frame,
    head,
)
from opsconsole_protocol.content.manifest import Manifest
from opsconsole_protocol.content.receiver import Finish, Offered, OfferedLeaves, Receiver, TakeChunk, TakeFile
from opsconsole_protocol.content.round import AHEAD_MAX, chunk_size
from opsconsole_protocol.content.sender import AwaitFrame, SendBatch, SendChunk, Sender, SendFrame, SendLeaves, Skip
from opsconsole_protocol.error import Conflict, OpsconsoleError, ProtocolError
from opsconsole_protocol.host.content.sink import Sink
from opsconsole_protocol.host.content.source import Source
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
    """How far a transfer is. What the receiver had already counts as done, and as skipped."""

    bytes_done: int
    bytes_total: int
    files_done: int
    files_total: int
    bytes_skipped: int


class Summary(NamedTuple):
    """A transfer that has ended well. `bytes`: the size of the tree; `bytes_sent`: of files, over this stream."""

    content_id: ContentId
    bytes: int
    bytes_sent: int
    files: int
    seconds: float


Tell = Callable[[Progress], None]


def send(
    stream: ByteStream, source: Source, *, progress: Tell | None = None, cancel: threading.Event | None = None
) -> Summary:
    """Send a tree to `receive` at the other end, as far as it is lacking there.

    `cancel` is looked at between frames; who sets it and doesn't want to wait for the other end closes the stream as well.
    Raises StreamLost if the stream died, after which another one can go on; StreamCancelled; ContentChanged if a file isn't
    what the manifest says; ProtocolError; and the error with which the receiver stopped. The source stays open.
    """
    return _Sending(stream, source, progress, cancel).run()


def receive(
    stream: ByteStream,
    make_sink: Callable[[Manifest], Sink],
    *,
    expected: ContentId | None = None,
    bytes_max: int | None = None,
    progress: Tell | None = None,
    cancel: threading.Event | None = None,
) -> Summary:
    """Receive the tree that `send` sends at the other end. The sink has been finished, or abandoned, afterwards.

    `make_sink` may raise an OpsconsoleError, with which the tree is refused. `expected`: the only tree that is taken;
    `bytes_max`: how large it may be. Raises StreamLost if the stream died, after which another one can go on;
    StreamCancelled; ProtocolError for a sender that lies; LimitExceeded; the sink's errors, and the error with which the
    sender stopped.
    """
    return _Receiving(stream, make_sink, Receiver(expected=expected, bytes_max=bytes_max), progress, cancel).run()


def refuse(stream: ByteStream, error: OpsconsoleError) -> None:
    """Instead of sending or receiving, tell the other end why not, and let it read that."""
    _Side(stream, None, None).stop(error)


class _Side:
    """What both sides do: frames in and out, progress, and how they stop."""

    def __init__(self, stream: ByteStream, progress: Tell | None, cancel: threading.Event | None) -> None:
        self.stream = stream
        self.reader = FrameReader()
        self.started_s = time.monotonic()
        self.sent = 0
        self._progress = progress
        self._cancel = cancel
        self._total = (0, 0)
        self._skipped = 0
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

    def tell(self, size: int, files: int, skipped: int = 0) -> None:
        """Take note of bytes that have moved, or needn't."""
        self.sent += size
        self._skipped += skipped
        self._files += files
        if self._progress is not None:
            size_total, files_total = self._total
            done = Progress(self.sent + self._skipped, size_total, self._files, files_total, self._skipped)
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


class _Sending(_Side):
    """The sender's side."""

    def __init__(
        self, stream: ByteStream, source: Source, progress: Tell | None, cancel: threading.Event | None
    ) -> None:
        super().__init__(stream, progress, cancel)
        self._source = source
        self._machine = Sender(source.manifest)
        self._buffer = bytearray(HEAD_BYTES + PLACE_BYTES + CHUNK_BYTES)
        self._view = memoryview(self._buffer)

    def transfer(self) -> Summary:
        """Carry out the machine's steps."""
        steps = self._machine.run()
        arrived: Frame | None = None
        while True:
            try:
                step = next(steps) if arrived is None else steps.send(arrived)
            except StopIteration:
                if not self._has_begun:
                    self.begin(self._machine.manifest, [])
                return self.summary(self._machine.manifest)
            arrived = None
            if isinstance(step, AwaitFrame):
                arrived = self.await_frame()
            elif isinstance(step, SendFrame):
                self.stream.send(step.data)
            else:
                self._send_files(step)

    def _send_files(self, step: SendLeaves | SendChunk | SendBatch | Skip) -> None:
        self.stop_if_cancelled()
        if not self._has_begun:
            self.begin(self._machine.manifest, self._machine.wanted)
        if isinstance(step, Skip):
            self.tell(0, step.files, step.size)
        elif isinstance(step, SendChunk):
            self._send_chunk(step.entry_index, step.number)
        elif isinstance(step, SendBatch):
            self._send_batch(step.indexes)
        else:
            leaves = b"".join(leaf for index in step.indexes for leaf in self._source.leaves(index))
            for start in range(0, len(leaves), LEAVES_FRAME_BYTES):
                self.stream.send(frame(FrameKind.LEAVES, leaves[start : start + LEAVES_FRAME_BYTES]))

    def _send_chunk(self, index: int, number: int) -> None:
        size = chunk_size(self._source.manifest.entries[index], number)
        start = HEAD_BYTES + PLACE_BYTES
        self._source.read_chunk(index, number, self._view[start : start + size])
        self._view[:start] = head(FrameKind.CHUNK, index, number, size)
        self.stream.send(self._view[: start + size])
        self.tell(size, 0)

    def _send_batch(self, indexes: list[int]) -> None:
        start = at = HEAD_BYTES + PLACE_BYTES
        for index in indexes:
            size = self._source.manifest.entries[index].size
            self._source.read_file(index, self._view[at : at + size])
            at += size
        self._view[:start] = head(FrameKind.BATCH, indexes[0], len(indexes), at - start)
        self.stream.send(self._view[:at])
        self.tell(at - start, len(indexes))


class _Receiving(_Side):
    """The receiver's side."""

    def __init__(
        self,
        stream: ByteStream,
        make_sink: Callable[[Manifest], Sink],
        machine: Receiver,
        progress: Tell | None,
        cancel: threading.Event | None,
    ) -> None:
        super().__init__(stream, progress, cancel)
        self._make_sink = make_sink
        self._machine = machine
        self._sink: Sink | None = None

    def transfer(self) -> Summary:
        """Carry out the machine's steps."""
        steps = self._machine.run()
        answer: object = None
        try:
            while True:
                try:
                    step = steps.send(answer)
                except StopIteration:
                    return self.summary(self._taken_by().manifest)
                answer = self._carry_out(step)
        finally:
            if self._sink is not None:
                self._sink.abandon()

    def _carry_out(self, step: object) -> object:
        if isinstance(step, AwaitFrame):
            return self.await_frame()
        if isinstance(step, SendFrame):
            self.stream.send(step.data)
            return None
        if isinstance(step, Offered):
            self._sink = self._make_sink(step.manifest)
            wanted = self._sink.wanted()
            self.begin(step.manifest, wanted)
            return wanted
        sink = self._taken_by()
        if isinstance(step, TakeChunk):
            sink.write_chunk(step.entry_index, step.number, step.data)
            self.tell(len(step.data), 0)
        elif isinstance(step, TakeFile):
            sink.write_file(step.entry_index, step.data)
            self.tell(len(step.data), 1)
        elif isinstance(step, OfferedLeaves):
            wanted = sink.wanted_chunks(step.entry_index, step.leaves)
            self._skip(sink.manifest, step.entry_index, wanted)
            return wanted
        elif isinstance(step, Finish):
            sink.finish()
        return None

    def _taken_by(self) -> Sink:
        if self._sink is None:
            raise ProtocolError("the other end sent files before it said which")
        return self._sink

    def _skip(self, manifest: Manifest, index: int, wanted: list[int]) -> None:
        entry = manifest.entries[index]
        lacking = sum(chunk_size(entry, number) for number in wanted)
        self.tell(0, 1, entry.size - lacking)
