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
from opsconsole_protocol.log import LOG_LINE_BYTES_MAX, STATE_BYTES_MAX, LogLine

SCAN_BYTES_MAX = 32 * 1024 * 1024
"""Work in one page, in bytes read; a header passed by counts as some."""
_HEADER_COST = 100
_LOOKAHEAD_BYTES = 1024 * 1024
"""How far beyond a full page the ends of its lines are looked for, and how long a search waits for a line to end."""
_CURSOR = re.compile(rf"1(\.[0-9a-f]{{1,16}}){{{3 + len(SOURCES)},{4 + len(SOURCES)}}}")
_EVERY_SOURCE = (True,) * len(SOURCES)


class LogQueryError(InvalidRequest, ValueError):
    """A question about a log that can't be answered; one line that says what to ask instead."""


class Cursor(NamedTuple):
    """Where to go on: file position, number of the first line of interest, bytes delivered by source.

    `restarting` has a bit for each source whose open line has started over: what follows is a part of its last state.
    As text it also bears the `mark` of the log that it belongs to.
    """

    position: int
    first_line: int
    delivered: tuple[int, ...] = (0,) * len(SOURCES)
    restarting: int = 0

    def spell(self, mark: int) -> str:
        """The cursor as clients keep it."""
        numbers = (1, mark, self.position, self.first_line, *self.delivered)
        return ".".join(f"{number:x}" for number in (numbers + (self.restarting,) * bool(self.restarting)))

    @classmethod
    def parse(cls, text: str) -> tuple[int, "Cursor"]:
        """The other way: mark and cursor. Raises LogQueryError for what no `spell` has made."""
        if _CURSOR.fullmatch(text) is None:
            raise LogQueryError("this cursor is not one that a log page has given: start again without it")
        _, mark, position, first_line, *rest = (int(part, 16) for part in text.split("."))
        return mark, cls(position, first_line, tuple(rest[: len(SOURCES)]), *rest[len(SOURCES) :])


class ScanLimit(NamedTuple):
    """When a scan ends: the rest of a line that lies far behind the first line out of range is not looked for.

    `hold_open`: lines without an end are left for a later page. `ended`: nothing more will come. `needle`: lines that
    don't hold these bytes need not be in the page, but may. `whole`: no line is cut. `latest`: of long lines that start over only the last state.
    """

    lines_max: int
    bytes_max: int
    before_line: int | None = None
    until_ms: int | None = None
    wanted: tuple[bool, ...] = _EVERY_SOURCE
    hold_open: bool = False
    ended: bool = False
    needle: bytes = b""
    whole: bool = False
    latest: bool = False
    scan_bytes: int = SCAN_BYTES_MAX


class _Fragment:
    """A line, or what of it this page delivers. `offset` and `position`: where its first byte is.

    Of what lies beyond the longest length `state` keeps the end, if the line has started over: from its last carriage
    return on, or what goes on where `pieces` end.
    """

    __slots__ = (
        "at_ms", "closed", "kept", "length", "number", "offset", "pieces", "position", "restarted", "source", "start",
        "state", "state_start", "whole",
    )  # fmt: skip

    def __init__(
        self, number: int, source: int, start: int, offset: int, record: Record, *, whole: bool, restarted: bool
    ) -> None:
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
        self.whole = whole
        self.restarted = restarted
        self.state = b""
        self.state_start = -1

    def extend(self, piece: bytes) -> int:
        """Add bytes, and return how many of them are kept."""
        self.length += len(piece)
        room = len(piece) if self.whole else LOG_LINE_BYTES_MAX - self.start - self.kept
        if self.state_start >= 0:
            room = 0
        kept = piece[: max(0, room)]
        if kept:
            self.pieces.append(kept)
            self.kept += len(kept)
        if not self.whole:
            more = piece[len(kept) :]
            if not self.restarted and self.length - len(more) > self.start + self.kept:
                more = more[more.find(b"\r") :] if b"\r" in more else b""  # what stands before was cut
            self.restarted = self.restarted or b"\r" in piece
            if self.restarted and more:
                self._restart(more)
        return len(kept)

    def _restart(self, more: bytes) -> None:
        if self.state_start < 0:
            self.state_start = self.length - len(more)
        known = self.state + more
        # Carriage returns at the very end have nothing after them yet: what they will be drawn over still stands.
        last = known.rstrip(b"\r").rfind(b"\r")
        if last >= 0:
            if last > 0:
                self.state_start = self.length - len(known) + last
            known = known[last:]
            self.pieces, self.kept = [], 0
        self.state = known[:STATE_BYTES_MAX]

    @property
    def data(self) -> bytes:
        """What of it there is to deliver."""
        return b"".join(self.pieces) + self.state

    def keep_latest(self) -> None:
        """Of a long one that starts over keep the last state only."""
        data = b"".join(self.pieces)
        last = data.rstrip(b"\r").rfind(b"\r")
        if len(data) > LOG_LINE_BYTES_MAX and last >= 0:
            self.state_start = self.start + last
            self.pieces, self.kept, self.state = [], 0, data[last:]

    @property
    def shown_start(self) -> int:
        """The byte of the line at which `data` begins."""
        return self.start if self.kept or self.state_start < 0 else self.state_start

    def text(self, *, final: bool) -> tuple[str, int]:
        """The text, and how many bytes at the end are but part of a character that may become whole."""
        data = self.data
        is_cut = self.shown_start + len(data) < self.length
        if final and not is_cut:
            return data.decode(errors="replace"), 0
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(data)
        return text, 0 if is_cut else len(decoder.getstate()[0])


class Scan:
    """One run over records. After `run`: `lines`, `cursor`, `end` (nothing more now) and `scanned` (work done).

    Of a `whole` one, by line number: `line_offsets`, the source and where the line of a fragment with `start` > 0 begins;
    and by number and start of a fragment `raw`, the bytes that its text can't tell. `left_out` counts fragments that took a place in the page and then had nothing to show but part of a character.
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
        self._seen_open: set[int] = set()
        self.line_offsets: dict[int, tuple[int, int]] = {}
        self.raw: dict[tuple[int, int], bytes] = {}

    def run(self) -> "Scan":
        """Read on until the page is full, the work is too much or the log is at its end."""
        position, end = self.cursor.position, self._reader.end
        while position < end and self.scanned <= self._limit.scan_bytes:
            if self._full_at is not None and (not self._open or position - self._full_at > _LOOKAHEAD_BYTES):
                break
            record = self._reader.record(position)
            self.scanned += _HEADER_COST
            self._add_record(record)
            position = record.end
        self._finish(position)
        return self

    def _add_record(self, record: Record) -> None:
        source = record.source
        begin = max(self._delivered[source], record.offset)
        if not self._limit.wanted[source] or source in self._blocked or begin >= record.offset + record.length:
            return
        if self._full_at is not None and source not in self._open:
            self._block(record)
            return
        payload = self._reader.payload(record)
        self._keep_tail(record)
        self._add_payload(record, payload, begin - record.offset)
        self.scanned += self._delivered[source] - begin

    def _add_payload(self, record: Record, payload: bytes, cut: int) -> None:
        source, size = record.source, len(payload)
        number, line_start = _line_at(record, payload, cut)
        if number < self._first_line:
            cut = _skip_lines(record, payload, cut, number, self._first_line)
            number = max(self._first_line, record.lines_before)
            line_start = record.offset + cut
        fragment = self._open.get(source)
        while cut < size:
            if fragment is None and record.offset + cut == line_start:
                whole, taken = self._add_whole_lines(record, payload[cut : cut + self._room_bytes], number)
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
                fragment = self._open[source] = self._open_fragment(number, source, offset - line_start, offset, record)
            if self._limit.whole and stop - cut > self._room_bytes:
                room = self._room_bytes
                self._kept += fragment.extend(payload[cut : cut + room])
                self._delivered[source] = record.offset + cut + room
                self._full_at = record.position if self._full_at is None else self._full_at
                self._block(record)
                return
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

    def _open_fragment(self, number: int, source: int, start: int, offset: int, record: Record) -> _Fragment:
        whole = self._limit.whole
        restarted = start > 0 and bool(self.cursor.restarting >> source & 1)
        fragment = _Fragment(number, source, start, offset, record, whole=whole, restarted=restarted)
        self._fragments.append(fragment)
        self._seen_open.add(source)
        if whole and start > 0:
            self.line_offsets[number] = (source, offset - start)
        return fragment

    def _add_whole_lines(self, record: Record, block: bytes, number: int) -> tuple[int, int]:
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
        if not lines or (max(sizes) > LOG_LINE_BYTES_MAX and (limit.latest or not limit.whole)):
            return 0, 0
        source, at_ms, kept = SOURCES[record.source], record.at_ms, sum(sizes)
        if limit.whole and not _is_utf8(block[: kept + len(lines)]):
            self.raw.update(((place, 0), line) for place, line in enumerate(lines, number) if not _is_utf8(line))
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

    def _keep_tail(self, record: Record) -> None:
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
        restarting = self.cursor.restarting
        for source in self._seen_open:
            still = self._open.get(source)
            bit = 1 << source
            restarting = restarting | bit if still is not None and still.restarted else restarting & ~bit
        self.cursor = Cursor(resume_at, self._first_line, tuple(self._delivered), restarting)

    def _line(self, fragment: _Fragment, position: int) -> LogLine | None:
        at_end = position >= self._reader.end
        if self._limit.latest:
            fragment.keep_latest()
        text, half = fragment.text(final=fragment.closed or (self._limit.ended and at_end))
        if half:
            offset = fragment.offset + fragment.length - fragment.start - half
            half_at = next(at for start, at in reversed(self._tails[fragment.source]) if start <= offset)
            if not at_end and position - half_at > _LOOKAHEAD_BYTES:
                text, half = fragment.text(final=True)
            else:
                self._give_back(fragment.source, offset, half_at)
        data = fragment.data
        if half and half == len(data):
            return None
        if fragment.whole and not _is_utf8(data[: len(data) - half]):
            self.raw[fragment.number, fragment.shown_start] = data[: len(data) - half]
        return LogLine(
            line_number=fragment.number,
            source=SOURCES[fragment.source],
            data=text,
            timestamp_ms=fragment.at_ms,
            partial=not fragment.closed,
            start=fragment.shown_start,
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


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def with_marker(line: LogLine) -> LogLine:
    """A line of which not all is shown, with words at its end that say so."""
    if line.length <= LOG_LINE_BYTES_MAX or line.start >= LOG_LINE_BYTES_MAX or "\r" in line.data:
        return line
    data = f"{line.data} … [cut: {line.length:,} bytes{' so far' if line.partial else ''}]"
    return LogLine(line.line_number, line.source, data, line.timestamp_ms, line.partial, line.start, line.length)
