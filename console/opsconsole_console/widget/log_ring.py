"""The lines a log pane keeps: bounded in number and in bytes, whatever comes. Pure.

Lines are addressed by an index that never changes while they are kept: trimming moves `base` up, history put in front
moves it down. While somebody reads (`hold`), nothing is trimmed under their eyes: up to twice the bound is kept, what
comes after that waits in a run of its own, of which only the newest part stays. Letting go joins the two, or, where
something between them is missing, goes on with the newer one; the older lines can be asked for again.
"""

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
            line = replace(line, data=_compact(old.data + line.data), start=old.start, timestamp_ms=old.timestamp_ms)
        self.lines[place] = line
        self.size_bytes += len(line.data) - len(old.data)

    def prepend(self, lines: Sequence[LogLine]) -> int:
        """Put older lines in front; those not older than the first are ignored. Returns how many came."""
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
        """Drop the oldest lines beyond either bound, a tenth late so that it isn't done for each; returns how many."""
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


class LogRing:
    """A kept run, and while it is held a waiting one."""

    def __init__(self, lines_max: int, bytes_max: int) -> None:
        self.lines_max = lines_max
        self.bytes_max = bytes_max
        self.run = LogRun()
        self.holding = False
        self._waiting: LogRun | None = None

    @property
    def lines(self) -> list[LogLine]:
        """The kept lines. Not to be changed."""
        return self.run.lines

    @property
    def base(self) -> int:
        """The index of the first kept line."""
        return self.run.base

    @property
    def end(self) -> int:
        """The index after the last kept line."""
        return self.run.base + len(self.run.lines)

    @property
    def waiting(self) -> int:
        """How many lines came that aren't among the kept ones because these are held."""
        return 0 if self._waiting is None else self._waiting.base + len(self._waiting.lines)

    @property
    def full(self) -> bool:
        """Whether no more history is taken: twice the bound is kept."""
        return len(self.lines) >= 2 * self.lines_max or self.run.size_bytes >= 2 * self.bytes_max

    def get(self, index: int) -> LogLine:
        """A kept line by its index; IndexError for any other."""
        place = index - self.base
        if place < 0:
            raise IndexError(index)
        return self.lines[place]

    def feed(self, lines: Sequence[LogLine]) -> Change:
        """Take in a batch of lines and fragments; call `trim` afterwards, when it suits."""
        if not self.holding or (self._waiting is None and not self.full):
            return self.run.feed(lines)
        if self._waiting is None:
            self._waiting = LogRun()
        last = self.lines[-1].line_number
        here = [line for line in lines if line.line_number <= last]
        self._waiting.feed([line for line in lines if line.line_number > last] if here else lines)
        return self.run.feed(here)

    def prepend(self, lines: Sequence[LogLine]) -> int:
        """Put history in front; returns how many lines came."""
        return self.run.prepend(lines)

    def trim(self) -> int:
        """Keep to the bounds; returns how many lines were dropped from the top of the kept ones."""
        if self._waiting is not None:
            self._waiting.trim(self.lines_max, self.bytes_max)
        return 0 if self.holding else self.run.trim(self.lines_max, self.bytes_max)

    def hold(self) -> None:
        """Somebody reads: drop nothing."""
        self.holding = True

    def release(self) -> bool:
        """Nobody reads any more. Returns whether other lines are kept now than before, beyond some at the end."""
        self.holding = False
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return False
        if waiting.base == 0:
            self.run.feed(waiting.lines)
            return True
        waiting.base += self.end
        self.run = waiting
        return True


def _size(line: LogLine) -> int:
    return len(line.data) + LINE_OVERHEAD_BYTES


def _total(lines: Sequence[LogLine]) -> int:
    """The size of many lines, without a call for each."""
    return sum(map(len, map(_data, lines))) + LINE_OVERHEAD_BYTES * len(lines)


def _compact(data: str) -> str:
    """Of a long line that keeps starting over (a progress bar) only the end is kept."""
    if len(data) <= _COMPACT_CHARACTERS or "\r" not in data:
        return data
    seen = data.rstrip("\r")
    return data[seen.rfind("\r") + 1 :]
