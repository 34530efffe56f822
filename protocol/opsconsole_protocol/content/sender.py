"""The sender's side of a transfer, as steps that somebody else carries out."""

from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple

import msgspec

from opsconsole_protocol.content.frame import (
    PART_OF_MANIFEST_BYTES,
    WHY_BYTES_MAX,
    Frame,
    FrameKind,
    Offer,
    frame,
    read_bits,
    read_failure,
)
from opsconsole_protocol.content.manifest import Manifest
from opsconsole_protocol.content.round import ACK_EVERY, AHEAD_MAX, batches, chunk_size, may_be_wanted, rounds
from opsconsole_protocol.error import ProtocolError

TRANSFER_VERSION = 1


class SendFrame(NamedTuple):
    """Send these bytes."""

    data: bytes


class AwaitFrame(NamedTuple):
    """Send everything that is still held back, and give the machine the next frame from the other end."""


class SendLeaves(NamedTuple):
    """Send the hashes of these large files' chunks, in LEAVES frames."""

    indexes: list[int]


class SendChunk(NamedTuple):
    """Send a CHUNK frame."""

    entry_index: int
    number: int


class Skip(NamedTuple):
    """Take note how much of some large files is there already, or needn't be sent: these chunks, by entry and number."""

    size: int
    files: int
    chunks: list[tuple[int, int]]


class SendBatch(NamedTuple):
    """Send a BATCH frame with these small files."""

    indexes: list[int]


SenderStep = SendFrame | AwaitFrame | SendLeaves | SendChunk | SendBatch | Skip


class Sender:
    """Sends a tree. `run` gives the steps; each `AwaitFrame` is answered by a frame.

    The two ends take turns, except that acknowledgements come while files are sent, so that neither ever waits for the other
    to read: a transfer can't get stuck on full buffers.
    """

    def __init__(self, manifest: Manifest, left_out: Sequence[str] = ()) -> None:
        """`left_out`: why what else was asked for isn't in the tree, a line for each thing."""
        self.manifest = manifest
        self._left_out = left_out
        self.wanted: list[int] = []
        """The indexes of the files that the receiver lacks, once it has said so."""
        self._sent = 0
        self._acknowledged = 0

    def run(self) -> Generator[SenderStep, Frame, None]:
        """The steps. Raises ProtocolError for what the receiver may not say, and the error with which it stopped."""
        yield from self._offer()
        entries = self.manifest.entries
        flags = read_bits((yield from self._next(FrameKind.WANT)), len(entries))
        self.wanted = [index for index, flag in enumerate(flags) if flag]
        if not all(may_be_wanted(entries[index]) for index in self.wanted):
            raise ProtocolError("the other end wants what has no bytes")
        for one in rounds(entries, self.wanted):
            yield SendLeaves(one)
            yield from self._send_chunks(one)
        for batch in batches(entries, self.wanted):
            yield from self._make_room()
            yield SendBatch(batch)
        yield SendFrame(frame(FrameKind.END))
        yield from self._next(FrameKind.DONE)

    def _offer(self) -> Iterator[SendFrame]:
        encoded = self.manifest.encode()
        why = (
            self._left_out[0].encode("utf-8", "replace")[:WHY_BYTES_MAX].decode("utf-8", "ignore")
            if self._left_out
            else ""
        )
        offer = Offer(TRANSFER_VERSION, self.manifest.content_id, len(encoded), len(self._left_out), why)
        yield SendFrame(frame(FrameKind.OFFER, msgspec.msgpack.encode(offer)))
        for start in range(0, len(encoded), PART_OF_MANIFEST_BYTES):
            yield SendFrame(frame(FrameKind.MANIFEST, encoded[start : start + PART_OF_MANIFEST_BYTES]))

    def _send_chunks(self, one: list[int]) -> Generator[SenderStep, Frame, None]:
        chunks = [(index, number) for index in one for number in range(self.manifest.entries[index].chunks)]
        flags = read_bits((yield from self._next(FrameKind.CHUNKS)), len(chunks))
        entries = self.manifest.entries
        spared = [chunk for chunk, flag in zip(chunks, flags, strict=True) if not flag]
        yield Skip(sum(chunk_size(entries[index], number) for index, number in spared), len(one), spared)
        for (index, number), flag in zip(chunks, flags, strict=True):
            if flag:
                yield from self._make_room()
                yield SendChunk(index, number)

    def _make_room(self) -> Generator[SenderStep, Frame, None]:
        while self._sent - self._acknowledged >= AHEAD_MAX:
            self._take_ack((yield from self._next(FrameKind.ACK)))
        self._sent += 1

    def _next(self, expected: FrameKind) -> Generator[SenderStep, Frame, memoryview]:
        """The body of the next frame of this kind; acknowledgements may come before it."""
        while True:
            kind, body = yield AwaitFrame()
            if kind is FrameKind.FAIL:
                raise read_failure(body)
            if kind is expected:
                return body
            if kind is not FrameKind.ACK:
                raise ProtocolError(f"the other end sent {kind.name} when {expected.name} was due")
            self._take_ack(body)

    def _take_ack(self, body: memoryview) -> None:
        count = int.from_bytes(body, "big")
        if not self._acknowledged < count <= self._sent or count % ACK_EVERY:
            raise ProtocolError("the other end acknowledged what it can't have got")
        self._acknowledged = count
