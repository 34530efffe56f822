"""Answering questions about one log: pages of lines, and the raw bytes of a source."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from opsconsole_coordinator.log.grep import Matcher
from opsconsole_coordinator.log.index import count_wanted
from opsconsole_coordinator.log.locate import Locator, Range, line_range
from opsconsole_coordinator.log.log_file import Snapshot
from opsconsole_coordinator.log.record import CODES, SOURCES, DamagedRecordError, RecordReader
from opsconsole_coordinator.log.scan import Cursor, LogQueryError, Scan, ScanLimit, scan_page, with_marker
from opsconsole_protocol.error import Unavailable
from opsconsole_protocol.log import (
    LOG_LINE_BYTES_MAX,
    PAGE_BYTES_MAX,
    PAGE_LINES_MAX,
    LogLine,
    LogPage,
    LogQuery,
    Source,
)

_GREP_BYTES_MAX = 8 * 1024 * 1024
_GREP_BACK_BYTES_MAX = 32 * 1024 * 1024
_BATCH_LINES = 20_000
_BATCH_BYTES = 1024 * 1024
_BLOCK_ENTRIES = 4
_SEARCH_SECONDS_MAX = 1.0
"""A search that takes longer ends its page: others wait for their turn, and it goes on from its cursor."""


class LogReadError(Unavailable):
    """A log that can't be read from the coordinator's disk; one line that names the file."""


def read_page(snapshot: Snapshot, query: LogQuery, *, ended: bool) -> LogPage:
    """The page that `query` asks for. `ended`: the attempt writes no more. LogQueryError, LogReadError."""
    matcher = None if query.grep is None else Matcher(query.grep, inverted=query.invert)
    with _reader(snapshot) as reader:
        return _Reading(snapshot, reader, query, matcher, ended=ended).page()


def read_bytes(snapshot: Snapshot, source: Source, offset: int, limit: int) -> bytes:
    """Up to `limit` bytes of one source as the task wrote them; empty at the end. Raises LogReadError."""
    with _reader(snapshot) as reader:
        return _bytes(snapshot, reader, CODES[source], offset, limit)


def _bytes(snapshot: Snapshot, reader: RecordReader, source: int, offset: int, limit: int) -> bytes:
    parts: list[bytes] = []
    wanted_end = min(offset + limit, snapshot.tally.offsets[source])
    entry = snapshot.index.before_offset(source, offset)
    position = snapshot.end if entry is None else entry.position
    while offset < wanted_end and position < snapshot.end:
        record = reader.record(position)
        if record.source == source and record.offset + record.length > offset:
            piece = reader.payload(record)[offset - record.offset : wanted_end - record.offset]
            parts.append(piece)
            offset += len(piece)
        position = record.end
    return b"".join(parts)


@contextmanager
def _reader(snapshot: Snapshot) -> Iterator[RecordReader]:
    if len(snapshot.index) == 0:
        # Nothing came yet; there may not even be a file.
        yield RecordReader(-1, snapshot.end)
        return
    try:
        descriptor = os.open(snapshot.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield RecordReader(descriptor, snapshot.end)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise LogReadError(f"the log file {snapshot.path} can't be read: {error.strerror}") from None
    except DamagedRecordError:
        raise LogReadError(
            f"the log file {snapshot.path} is damaged; raw bytes before the damage can be read"
        ) from None


class _Reading:
    """One query against one snapshot."""

    def __init__(
        self, snapshot: Snapshot, reader: RecordReader, query: LogQuery, matcher: Matcher | None, *, ended: bool
    ) -> None:
        self._snapshot = snapshot
        self._reader = reader
        self._query = query
        self._matcher = matcher
        self._ended = ended
        self._wanted = tuple(not query.sources or source in query.sources for source in SOURCES)
        self._locator = Locator(snapshot, reader, self._wanted)
        self._lines_max = max(1, min(query.max_lines, PAGE_LINES_MAX))
        self._bytes_max = max(1, min(query.max_bytes, PAGE_BYTES_MAX))
        self._note = ""
        self._until = time.monotonic() + _SEARCH_SECONDS_MAX
        self._raw: dict[tuple[int, int], bytes] = {}

    def page(self) -> LogPage:
        cursor = self._resume(self._query.cursor) if self._query.cursor else self._first_cursor()
        if self._matcher is None:
            scan = scan_page(self._reader, cursor, self._limit(self._lines_max, self._bytes_max))
            lines, cursor, end = scan.lines, scan.cursor, scan.end
            self._raw |= scan.raw
        else:
            lines, cursor, end = self._search(cursor, self._matcher)
        total = self._snapshot.tally.lines
        raw = self._raw
        return LogPage(
            lines=tuple(lines if self._query.whole else map(with_marker, lines)),
            raw={place: raw[key] for place, line in enumerate(lines) if (key := (line.line_number, line.start)) in raw}
            if raw
            else {},
            next_cursor=cursor.spell(self._snapshot.mark),
            end=end,
            first_line=lines[0].line_number if lines else total,
            total_lines=total,
            note=self._note,
        )

    def _first_cursor(self) -> Cursor:
        asked = line_range(self._query, self._locator, self._snapshot.tally.lines)
        first = asked.first
        if asked.tail is not None and self._matcher is None:
            first = max(first, self._locator.last(asked.tail, asked.before))
        elif asked.tail is not None and self._matcher is not None:
            first = self._last_matches(asked, asked.tail, self._matcher)
        return self._locator.at_line(first)

    def _resume(self, text: str) -> Cursor:
        mark, cursor = Cursor.parse(text)
        if mark != self._snapshot.mark:
            # Who follows a task that is tried again comes with the cursor of the attempt before.
            return self._locator.at_line(0)
        index, end = self._snapshot.index, self._snapshot.end
        if len(index) == 0 or cursor.position >= end:
            # Beyond the end: the coordinator's host crashed and the agent will send the rest again.
            delivered = tuple(map(min, cursor.delivered, self._snapshot.tally.offsets))
            return Cursor(end, cursor.first_line, delivered)
        start = index.entry(0).position
        if cursor.position <= start:
            return cursor._replace(position=start)
        try:
            record = self._reader.record(cursor.position)
            sound = self._reader.is_sound(record, self._reader.payload(record))
        except DamagedRecordError:
            sound = False
        if not sound:
            raise LogQueryError("this cursor is not one that a page of this log has given: start again without it")
        return cursor

    def _limit(self, lines: int, size: int, *, hold_open: bool = False, before_line: int | None = None) -> ScanLimit:
        return ScanLimit(
            lines_max=lines,
            bytes_max=size,
            before_line=self._query.before_line if before_line is None else before_line,
            until_ms=self._query.until_ms,
            wanted=self._wanted,
            hold_open=hold_open,
            ended=self._ended,
            whole=self._query.whole,
            latest=self._query.latest,
            needle=b"" if self._matcher is None else self._matcher.needle,
        )

    def _search(self, cursor: Cursor, matcher: Matcher) -> tuple[list[LogLine], Cursor, bool]:
        found: list[LogLine] = []
        spent, size = 0, 0
        while True:
            scan = scan_page(self._reader, cursor, self._limit(_BATCH_LINES, _BATCH_BYTES, hold_open=True))
            spent += scan.scanned
            self._raw |= scan.raw
            for line in filter(None, self._matching(matcher, scan)):
                is_full = len(found) >= self._lines_max or (found and size + line.length > self._bytes_max)
                if is_full and line.start == 0:
                    # This one and what follows is for the next page: that begins after what came before this line.
                    limit = self._limit(_BATCH_LINES, _BATCH_BYTES, hold_open=True, before_line=line.line_number)
                    return found, scan_page(self._reader, cursor, limit).cursor, False
                found.append(line)
                size += line.length
            cursor = scan.cursor
            if scan.end or spent > _GREP_BYTES_MAX or time.monotonic() > self._until:
                return found, cursor, scan.end

    def _last_matches(self, asked: Range, count: int, matcher: Matcher) -> int:
        """The number of the line with which the last `count` matches of a range begin."""
        index = self._snapshot.index
        before, spent = asked.before, 0
        numbers: list[int] = []
        for place in range((len(index) - 1) // _BLOCK_ENTRIES * _BLOCK_ENTRIES, -1, -_BLOCK_ENTRIES):
            if len(numbers) >= count or before <= asked.first:
                break
            entry = index.entry(place)
            first = sum(entry.lines_by_source)
            if first >= before:
                continue
            if spent > _GREP_BACK_BYTES_MAX or time.monotonic() > self._until:
                self._note = f"grep: lines before {before} were not searched; give a line or a time to start at"
                return numbers[0] if numbers else before
            following = index.entry(place + _BLOCK_ENTRIES) if place + _BLOCK_ENTRIES < len(index) else None
            if following is None or self._has_wanted(entry.lines_by_source, following.lines_by_source):
                cursor = Cursor(entry.position, max(first, asked.first))
                new, work = self._matches_before(cursor, before, matcher)
                numbers, spent = new + numbers, spent + work
            before = first
        if not numbers or not count:
            return asked.before
        return numbers[-min(count, len(numbers))]

    def _has_wanted(self, earlier: tuple[int, ...], later: tuple[int, ...]) -> bool:
        return count_wanted(self._wanted, earlier) < count_wanted(self._wanted, later)

    def _matches_before(self, cursor: Cursor, before_line: int, matcher: Matcher) -> tuple[list[int], int]:
        numbers: list[int] = []
        work = 0
        while True:
            limit = self._limit(_BATCH_LINES, _BATCH_BYTES, hold_open=True, before_line=before_line)
            scan = scan_page(self._reader, cursor, limit)
            work += scan.scanned
            numbers += [
                line.line_number for line in self._matching(matcher, scan) if line is not None and not line.start
            ]
            cursor = scan.cursor
            if scan.end or work > _GREP_BACK_BYTES_MAX:
                return numbers, work

    def _matching(self, matcher: Matcher, scan: Scan) -> list[LogLine | None]:
        """The lines, with None for those in which nothing was found. What counts is a line's beginning."""
        if not scan.lines:
            return []
        texts = [
            self._beginning(*scan.line_offsets[line.line_number])
            if line.start and line.line_number in scan.line_offsets
            else line.data[:LOG_LINE_BYTES_MAX]
            for line in scan.lines
        ]
        found = matcher.matches(texts)
        return [line if hit else None for line, hit in zip(scan.lines, found, strict=True)]

    def _beginning(self, source: int, offset: int) -> str:
        return (
            _bytes(self._snapshot, self._reader, source, offset, LOG_LINE_BYTES_MAX)
            .decode(errors="replace")
            .split("\n", 1)[0]
        )
