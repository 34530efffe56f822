"""Lines of a log in the order of their numbers, put together of fragments. Pure."""

from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from msgspec.structs import replace

from opsconsole_protocol.log import LogLine

LINE_OVERHEAD_BYTES = 160
_COMPACT_CHARACTERS = 8_192
_TRIM_SLACK = 1.1

_number = attrgetter("line_number")
_start = attrgetter("start")
_data = attrgetter("data")


class Change(NamedTuple):
    """What a batch did to the kept lines: how many came at the end, and the indexes of older ones that changed.

    `moved`: lines came between others, so indexes mean other lines than before.
    """

    appended: int = 0
    changed: tuple[int, ...] = ()
    moved: bool = False


class LogRun:
    """Lines in the order of their numbers, without bounds of its own."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self.base = 0
        self.size_bytes = 0

    def feed(self, lines: Sequence[LogLine]) -> Change:
        """Add lines and fragments of lines; fragments continue the line of their number, a line again replaces it."""
        if not lines:
            return Change()
        last = self.lines[-1].line_number if self.lines else -1
        if lines[0].line_number > last and not any(map(_start, lines)):
            self.lines.extend(lines)
            self.size_bytes += _total(lines)
            return Change(appended=len(lines))
        return self._feed_singly(lines)

    def _feed_singly(self, lines: Sequence[LogLine]) -> Change:
        appended = 0
        changed: set[int] = set()
        moved = False
        for line in lines:
            place = self._place(line.line_number)
            if place < len(self.lines) and self.lines[place].line_number == line.line_number:
                self._set(place, line)
                changed.add(self.base + place)
            elif place == len(self.lines):
                self.lines.append(line)
                self.size_bytes += _size(line)
                appended += 1
            elif place > 0:
                self.lines.insert(place, line)
                self.size_bytes += _size(line)
                moved = True
            # What is older than everything kept was trimmed, or will be asked for.
        first_new = self.base + len(self.lines) - appended
        return Change(appended, tuple(sorted(index for index in changed if index < first_new)), moved)

    def _place(self, number: int) -> int:
        if self.lines and number > self.lines[-1].line_number:
            return len(self.lines)
        return bisect_left(self.lines, number, key=_number)

    def _set(self, place: int, line: LogLine) -> None:
        old = self.lines[place]
        if line.start > 0:
            line = replace(line, data=compact(old.data + line.data), start=old.start, timestamp_ms=old.timestamp_ms)
        self.lines[place] = line
        self.size_bytes += len(line.data) - len(old.data)

    def prepend(self, lines: Sequence[LogLine]) -> int:
        """Put older lines in front; those not older than the first are ignored. Return how many came."""
        run = LogRun()
        run.feed(lines)
        older = run.lines
        if self.lines:
            older = older[: bisect_left(older, self.lines[0].line_number, key=_number)]
        self.lines[:0] = older
        self.base -= len(older)
        self.size_bytes += _total(older)
        return len(older)

    def trim(self, lines_max: int, bytes_max: int) -> int:
        """Drop the oldest lines beyond either bound, a tenth late so that it isn't done for each. Return how many."""
        drop = 0
        if len(self.lines) > lines_max * _TRIM_SLACK:
            drop = len(self.lines) - lines_max
        if self.size_bytes > bytes_max * _TRIM_SLACK:
            left_bytes = self.size_bytes - _total(self.lines[:drop])
            while left_bytes > bytes_max and drop < len(self.lines) - 1:
                left_bytes -= _size(self.lines[drop])
                drop += 1
        if drop:
            self.size_bytes -= _total(self.lines[:drop])
            del self.lines[:drop]
            self.base += drop
        return drop


def _size(line: LogLine) -> int:
    return len(line.data) + LINE_OVERHEAD_BYTES


def _total(lines: Sequence[LogLine]) -> int:
    """The size of many lines, without a call for each."""
    return sum(map(len, map(_data, lines))) + LINE_OVERHEAD_BYTES * len(lines)


def compact(data: str) -> str:
    """Of a long line that keeps starting over (a progress bar) only the end is kept."""
    if len(data) <= _COMPACT_CHARACTERS or "\r" not in data:
        return data
    seen = data.rstrip("\r")
    return data[seen.rfind("\r") + 1 :]
