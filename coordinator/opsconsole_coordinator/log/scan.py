"""Turning records into lines, from a cursor on, in bounded work.

Lines come in the order in which they began. While the rest of a line is looked for, records of other sources may be
passed by, or the other way round; so a cursor is a place in the file *and*, for each source, the offset up to which its
bytes have been delivered. Whatever lies after the place and below that offset was in an earlier page.
"""

import codecs
import re
from typing import NamedTuple

from opsconsole_coordinator.log.record import SOURCES, Record, RecordReader
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.log import LINE_BYTES_MAX, LogLine

SCAN_BYTES_MAX = 32 * 1024 * 1024
"""Work in one page, in bytes read; a header passed by counts as some."""
_HEADER_COST = 100
_LOOKAHEAD_BYTES = 1024 * 1024
"""How far beyond a full page the ends of its lines are looked for, and how long a search waits for a line to end."""
_CURSOR = re.compile(rf"1(\.[0-9a-f]{{1,16}}){{{3 + len(SOURCES)}}}")
_EVERY_SOURCE = (True,) * len(SOURCES)


class LogQueryError(InvalidRequest, ValueError):
    """A question about a log that can't be answered; one line that says what to ask instead."""


class Cursor(NamedTuple):
    """Where to go on: file position, number of the first line of interest, bytes delivered by source.

    As text it also bears the `mark` of the log that it belongs to.
    """

    position: int
    first_line: int
    delivered: tuple[int, ...] = (0,) * len(SOURCES)

    def spell(self, mark: int) -> str:
        """The cursor as clients keep it."""
        return ".".join(f"{number:x}" for number in (1, mark, self.position, self.first_line, *self.delivered))

    @classmethod
    def parse(cls, text: str) -> tuple[int, "Cursor"]:
        """The other way: mark and cursor; LogQueryError for what no `spell` has made."""
        if _CURSOR.fullmatch(text) is None:
            raise LogQueryError("this cursor is not one that a log page has given: start again without it")
        _, mark, position, first_line, *delivered = (int(part, 16) for part in text.split("."))
        return mark, cls(position, first_line, tuple(delivered))


class ScanLimit(NamedTuple):
    """When a scan ends: the rest of a line that lies far behind the first line out of range is not looked for.

    `hold_open`: lines without an end are left for a later page. `ended`: nothing more will come. `needle`: lines that
    don't hold these bytes need not be in the page, but may.
    """

    lines_max: int
    bytes_max: int
    before_line: int | None = None
    until_ms: int | None = None
    wanted: tuple[bool, ...] = _EVERY_SOURCE
    hold_open: bool = False
    ended: bool = False
    needle: bytes = b""
    scan_bytes: int = SCAN_BYTES_MAX


class _Fragment:
    """A line, or what of it this page delivers. `offset` and `position`: where its first byte is."""

    __slots__ = ("at_ms", "closed", "kept", "length", "number", "offset", "pieces", "position", "source", "start")

    def __init__(self, number: int, source: int, start: int, offset: int, record: Record) -> None:
        self.number = number
        self.source = source
        self.start = start
        self.offset = offset
        self.position = record.position
        self.at_ms = record.at_ms
        self.pieces: list[bytes] = []
        self.kept = 0
        self.length = start
        self.closed = False

    def extend(self, piece: bytes) -> int:
        """Add bytes; how many of them are kept."""
        self.length += len(piece)
        room = LINE_BYTES_MAX - self.start - self.kept
        if room <= 0 or not piece:
            return 0
        kept = piece[:room]
        self.pieces.append(kept)
        self.kept += len(kept)
        return len(kept)

    @property
    def is_cut(self) -> bool:
        return self.length > self.start + self.kept

    def text(self, *, final: bool) -> tuple[str, int]:
        """The text, and how many bytes at the end are but part of a character that may become whole."""
        if final and not self.is_cut:
            return b"".join(self.pieces).decode(errors="replace"), 0
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(b"".join(self.pieces))
        return text, 0 if self.is_cut else len(decoder.getstate()[0])


class Scan:
    """One run over records. After `run`: `lines`, `cursor`, `end` (nothing more now) and `scanned` (work done).

    `left_out` counts fragments that took a place in the page and then had nothing to show but part of a character.
    """

    def __init__(self, reader: RecordReader, cursor: Cursor, limit: ScanLimit) -> None:
        self.lines: list[LogLine] = []
        self.end = False
        self.scanned = 0
        self.left_out = 0
        self.cursor = cursor
        self._reader = reader
        self._limit = limit
        self._first_line = cursor.first_line
        self._delivered = list(cursor.delivered)
        self._fragments: list[_Fragment | LogLine] = []
        self._open: dict[int, _Fragment] = {}
        self._blocked: set[int] = set()
        self._resume_at: int | None = None
        self._kept = 0
        self._full_at: int | None = None
        self._exhausted = False
        self._tails: dict[int, list[tuple[int, int]]] = {}

    def run(self) -> "Scan":
        """Read on until the page is full, the work is too much or the log is at its end."""
        position, end = self.cursor.position, self._reader.end
        while position < end and self.scanned <= self._limit.scan_bytes:
            if self._full_at is not None and (not self._open or position - self._full_at > _LOOKAHEAD_BYTES):
                break
            record = self._reader.record(position)
            self.scanned += _HEADER_COST
            self._take(record)
            position = record.end
        self._finish(position)
        return self

    def _take(self, record: Record) -> None:
        source = record.source
        begin = max(self._delivered[source], record.offset)
        if not self._limit.wanted[source] or source in self._blocked or begin >= record.offset + record.length:
            return
        if self._full_at is not None and source not in self._open:
            self._block(record)
            return
        payload = self._reader.payload(record)
        self._note_tail(record)
        self._take_payload(record, payload, begin - record.offset)
        self.scanned += self._delivered[source] - begin

    def _take_payload(self, record: Record, payload: bytes, cut: int) -> None:
        source, size = record.source, len(payload)
        number, line_start = _line_at(record, payload, cut)
        if number < self._first_line:
            cut = _skip_lines(record, payload, cut, number, self._first_line)
            number = max(self._first_line, record.lines_before)
            line_start = record.offset + cut
        fragment = self._open.get(source)
        while cut < size:
            if fragment is None and record.offset + cut == line_start:
                whole, taken = self._take_whole_lines(record, payload[cut : cut + self._room_bytes], number)
                if taken:
                    cut, number = cut + taken, number + whole
                    line_start = record.offset + cut
                    continue
            newline = payload.find(b"\n", cut)
            stop = size if newline < 0 else newline
            if fragment is None:
                offset = record.offset + cut
                if not self._may_begin(number, record.at_ms, is_start=offset == line_start):
                    self._delivered[source] = offset
                    self._full_at = record.position if self._full_at is None else self._full_at
                    self._block(record)
                    return
                fragment = self._open[source] = _Fragment(number, source, offset - line_start, offset, record)
                self._fragments.append(fragment)
            self._kept += fragment.extend(payload[cut:stop])
            if newline < 0:
                break
            fragment.closed = True
            del self._open[source]
            fragment = None
            cut = newline + 1
            number = max(number + 1, record.lines_before)
            line_start = record.offset + cut
        self._delivered[source] = record.offset + size

    def _take_whole_lines(self, record: Record, block: bytes, number: int) -> tuple[int, int]:
        """The fast way for most lines: those in `block` from its start that are whole and of usual length.

        How many there are, and how many bytes of the block they take with their newlines.
        """
        limit = self._limit
        in_range = len(block) if limit.before_line is None else limit.before_line - number
        room = min(in_range, limit.lines_max - len(self._fragments))
        late = limit.until_ms is not None and record.at_ms >= limit.until_ms
        if room <= 0 or late or self._full_at is not None or self._exhausted:
            return 0, 0
        if limit.needle and limit.needle not in block and (whole := block.count(b"\n")) <= in_range:
            return whole, block.rfind(b"\n") + 1
        lines = block.split(b"\n", room)[:-1]
        sizes = list(map(len, lines))
        if not lines or max(sizes) > LINE_BYTES_MAX:
            return 0, 0
        source, at_ms, kept = SOURCES[record.source], record.at_ms, sum(sizes)
        self._fragments += [
            LogLine(place, source, line.decode(errors="replace"), at_ms, False, 0, size)
            for place, line, size in zip(range(number, number + len(lines)), lines, sizes, strict=True)
        ]
        self._kept += kept
        return len(lines), kept + len(lines)

    @property
    def _room_bytes(self) -> int:
        return max(0, self._limit.bytes_max - self._kept)

    def _may_begin(self, number: int, at_ms: int, *, is_start: bool) -> bool:
        limit = self._limit
        if self._full_at is not None or len(self._fragments) >= limit.lines_max or self._kept >= limit.bytes_max:
            return False
        # Numbers and times only rise: where one line is out of range, all that begin later are.
        if is_start and limit.before_line is not None and number >= limit.before_line:
            self._exhausted = True
        if is_start and limit.until_ms is not None and at_ms >= limit.until_ms:
            self._exhausted = True
        return not self._exhausted

    def _block(self, record: Record) -> None:
        self._blocked.add(record.source)
        self._resume(record.position)

    def _resume(self, position: int) -> None:
        self._resume_at = position if self._resume_at is None else min(position, self._resume_at)

    def _note_tail(self, record: Record) -> None:
        """Remember where the last few bytes of a source are: three, in the worst case each in a record of its own."""
        tail = self._tails.setdefault(record.source, [])
        tail.append((record.offset, record.position))
        del tail[:-4]

    def _finish(self, position: int) -> None:
        at_end = position >= self._reader.end
        self.end = self._exhausted or (at_end and not self._blocked)
        for source, fragment in self._open.items():
            far = position - fragment.position > _LOOKAHEAD_BYTES
            if self._limit.hold_open and not self._limit.ended and not far:
                self._fragments.remove(fragment)
                self._give_back(source, fragment.offset, fragment.position)
        lines = (one if isinstance(one, LogLine) else self._line(one, position) for one in self._fragments)
        self.lines = list(filter(None, lines))
        self.left_out = len(self._fragments) - len(self.lines)
        resume_at = position if self._resume_at is None else self._resume_at
        self.cursor = Cursor(resume_at, self._first_line, tuple(self._delivered))

    def _line(self, fragment: _Fragment, position: int) -> LogLine | None:
        at_end = position >= self._reader.end
        text, half = fragment.text(final=fragment.closed or (self._limit.ended and at_end))
        if half:
            offset = fragment.offset + fragment.kept - half
            half_at = next(at for start, at in reversed(self._tails[fragment.source]) if start <= offset)
            if not at_end and position - half_at > _LOOKAHEAD_BYTES:
                text, half = fragment.text(final=True)
            else:
                self._give_back(fragment.source, offset, half_at)
        if half and half == fragment.kept:
            return None
        return LogLine(
            line_number=fragment.number,
            source=SOURCES[fragment.source],
            data=text,
            timestamp_ms=fragment.at_ms,
            partial=not fragment.closed,
            start=fragment.start,
            length=fragment.length - half,
        )

    def _give_back(self, source: int, offset: int, position: int) -> None:
        self._delivered[source] = offset
        self._resume(position)


def scan_page(reader: RecordReader, cursor: Cursor, limit: ScanLimit) -> Scan:
    """A scan that gets on: a page full of parts of characters is tried again with room for something else."""
    scan = Scan(reader, cursor, limit).run()
    for _ in SOURCES:
        if scan.end or scan.cursor != cursor:
            break
        lines, size = limit.lines_max + scan.left_out, limit.bytes_max + 4 * scan.left_out
        scan = Scan(reader, cursor, limit._replace(lines_max=lines, bytes_max=size)).run()
    return scan


def _line_at(record: Record, payload: bytes, cut: int) -> tuple[int, int]:
    """The number of the line to which byte `cut` of the payload belongs, and the offset where that line begins."""
    newlines = payload.count(b"\n", 0, cut)
    if newlines == 0:
        return record.line, record.line_start
    continued = record.line_start < record.offset
    return record.lines_before + newlines - continued, record.offset + payload.rfind(b"\n", 0, cut) + 1


def _skip_lines(record: Record, payload: bytes, cut: int, number: int, first_line: int) -> int:
    """Where the first line numbered `first_line` or higher begins; byte `cut` belongs to the earlier line `number`.

    The size of the payload if none does.
    """
    # A line that began in an earlier record may be far older than those that begin in this one.
    ends = first_line - number if number >= record.lines_before else 1 + max(0, first_line - record.lines_before)
    parts = payload[cut:].split(b"\n", ends)
    return len(payload) if len(parts) <= ends else len(payload) - len(parts[-1])


def with_marker(line: LogLine) -> LogLine:
    """A line of which not all is shown, with words at its end that say so."""
    if line.length <= LINE_BYTES_MAX or line.start >= LINE_BYTES_MAX:
        return line
    data = f"{line.data} … [cut: {line.length:,} bytes{' so far' if line.partial else ''}]"
    return LogLine(line.line_number, line.source, data, line.timestamp_ms, line.partial, line.start, line.length)
