"""Bytes of a log on their way from an agent to the coordinator: frame kind 1.

A log frame is big-endian:

    byte  0      version of the layout (1)
    byte  1      kind (1: log bytes)
    byte  2      source (0 stdout, 1 stderr, 2 build, 3 error, 4 report)
    byte  3      n, the length of the attempt's id in UTF-8 (1..255)
    bytes 4-11   offset of the first payload byte in its source, u64
    bytes 12-19  when the agent read the bytes, Unix milliseconds, i64
    bytes 20-23  m, the length of the payload (1..262144), u32
    then         n bytes of attempt id, m bytes of payload, and nothing else

A frame may be sent twice without harm, since it carries an offset: the receiver knows how far it has come.
"""

import struct
from typing import ClassVar, Self

import msgspec

from opsconsole_protocol.error import ProtocolError
from opsconsole_protocol.log import Source

PAYLOAD_BYTES_MAX = 256 * 1024
_ATTEMPT_ID_BYTES_MAX = 255
_OFFSET_MAX = 2**63 - 1
_HEADER = struct.Struct(">BBBBQqI")

# The order is part of the layout: append, never reorder.
_SOURCES = (Source.STDOUT, Source.STDERR, Source.BUILD, Source.ERROR, Source.REPORT)
_CODES = {source: code for code, source in enumerate(_SOURCES)}


class LogChunk(msgspec.Struct, frozen=True, gc=False):
    """`data` (1..PAYLOAD_BYTES_MAX bytes) stands at byte `offset` of one source of an attempt's log and was read at `at_ms`."""

    VERSION: ClassVar[int] = 1
    KIND: ClassVar[int] = 1
    BYTES_MAX: ClassVar[int] = _HEADER.size + _ATTEMPT_ID_BYTES_MAX + PAYLOAD_BYTES_MAX

    attempt_id: str
    source: Source
    offset: int
    at_ms: int
    data: bytes

    @property
    def end(self) -> int:
        """The offset just after this chunk."""
        return self.offset + len(self.data)

    def to_frame(self) -> bytes:
        """The frame. Raises ProtocolError for a chunk that doesn't fit the layout."""
        attempt_id = self.attempt_id.encode()
        if not 1 <= len(attempt_id) <= _ATTEMPT_ID_BYTES_MAX:
            raise ProtocolError(f"an attempt id has 1 to {_ATTEMPT_ID_BYTES_MAX} bytes, not {len(attempt_id)}")
        size = len(self.data)
        _check(self.offset, self.at_ms, size)
        code = _CODES[self.source]
        header = _HEADER.pack(self.VERSION, self.KIND, code, len(attempt_id), self.offset, self.at_ms, size)
        return b"".join((header, attempt_id, self.data))

    @classmethod
    def from_frame(cls, frame: bytes | bytearray | memoryview) -> Self:
        """The chunk in a frame of this kind and version. Raises ProtocolError for whatever `to_frame` could not have made."""
        if len(frame) < _HEADER.size:
            raise ProtocolError(f"a log frame has at least {_HEADER.size} bytes, this one {len(frame)}")
        _, _, code, id_size, offset, at_ms, size = _HEADER.unpack_from(frame)
        if code >= len(_SOURCES):
            raise ProtocolError(f"log source {code} is not known here")
        if id_size == 0:
            raise ProtocolError("a log frame names its attempt")
        _check(offset, at_ms, size)
        start = _HEADER.size + id_size
        if len(frame) != start + size:
            raise ProtocolError(f"the header promises {start + size} bytes, the frame has {len(frame)}")
        try:
            attempt_id = bytes(frame[_HEADER.size : start]).decode()
        except UnicodeDecodeError:
            raise ProtocolError("the attempt id in a log frame is not UTF-8") from None
        return cls(attempt_id, _SOURCES[code], offset, at_ms, bytes(frame[start:]))


def _check(offset: int, at_ms: int, size: int) -> None:
    if not 1 <= size <= PAYLOAD_BYTES_MAX:
        raise ProtocolError(f"a log frame carries 1 to {PAYLOAD_BYTES_MAX} bytes, not {size}")
    if not 0 <= offset <= _OFFSET_MAX - size:
        raise ProtocolError(f"log offset {offset} is out of range")
    if not 0 <= at_ms <= _OFFSET_MAX:
        raise ProtocolError(f"log time {at_ms} is out of range")
