"""Send and receive a tree over a blocking stream, in the calling thread."""

import threading
import time
from collections.abc import Callable, Sequence

from opsconsole_protocol.content.digest import CHUNK_BYTES
from opsconsole_protocol.content.frame import (
    HEAD_BYTES,
    LEAVES_FRAME_BYTES,
    PLACE_BYTES,
    Frame,
    FrameKind,
    frame,
    head,
    look,
)
from opsconsole_protocol.content.manifest import Entry, Manifest
from opsconsole_protocol.content.receiver import Finish, Looking, Offered, OfferedLeaves, Receiver, TakeChunk, TakeFiles
from opsconsole_protocol.content.round import chunk_size, zero_digest
from opsconsole_protocol.content.sender import AwaitFrame, SendBatch, SendChunk, Sender, SendFrame, SendLeaves, Skip
from opsconsole_protocol.error import OpsconsoleError, ProtocolError
from opsconsole_protocol.host.content.side import ByteStream, Progress, Side, Summary, Tell
from opsconsole_protocol.host.content.sink import Sink
from opsconsole_protocol.host.content.source import Source
from opsconsole_protocol.ids import ContentId

LOOK_EVERY_S = 0.5
"""How often a sender says how far its looking is; what takes less time isn't told."""

__all__ = ["ByteStream", "LookTeller", "Progress", "Summary", "Tell", "receive", "refuse", "send"]


def send(
    stream: ByteStream,
    source: Source,
    *,
    left_out: Sequence[str] = (),
    progress: Tell | None = None,
    cancel: threading.Event | None = None,
) -> Summary:
    """Send a tree to `receive` at the other end, as far as it is lacking there.

    `left_out`: why what else was asked for isn't in the tree, a line for each thing; the other end is told of it.

    `cancel` is looked at between frames; who sets it and doesn't want to wait for the other end closes the stream as well.
    Raises StreamLost if the stream died, after which another one can go on; StreamCancelled; ContentChanged if a file isn't
    what the manifest says; ProtocolError; and the error with which the receiver stopped. The source stays open.
    """
    return _Sending(stream, source, Sender(source.manifest, left_out), progress, cancel).run()


def receive(
    stream: ByteStream,
    make_sink: Callable[[Manifest], Sink],
    *,
    expected: ContentId | None = None,
    bytes_max: int | None = None,
    progress: Tell | None = None,
    looking: Callable[[int, int], None] | None = None,
    cancel: threading.Event | None = None,
) -> Summary:
    """Receive the tree that `send` sends at the other end. The sink has been finished, or abandoned, afterwards.

    `make_sink` may raise an OpsconsoleError, with which the tree is refused. `expected`: the only tree that is taken;
    `bytes_max`: how large it may be. `looking`: is told how many bytes the sender has read to know what it has, and of how
    many, if the sender was asked to say so. Raises StreamLost if the stream died, after which another one can go on;
    StreamCancelled; ProtocolError for a sender that lies; LimitExceeded; the sink's errors, and the error with which the
    sender stopped.
    """
    receiving = _Receiving(stream, make_sink, Receiver(expected=expected, bytes_max=bytes_max), progress, cancel)
    receiving.looking = looking
    return receiving.run()


class LookTeller:
    """Tells the receiver of a tree that isn't known yet how far the looking is: `tell` is for `scan`."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._told_s = time.monotonic()

    def tell(self, done: int, total: int) -> None:
        """Of `total` bytes, `done` have been read. Raises StreamLost."""
        now_s = time.monotonic()
        if now_s - self._told_s >= LOOK_EVERY_S:
            self._told_s = now_s
            self._stream.send(look(done, total))


def refuse(stream: ByteStream, error: OpsconsoleError) -> None:
    """Instead of sending or receiving, tell the other end why not, and let it read that."""
    Side(stream, None, None).stop(error)


class _Sending(Side):
    """The sender's side."""

    def __init__(
        self,
        stream: ByteStream,
        source: Source,
        machine: Sender,
        progress: Tell | None,
        cancel: threading.Event | None,
    ) -> None:
        super().__init__(stream, progress, cancel)
        self._source = source
        self._machine = machine
        self._buffer = bytearray(HEAD_BYTES + PLACE_BYTES + CHUNK_BYTES)
        self._view = memoryview(self._buffer)
        self._leaves: dict[int, list[bytes]] = {}
        """Of the large files of this round."""

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
            self.tell(0, step.files, step.size, self._empty_bytes(step.chunks))
        elif isinstance(step, SendChunk):
            self._send_chunk(step.entry_index, step.number)
        elif isinstance(step, SendBatch):
            self._send_batch(step.indexes)
        else:
            self._leaves = {index: self._source.leaves(index) for index in step.indexes}
            leaves = b"".join(leaf for index in step.indexes for leaf in self._leaves[index])
            for start in range(0, len(leaves), LEAVES_FRAME_BYTES):
                self.stream.send(frame(FrameKind.LEAVES, leaves[start : start + LEAVES_FRAME_BYTES]))

    def _empty_bytes(self, chunks: Sequence[tuple[int, int]]) -> int:
        """How much of these chunks of this round is holes."""
        entries = self._machine.manifest.entries
        sizes = ((index, number, chunk_size(entries[index], number)) for index, number in chunks)
        return sum(size for index, number, size in sizes if self._leaves[index][number] == zero_digest(size))

    def _send_chunk(self, index: int, number: int) -> None:
        size = chunk_size(self._source.manifest.entries[index], number)
        start = HEAD_BYTES + PLACE_BYTES
        self._source.read_chunk(index, number, self._view[start : start + size])
        self._view[:start] = head(FrameKind.CHUNK, index, number, size)
        self.stream.send(self._view[: start + size])
        self.tell(size, 0)

    def _send_batch(self, indexes: list[int]) -> None:
        start = HEAD_BYTES + PLACE_BYTES
        size = sum(self._source.manifest.entries[index].size for index in indexes)
        self._source.read_files(indexes, self._view[start : start + size])
        self._view[:start] = head(FrameKind.BATCH, indexes[0], len(indexes), size)
        self.stream.send(self._view[: start + size])
        self.tell(size, len(indexes))


class _Receiving(Side):
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
        self.looking: Callable[[int, int], None] | None = None

    def transfer(self) -> Summary:
        """Carry out the machine's steps."""
        steps = self._machine.run()
        answer: object = None
        try:
            while True:
                try:
                    step = steps.send(answer)
                except StopIteration:
                    summary = self.summary(self._taken_by().manifest)
                    return summary._replace(left_out=self._machine.left_out, why=self._machine.why)
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
        if isinstance(step, Looking):
            self.stop_if_cancelled()
            if self.looking is not None:
                self.looking(step.done, step.total)
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
        elif isinstance(step, TakeFiles):
            sink.write_files(step.indexes, step.data)
            self.tell(len(step.data), len(step.indexes))
        elif isinstance(step, OfferedLeaves):
            wanted = sink.wanted_chunks(step.entry_index, step.leaves)
            self._skip(sink.manifest.entries[step.entry_index], step.leaves, wanted)
            return wanted
        elif isinstance(step, Finish):
            sink.finish()
        return None

    def _taken_by(self) -> Sink:
        if self._sink is None:
            raise ProtocolError("the other end sent files before it said which")
        return self._sink

    def _skip(self, entry: Entry, leaves: Sequence[bytes], wanted: Sequence[int]) -> None:
        is_wanted = set(wanted)
        spared = [(chunk_size(entry, number), leaf) for number, leaf in enumerate(leaves) if number not in is_wanted]
        empty = sum(size for size, leaf in spared if leaf == zero_digest(size))
        self.tell(0, 1, sum(size for size, _ in spared), empty)
