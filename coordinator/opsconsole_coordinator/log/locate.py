"""Finding the line at which a query begins. But for `grep`, headers are enough."""

from collections.abc import Iterator
from typing import NamedTuple

from opsconsole_coordinator.log.index import Entry, count_wanted
from opsconsole_coordinator.log.log_file import Snapshot
from opsconsole_coordinator.log.record import Record, RecordReader
from opsconsole_coordinator.log.scan import Cursor, LogQueryError
from opsconsole_protocol.log import LogQuery


class Locator:
    """Places in one log. `wanted` says which sources count for `last`."""

    def __init__(self, snapshot: Snapshot, reader: RecordReader, wanted: tuple[bool, ...]) -> None:
        self._snapshot = snapshot
        self._reader = reader
        self._wanted = wanted

    def at_line(self, number: int) -> Cursor:
        """From line `number` on."""
        entry = self._snapshot.index.before_line(number)
        return Cursor(self._snapshot.end if entry is None else entry.position, number)

    def line_at_time(self, at_ms: int) -> int:
        """The number of the first line that began at or after `at_ms`."""
        entry = self._snapshot.index.before_time(at_ms)
        if entry is not None:
            for record in self._records(entry):
                if record.at_ms >= at_ms:
                    return record.lines_before
        return self._snapshot.tally.lines

    def last(self, count: int, before_line: int) -> int:
        """The number of the line with which the last `count` wanted lines before `before_line` begin."""
        if all(self._wanted):
            return max(0, before_line - count)
        return self._nth(max(0, self._count(before_line) - count), before_line)

    def _count(self, before_line: int) -> int:
        """How many wanted lines come before line `before_line`."""
        entry = self._snapshot.index.before_line(before_line)
        if entry is None:
            return 0
        count = count_wanted(self._wanted, entry.lines_by_source)
        for record, lines in self._begun(entry):
            if record.lines_before >= before_line:
                break
            if self._wanted[record.source]:
                count += min(lines, before_line - record.lines_before)
        return count

    def _nth(self, ordinal: int, otherwise: int) -> int:
        """The number of the wanted line before which `ordinal` wanted ones come."""
        entry = self._snapshot.index.before_line_of(self._wanted, ordinal)
        if entry is None:
            return otherwise
        count = count_wanted(self._wanted, entry.lines_by_source)
        for record, lines in self._begun(entry):
            if self._wanted[record.source]:
                if count + lines > ordinal:
                    return record.lines_before + ordinal - count
                count += lines
        return otherwise

    def _records(self, entry: Entry) -> Iterator[Record]:
        position = entry.position
        while position < self._snapshot.end:
            record = self._reader.record(position)
            yield record
            position = record.end

    def _begun(self, entry: Entry) -> Iterator[tuple[Record, int]]:
        """Each record with how many lines begin in it: those numbered from `lines_before` on."""
        previous: Record | None = None
        for record in self._records(entry):
            if previous is not None:
                yield previous, record.lines_before - previous.lines_before
            previous = record
        if previous is not None:
            yield previous, self._snapshot.tally.lines - previous.lines_before


class Range(NamedTuple):
    """Lines `first` ≤ number < `before`, of which only the last `tail` that fit are asked for, unless it is None."""

    first: int
    before: int
    tail: int | None


def line_range(query: LogQuery, locator: Locator, total_lines: int) -> Range:
    """What a query without a cursor asks for. Raises LogQueryError when it contradicts itself."""
    start, tail = query.start_line or 0, query.tail
    if query.start_line is not None and tail is not None:
        raise LogQueryError("give either a line to start at or a number of last lines, not both")
    if tail is not None and tail < 0:
        raise LogQueryError(f"{tail} last lines can't be shown: give a number from 0 on")
    if start < 0:
        start, tail = 0, -start
    before = total_lines if query.before_line is None else max(0, min(query.before_line, total_lines))
    if query.until_ms is not None:
        before = min(before, locator.line_at_time(query.until_ms))
    first = start
    if query.since_ms is not None:
        first = max(start, locator.line_at_time(query.since_ms))
    return Range(first, before, tail)
