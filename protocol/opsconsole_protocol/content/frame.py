"""The frames of a transfer: a byte that says what it is, the length of what follows in four bytes, and that.

A frame is refused by its head, before anything of it is kept, if its kind isn't known or it is longer than its kind may be.
"""

import struct
from enum import IntEnum
from typing import NamedTuple

import msgspec

from opsconsole_protocol.bound import TEXT_CHARACTERS_MAX, cut
from opsconsole_protocol.content.digest import CHUNK_BYTES, DIGEST_BYTES
from opsconsole_protocol.content.error import from_peer
from opsconsole_protocol.content.manifest import CONTENT_BYTES_MAX, ENTRIES_MAX, FILE_BYTES_MAX
from opsconsole_protocol.error import OpsconsoleError, ProtocolError
from opsconsole_protocol.name import printable

HEAD_BYTES = 5
PART_OF_MANIFEST_BYTES = 1 << 20
LEAVES_FRAME_BYTES = 1 << 20
WHY_BYTES_MAX = 140
"""So that an OFFER isn't longer than it was before it had this."""
_HEAD = struct.Struct(">BI")
_PLACE = struct.Struct(">II")
PLACE_BYTES = _PLACE.size
_LOOK = struct.Struct(">QQ")


class FrameKind(IntEnum):
    """What a frame says. S: the sender's, R: the receiver's."""

    OFFER = 1
    """S: the protocol's version, the tree's id, and how long its manifest is."""
    MANIFEST = 2
    """S: the next part of the manifest."""
    WANT = 3
    """R: a bit for each entry, set for the files that are lacking, as a whole or in part."""
    LEAVES = 4
    """S: the next hashes of the chunks of the large files of this round."""
    CHUNKS = 5
    """R: a bit for each chunk of this round, set for those that are lacking."""
    CHUNK = 6
    """S: a place (entry, number) and the chunk."""
    BATCH = 7
    """S: a place (entry of the first file, how many files) and the bytes of small files, one after the other."""
    END = 8
    """S: that was all."""
    ACK = 9
    """R: how many frames of files have been dealt with."""
    DONE = 10
    """R: the tree is whole, and where it belongs."""
    FAIL = 11
    """Both: it can't go on, and why. It is answered by another one, and nothing follows."""
    LOOK = 12
    """S, before the offer, and only if it was asked for: how many bytes it has read so far to know what there is, and of how many."""


_LONGEST = {
    FrameKind.OFFER: 256,
    FrameKind.MANIFEST: PART_OF_MANIFEST_BYTES,
    FrameKind.WANT: -(-ENTRIES_MAX // 8),
    FrameKind.LEAVES: LEAVES_FRAME_BYTES,
    FrameKind.CHUNKS: FILE_BYTES_MAX // CHUNK_BYTES // 8,
    FrameKind.CHUNK: PLACE_BYTES + CHUNK_BYTES,
    FrameKind.BATCH: PLACE_BYTES + CHUNK_BYTES,
    FrameKind.END: 0,
    FrameKind.ACK: 4,
    FrameKind.DONE: 0,
    FrameKind.FAIL: 4 * TEXT_CHARACTERS_MAX + 256,
    FrameKind.LOOK: _LOOK.size,
}
_FIRST_ROOM_BYTES = 16 << 10
_LONGEST_FRAME_BYTES = HEAD_BYTES + max(_LONGEST.values())


class Frame(NamedTuple):
    """A frame that has arrived. Its body is valid until the reader is given room again."""

    kind: FrameKind
    body: memoryview


class Offer(msgspec.Struct, frozen=True, array_like=True):
    """The body of OFFER."""

    version: int
    content_id: str
    manifest_bytes: int
    left_out: int = 0
    """How many things were asked for that the tree doesn't have."""
    why: str = ""
    """Why the first of them isn't there, in one line of at most WHY_BYTES_MAX."""


class Failure(msgspec.Struct, frozen=True, array_like=True):
    """The body of FAIL."""

    code: str
    message: str


_OFFER = msgspec.msgpack.Decoder(Offer)
_FAILURE = msgspec.msgpack.Decoder(Failure)


def frame(kind: FrameKind, body: bytes = b"") -> bytes:
    """A whole frame."""
    return _HEAD.pack(kind, len(body)) + body


def head(kind: FrameKind, first: int, second: int, length: int) -> bytes:
    """The beginning of a CHUNK or BATCH frame, after which `length` bytes of files follow."""
    return _HEAD.pack(kind, PLACE_BYTES + length) + _PLACE.pack(first, second)


def read_head(data: bytes | memoryview) -> tuple[FrameKind, int]:
    """Kind and length of the frame that begins with these 5 bytes. Raises ProtocolError."""
    number, length = _HEAD.unpack(data)
    try:
        kind = FrameKind(number)
    except ValueError:
        raise ProtocolError(f"the other end sent a frame of a kind that isn't known ({number})") from None
    if length > _LONGEST[kind]:
        raise ProtocolError(
            f"the other end sent a {kind.name} of {length:,} bytes: at most {_LONGEST[kind]:,} are taken"
        )
    return kind, length


def read_place(body: memoryview) -> tuple[int, int, memoryview]:
    """The place that a CHUNK or BATCH begins with, and the bytes after it. Raises ProtocolError."""
    if len(body) < PLACE_BYTES:
        raise ProtocolError("the other end sent bytes of files without their place")
    first, second = _PLACE.unpack_from(body)
    return first, second, body[PLACE_BYTES:]


def look(done: int, total: int) -> bytes:
    """A LOOK frame."""
    return frame(FrameKind.LOOK, _LOOK.pack(done, total))


def read_look(body: memoryview) -> tuple[int, int]:
    """Read the body of LOOK. Raises ProtocolError."""
    if len(body) != _LOOK.size:
        raise ProtocolError("the other end says how far it has looked in a way that can't be read")
    done, total = _LOOK.unpack(body)
    if not done <= total <= CONTENT_BYTES_MAX:
        raise ProtocolError("the other end says that it has looked at more than there can be")
    return done, total


def read_offer(body: memoryview) -> Offer:
    """Read the body of OFFER. Raises ProtocolError."""
    try:
        return _OFFER.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise ProtocolError("the other end sent an offer that can't be read") from None


def failure(error: OpsconsoleError) -> bytes:
    """The FAIL frame that tells the other end of an error."""
    return frame(FrameKind.FAIL, msgspec.msgpack.encode(Failure(error.code, cut(error.message))))


def read_failure(body: memoryview) -> OpsconsoleError:
    """The error in the body of FAIL. Raises ProtocolError if it can't be read."""
    try:
        said = _FAILURE.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise ProtocolError("the other end stopped, and why can't be read") from None
    line = printable(said.message)
    return from_peer(said.code, f"the other end stopped: {cut(line, TEXT_CHARACTERS_MAX - 40)}")


def bits(flags: "list[bool] | bytearray") -> bytes:
    """Pack flags, eight in a byte, the first in the lowest bit."""
    packed = bytearray(-(-len(flags) // 8))
    for place, flag in enumerate(flags):
        if flag:
            packed[place >> 3] |= 1 << (place & 7)
    return bytes(packed)


def read_bits(body: memoryview, count: int) -> bytearray:
    """The flags, each 0 or 1, that `bits` packed. Raises ProtocolError unless there are `count`."""
    if len(body) != -(-count // 8):
        raise ProtocolError(f"the other end sent {len(body):,} bytes where {count:,} flags were expected")
    flags = bytearray(byte >> place & 1 for byte in body for place in range(8))
    if any(flags[count:]):
        raise ProtocolError("the other end wants what isn't there")
    return flags[:count]


def check_leaves(body: memoryview) -> None:
    """Raise ProtocolError for a LEAVES that isn't whole hashes."""
    if not body or len(body) % DIGEST_BYTES:
        raise ProtocolError(f"the other end sent {len(body):,} bytes of hashes, which is no whole number of them")


class FrameReader:
    """Puts frames together from whatever pieces arrive: fill `room()`, say how much with `filled`."""

    def __init__(self) -> None:
        self._view = memoryview(bytearray(_FIRST_ROOM_BYTES))
        self._have = 0
        self._kind: FrameKind | None = None
        self._needed = HEAD_BYTES

    def room(self) -> memoryview:
        """Where the next bytes go; never empty."""
        return self._view[self._have : self._needed]

    def filled(self, count: int) -> Frame | None:
        """Take note of how many bytes have come. Returns the frame once it is whole. Raises ProtocolError."""
        self._have += count
        if self._have < self._needed:
            return None
        if self._kind is None:
            self._kind, length = read_head(self._view[:HEAD_BYTES])
            self._needed += length
            if self._needed > len(self._view):
                self._view = memoryview(bytearray(_LONGEST_FRAME_BYTES))
            if length:
                return None
        whole = Frame(self._kind, self._view[HEAD_BYTES : self._needed])
        self._have, self._kind, self._needed = 0, None, HEAD_BYTES
        return whole
