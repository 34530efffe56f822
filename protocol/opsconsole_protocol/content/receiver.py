"""The receiver's side of a transfer, as steps that somebody else carries out."""

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

from opsconsole_protocol.content.digest import DIGEST_BYTES, chunk_digest, file_digest
from opsconsole_protocol.content.frame import (
    Frame,
    FrameKind,
    bits,
    check_leaves,
    frame,
    read_failure,
    read_look,
    read_offer,
    read_place,
)
from opsconsole_protocol.content.manifest import MANIFEST_BYTES_MAX, Manifest
from opsconsole_protocol.content.path import shown
from opsconsole_protocol.content.round import ACK_EVERY, batches, chunk_size, rounds
from opsconsole_protocol.content.sender import TRANSFER_VERSION, AwaitFrame, SendFrame
from opsconsole_protocol.error import LimitExceeded, ProtocolError, VersionMismatch
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.name import printable


class Looking(NamedTuple):
    """The sender reads `total` bytes to know what there is, and has read `done` of them. Nothing has to be answered."""

    done: int
    total: int


class Offered(NamedTuple):
    """A tree is offered: answer with the indexes of its files that are lacking, as a whole or in part, in ascending order."""

    manifest: Manifest


class OfferedLeaves(NamedTuple):
    """The hashes of a large file's chunks are known: answer with the numbers of those that are lacking, in ascending order."""

    entry_index: int
    leaves: list[bytes]


class TakeChunk(NamedTuple):
    """Keep a chunk; its bytes are the right ones. They are valid until the next step."""

    entry_index: int
    number: int
    data: memoryview


class TakeFiles(NamedTuple):
    """Keep small files, whose bytes follow one another; they are the right ones. They are valid until the next step."""

    indexes: list[int]
    data: memoryview


class Finish(NamedTuple):
    """Everything is here: put the tree where it belongs."""


ReceiverStep = AwaitFrame | SendFrame | Looking | Offered | OfferedLeaves | TakeChunk | TakeFiles | Finish


class Receiver:
    """Receives a tree. `run` gives the steps; `AwaitFrame`, `Offered` and `OfferedLeaves` are answered.

    `expected`: the only tree that is taken. `bytes_max`: how large it may be.
    """

    def __init__(self, *, expected: ContentId | None = None, bytes_max: int | None = None) -> None:
        self._expected = expected
        self._bytes_max = bytes_max
        self._taken = 0
        self.left_out = 0
        """How many things the sender had to leave out of what it was asked for, once it has offered the rest."""
        self.why = ""
        """Why the first of them isn't sent, in one line."""

    def run(self) -> Generator[ReceiverStep, Any, None]:
        """The steps. Raises ProtocolError for what the sender may not say, LimitExceeded, and the error with which it stopped."""
        manifest = yield from self._manifest()
        wanted: Sequence[int] = yield Offered(manifest)
        flags = bytearray(len(manifest.entries))
        for index in wanted:
            flags[index] = 1
        yield SendFrame(frame(FrameKind.WANT, bits(flags)))
        for one in rounds(manifest.entries, wanted):
            yield from self._round(manifest, one)
        for batch in batches(manifest.entries, wanted):
            yield from self._batch(manifest, batch)
        yield from self._next(FrameKind.END)
        yield Finish()
        yield SendFrame(frame(FrameKind.DONE))

    def _manifest(self) -> Generator[ReceiverStep, Any, Manifest]:
        offer = read_offer((yield from self._first()))
        if offer.version != TRANSFER_VERSION:
            raise VersionMismatch(
                f"the other end sends files in version {offer.version}, this one knows {TRANSFER_VERSION}: update the older one"
            )
        if self._expected is not None and offer.content_id != self._expected:
            raise ProtocolError("the other end offers another tree than the one that was asked for")
        if not 0 < offer.manifest_bytes <= MANIFEST_BYTES_MAX:
            raise ProtocolError(
                f"the other end offers a manifest of {offer.manifest_bytes:,} bytes: at most {MANIFEST_BYTES_MAX:,} are taken"
            )
        self.left_out = max(0, offer.left_out)
        self.why = printable(offer.why)
        encoded = bytearray()
        while len(encoded) < offer.manifest_bytes:
            part = yield from self._next(FrameKind.MANIFEST)
            if not part or len(encoded) + len(part) > offer.manifest_bytes:
                raise ProtocolError("the other end sent another manifest than it offered")
            encoded += part
        manifest = Manifest.decode(encoded)
        if manifest.content_id != offer.content_id:
            raise ProtocolError("the other end sent another manifest than it offered")
        if self._bytes_max is not None and manifest.size_bytes > self._bytes_max:
            raise LimitExceeded(
                f"the other end offers {manifest.size_bytes:,} bytes: at most {self._bytes_max:,} are taken here"
            )
        return manifest

    def _round(self, manifest: Manifest, one: list[int]) -> Generator[ReceiverStep, Any, None]:
        leaves: dict[int, list[bytes]] = {}
        lacking: list[tuple[int, int]] = []
        flags = bytearray()
        hashes = yield from self._hashes(sum(manifest.entries[index].chunks for index in one))
        start = 0
        for index in one:
            entry = manifest.entries[index]
            end = start + entry.chunks * DIGEST_BYTES
            leaves[index] = [bytes(hashes[at : at + DIGEST_BYTES]) for at in range(start, end, DIGEST_BYTES)]
            start = end
            if file_digest(leaves[index]) != entry.digest:
                raise ProtocolError(f"the other end sent hashes of {shown(entry.path)} that aren't this file's")
            marks = bytearray(entry.chunks)
            for number in (yield OfferedLeaves(index, leaves[index])):
                lacking.append((index, number))
                marks[number] = 1
            flags += marks
        yield SendFrame(frame(FrameKind.CHUNKS, bits(flags)))
        for index, number in lacking:
            yield from self._chunk(manifest, index, number, leaves[index][number])

    def _hashes(self, count: int) -> Generator[ReceiverStep, Any, bytearray]:
        hashes = bytearray()
        while len(hashes) < count * DIGEST_BYTES:
            part = yield from self._next(FrameKind.LEAVES)
            check_leaves(part)
            hashes += part
        if len(hashes) > count * DIGEST_BYTES:
            raise ProtocolError("the other end sent more hashes than its files have chunks")
        return hashes

    def _chunk(self, manifest: Manifest, index: int, number: int, leaf: bytes) -> Generator[ReceiverStep, Any, None]:
        first, second, data = read_place((yield from self._next(FrameKind.CHUNK)))
        entry = manifest.entries[index]
        if (first, second) != (index, number) or len(data) != chunk_size(entry, number):
            raise ProtocolError("the other end sent another chunk than the one that was due")
        if chunk_digest(data) != leaf:
            raise ProtocolError(f"bytes of {shown(entry.path)} arrived that aren't those it was offered with")
        yield TakeChunk(index, number, data)
        yield from self._acknowledge()

    def _batch(self, manifest: Manifest, batch: list[int]) -> Generator[ReceiverStep, Any, None]:
        first, second, data = read_place((yield from self._next(FrameKind.BATCH)))
        size = sum(manifest.entries[index].size for index in batch)
        if (first, second) != (batch[0], len(batch)) or len(data) != size:
            raise ProtocolError("the other end sent other files than those that were due")
        start = 0
        for index in batch:
            entry = manifest.entries[index]
            end = start + entry.size
            if chunk_digest(data[start:end]) != entry.digest:
                raise ProtocolError(f"bytes of {shown(entry.path)} arrived that aren't those it was offered with")
            start = end
        yield TakeFiles(batch, data)
        yield from self._acknowledge()

    def _acknowledge(self) -> Generator[ReceiverStep, Any, None]:
        self._taken += 1
        if self._taken % ACK_EVERY == 0:
            yield SendFrame(frame(FrameKind.ACK, self._taken.to_bytes(4, "big")))

    def _first(self) -> Generator[ReceiverStep, Any, memoryview]:
        """The offer, after whatever the sender says of its looking."""
        while True:
            arrived: Frame = yield AwaitFrame()
            if arrived.kind is not FrameKind.LOOK:
                return self._expected_body(arrived, FrameKind.OFFER)
            yield Looking(*read_look(arrived.body))

    def _next(self, expected: FrameKind) -> Generator[ReceiverStep, Any, memoryview]:
        arrived: Frame = yield AwaitFrame()
        return self._expected_body(arrived, expected)

    @staticmethod
    def _expected_body(arrived: Frame, expected: FrameKind) -> memoryview:
        if arrived.kind is FrameKind.FAIL:
            raise read_failure(arrived.body)
        if arrived.kind is not expected:
            raise ProtocolError(f"the other end sent {arrived.kind.name} when {expected.name} was due")
        return arrived.body
