"""The file that holds one attempt's log: a head, then records in the order of arrival, only ever appended.

    head     b"opslog1\\n", u16 length of the attempt's id, the id in UTF-8
    record   u32 crc32 of all that follows in the record, u32 length of the payload (at least 1), u8 source, 3 zeros,
             u64 offset, i64 at_ms, u64 lines_before, u64 line, u64 line_start, payload            (all big-endian)

`offset` is that of the first payload byte in its source, `at_ms` never goes back, `lines_before` counts the lines of
all sources that have begun before this record, `line` is the number of the line to which the first payload byte
belongs and `line_start` the offset at which that line begins. So any record can be understood without those before
it, and the whole file can be indexed by its headers alone, each checked against the one before.
"""

import os
import struct
import zlib
from typing import NamedTuple

from opsconsole_protocol.log import Source

SOURCES = (Source.STDOUT, Source.STDERR, Source.BUILD, Source.ERROR)
"""The order is part of the format: append, never reorder."""
CODES = {source: code for code, source in enumerate(SOURCES)}

HEADER = struct.Struct(">IIB3xQqQQQ")
_HEADER_REST = struct.Struct(">IB3xQqQQQ")
_MAGIC = b"opslog1\n"
_ID_LENGTH = struct.Struct(">H")
_LENGTH_MAX = 16 * 1024 * 1024
_WINDOW_SMALL = 4 * 1024
_WINDOW_LARGE = 64 * 1024


class DamagedRecordError(Exception):
    """There is no whole record here."""


class Record(NamedTuple):
    """A record's header. `position` is that of the header in the file, `source` a place in SOURCES."""

    position: int
    crc: int
    length: int
    source: int
    offset: int
    at_ms: int
    lines_before: int
    line: int
    line_start: int

    @property
    def end(self) -> int:
        """Where the next record begins."""
        return self.position + HEADER.size + self.length


class Tally:
    """What is known after the records so far: for each source how far it has come and which line is open."""

    __slots__ = ("at_ms", "line", "line_start", "lines", "lines_by_source", "offsets")

    def __init__(self) -> None:
        self.offsets = [0] * len(SOURCES)
        self.line = [0] * len(SOURCES)
        self.line_start = [0] * len(SOURCES)
        self.lines_by_source = [0] * len(SOURCES)
        self.lines = 0
        self.at_ms = 0

    def copy(self) -> "Tally":
        """An independent copy."""
        other = Tally()
        other.offsets, other.line, other.line_start = self.offsets[:], self.line[:], self.line_start[:]
        other.lines_by_source, other.lines, other.at_ms = self.lines_by_source[:], self.lines, self.at_ms
        return other

    def next_line(self, source: int) -> int:
        """The number of the line to which the next byte of `source` will belong."""
        return self.line[source] if self.line_start[source] < self.offsets[source] else self.lines

    def admit(self, source: int, at_ms: int, payload: bytes) -> bytes:
        """Count in the payload that comes next in `source`, and return the header of its record."""
        offset, line_start, line = self.offsets[source], self.line_start[source], self.next_line(source)
        self.at_ms = max(self.at_ms, at_ms)
        rest = _HEADER_REST.pack(len(payload), source, offset, self.at_ms, self.lines, line, line_start)
        crc = zlib.crc32(payload, zlib.crc32(rest))
        self.count(source, offset, line, line_start, payload)
        return crc.to_bytes(4, "big") + rest

    def count(self, source: int, offset: int, line: int, line_start: int, payload: bytes) -> None:
        """Move on past a payload whose first byte belongs to `line`, which began at `line_start`."""
        begun = lines_begun(payload, continued=line_start < offset)
        end = offset + len(payload)
        newline = payload.rfind(b"\n")
        self.lines += begun
        self.lines_by_source[source] += begun
        self.offsets[source] = end
        self.line_start[source] = line_start if newline < 0 else offset + newline + 1
        # Of no meaning when the payload ends with a newline: then no line is open.
        self.line[source] = self.lines - 1 if begun else line


def lines_begun(payload: bytes, *, continued: bool) -> int:
    """How many lines have their first byte in this payload."""
    return payload.count(b"\n") + (not continued) - payload.endswith(b"\n")


def file_head(attempt_id: str) -> bytes:
    """What a log file begins with."""
    encoded = attempt_id.encode()
    return _MAGIC + _ID_LENGTH.pack(len(encoded)) + encoded


def read_file_head(descriptor: int) -> tuple[str, int] | None:
    """The attempt's id and where the records begin; None when this is no (whole) head."""
    data = os.pread(descriptor, len(_MAGIC) + 2 + 0xFFFF, 0)
    if len(data) < len(_MAGIC) + 2 or not data.startswith(_MAGIC):
        return None
    start = len(_MAGIC) + 2
    (length,) = _ID_LENGTH.unpack_from(data, len(_MAGIC))
    if len(data) < start + length:
        return None
    return data[start : start + length].decode(errors="replace"), start + length


class RecordReader:
    """Reads headers and payloads before `end`. Headers of small records come many at a time."""

    def __init__(self, descriptor: int, end: int) -> None:
        self._descriptor = descriptor
        self.end = end
        self._window = b""
        self._window_start = 0
        self._window_bytes = _WINDOW_SMALL

    def record(self, position: int) -> Record:
        """The record at `position`. Raises DamagedRecordError when no possible one fits there."""
        place = position - self._window_start
        if not 0 <= place <= len(self._window) - HEADER.size:
            # Neighbours in the last window mean small records: then it pays to read many at once.
            near = 0 <= place <= len(self._window)
            self._window_bytes = _WINDOW_LARGE if near else _WINDOW_SMALL
            self._window = os.pread(self._descriptor, self._window_bytes, position)
            self._window_start, place = position, 0
            if len(self._window) < HEADER.size:
                raise DamagedRecordError
        record = Record(position, *HEADER.unpack_from(self._window, place))
        if not 0 < record.length <= _LENGTH_MAX or record.end > self.end or record.source >= len(SOURCES):
            raise DamagedRecordError
        if record.line > record.lines_before or record.line_start > record.offset:
            raise DamagedRecordError
        return record

    def payload(self, record: Record) -> bytes:
        """The record's bytes. Raises DamagedRecordError when the file has fewer."""
        start = record.position + HEADER.size
        place = start - self._window_start
        if place >= 0 and place + record.length <= len(self._window):
            return self._window[place : place + record.length]
        data = os.pread(self._descriptor, record.length, start)
        if len(data) < record.length:
            raise DamagedRecordError
        return data

    def is_sound(self, record: Record, payload: bytes) -> bool:
        """Whether header and payload are what was written."""
        return zlib.crc32(payload, zlib.crc32(_HEADER_REST.pack(*record[2:]))) == record.crc
