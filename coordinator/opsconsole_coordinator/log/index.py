"""A sparse index of one log file: what is known at some records, so that any line, time or byte is a short way off.

An entry costs 80 bytes for 256 KiB of log. It is made while appending, or from the headers of a file found.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple

from opsconsole_coordinator.log.record import SOURCES, Tally

_SPACING_BYTES = 256 * 1024
_N = len(SOURCES)
_WIDTH = 2 + 2 * _N


class Entry(NamedTuple):
    """How many lines had begun and how many bytes had come, by source, before the record at `position`, whose time is `at_ms`."""

    position: int
    at_ms: int
    lines_by_source: tuple[int, ...]
    offsets: tuple[int, ...]


class LogIndex:
    """Entries in file order. Appending and reading may happen in different threads."""

    __slots__ = ("_cells",)

    def __init__(self) -> None:
        self._cells = array("q")

    def __len__(self) -> int:
        return len(self._cells) // _WIDTH

    def offer(self, position: int, at_ms: int, tally: Tally) -> None:
        """Make an entry for the record about to be counted into `tally`, if the last entry is far enough away."""
        cells = self._cells
        if not cells or position - cells[-_WIDTH] >= _SPACING_BYTES:
            cells.extend((position, at_ms, *tally.lines_by_source, *tally.offsets))

    def cut(self, length: int) -> None:
        """Forget entries beyond the first `length`."""
        del self._cells[length * _WIDTH :]

    def before_line(self, number: int) -> Entry | None:
        """The last entry before which no more than `number` lines had begun; None for an empty log."""
        return self._last(number, lambda entry: sum(entry.lines_by_source))

    def before_line_of(self, wanted: tuple[bool, ...], number: int) -> Entry | None:
        """The same, counting only lines of the wanted sources."""
        return self._last(number, lambda entry: count_wanted(wanted, entry.lines_by_source))

    def before_time(self, at_ms: int) -> Entry | None:
        """The last entry older than `at_ms`, or the first."""
        return self._last(at_ms - 1, lambda entry: entry.at_ms)

    def before_offset(self, source: int, offset: int) -> Entry | None:
        """The last entry before which `source` had come no further than `offset`."""
        return self._last(offset, lambda entry: entry.offsets[source])

    def entry(self, place: int) -> Entry:
        """The entry at `place`, from 0."""
        row = self._cells[place * _WIDTH : (place + 1) * _WIDTH]
        return Entry(row[0], row[1], tuple(row[2 : 2 + _N]), tuple(row[2 + _N :]))

    def _last(self, value: int, key: Callable[[Entry], int]) -> Entry | None:
        count = len(self)
        place = bisect_right(range(count), value, key=lambda place: key(self.entry(place)))
        return self.entry(max(0, place - 1)) if count else None


def count_wanted(wanted: tuple[bool, ...], by_source: tuple[int, ...] | list[int]) -> int:
    """The sum over the wanted sources."""
    return sum(count for use, count in zip(wanted, by_source, strict=True) if use)
