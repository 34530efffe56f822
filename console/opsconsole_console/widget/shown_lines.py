"""Which lines of a log are seen, and in which rows of the pane: filters and wrapping. Pure.

Rows count from the top of what is seen. `row_base` is the number the first of them would have had in the beginning, so
`row_base + row` names the same row before and after trimming.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator
from itertools import accumulate

from opsconsole_console.widget.ansi import plain
from opsconsole_console.widget.cell import split, width
from opsconsole_console.widget.log_ring import LogRing
from opsconsole_console.widget.log_run import Change
from opsconsole_protocol import pattern as patterns
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.log import LogLine
from opsconsole_protocol.pattern import Pattern

CELLS_MAX = 4_096
"""A line shows no more cells than this."""


class PatternError(ValueError):
    """Raised for a regular expression that can't be used; its text is one line."""


def compile_pattern(text: str, *, regex: bool = True) -> Pattern:
    """A pattern to search with: case matters only where it has a capital letter. Raises PatternError."""
    ignore_case = not any(map(str.isupper, text))
    try:
        return patterns.compile_pattern(text if regex else patterns.escaped(text), ignore_case=ignore_case)
    except InvalidRequest as error:
        raise PatternError(error.message) from None


def shown_text(line: LogLine) -> str:
    """A line as it is seen and searched: clean, and cut where it is too long."""
    text = line.data
    if len(text) <= CELLS_MAX // 2 and text.isprintable():
        return text
    text = plain(text)
    if len(text) <= CELLS_MAX // 2:
        return text
    cells = width(text)
    if cells <= CELLS_MAX:
        return text
    return cut(text, cells)


def cut(text: str, cells: int, left_out: int = 0) -> str:
    """Text of `cells` cells cut to the longest allowed, with a sign that says how many cells are missing."""
    sign = f"…(+{cells - CELLS_MAX + left_out:,})"
    sign = f"…(+{cells - CELLS_MAX + left_out + len(sign):,})"
    return split(text, CELLS_MAX - len(sign))[0] + sign


def wrapped(text: str, cells: int) -> list[str]:
    """Text in pieces of at most `cells` cells; at least one, which may be empty."""
    if text.isascii():
        return [text[start : start + cells] for start in range(0, len(text), cells)] or [""]
    pieces = []
    while text:
        piece, rest = split(text, cells)
        # A wide character in a pane one cell wide would never fit.
        piece, text = (piece, rest) if piece else (text[:1], text[1:])
        pieces.append(piece)
    return pieces or [""]


class ShownLines:
    """What is seen of a ring."""

    def __init__(self, ring: LogRing) -> None:
        self.ring = ring
        self.row_base = 0
        self.pattern: Pattern | None = None
        self.invert = False
        self.sources: Collection[str] | None = None
        self.wrap_cells = 0
        self._seen: list[int] | None = None
        self._ends: list[int] | None = None

    @property
    def is_filtered(self) -> bool:
        """Whether some lines may be hidden."""
        return self.pattern is not None or self.sources is not None

    @property
    def count(self) -> int:
        """Lines seen."""
        return len(self.ring.lines) if self._seen is None else len(self._seen)

    @property
    def rows(self) -> int:
        """Rows they take."""
        if self._ends is None:
            return self.count
        return self._ends[-1] - self.row_base if self._ends else 0

    def _passing(self, lines: Iterable[LogLine], first: int) -> Iterator[int]:
        """The indexes of lines that pass the filters; the first line has index `first`."""
        sources, invert = self.sources, self.invert
        search = None if self.pattern is None else self.pattern.search
        for index, line in enumerate(lines, first):
            if sources is not None and line.source not in sources:
                continue
            if search is None or (search(shown_text(line)) is None) is invert:
                yield index

    def rebuild(self) -> None:
        """Look at every line again: after filters, the width, or more than the end of the ring changed."""
        ring = self.ring
        self._seen = None
        if self.is_filtered:
            self._seen = list(self._passing(ring.lines, ring.base))
        self._ends = None
        self.row_base = ring.base
        if self.wrap_cells:
            self._ends = []
            self._extend_ends(0)

    def apply(self, change: Change) -> None:
        """Follow what a batch did to the ring."""
        if change.moved:
            self.rebuild()
            return
        if self._seen is None and self._ends is None:
            return
        ring = self.ring
        first = min(change.changed, default=ring.end - change.appended)
        place = self.count_before(first)
        if self._seen is not None:
            del self._seen[place:]
            self._seen.extend(self._passing(ring.lines[first - ring.base :], first))
        if self._ends is not None:
            del self._ends[place:]
            self._extend_ends(place)

    def trimmed(self) -> int:
        """Follow the ring after lines were dropped from its top and return how many rows went with them."""
        base = self.ring.base
        if self._seen is None and self._ends is None:
            rows, self.row_base = base - self.row_base, base
            return rows
        # Without a filter every line had an end of its own, also those that are gone.
        gone = bisect_left(self._seen, base) if self._seen is not None else len(self._ends or ()) - len(self.ring.lines)
        if self._seen is not None:
            del self._seen[:gone]
        if self._ends is None:
            self.row_base += gone
            return gone
        if not gone:
            return 0
        rows = self._ends[gone - 1] - self.row_base
        self.row_base += rows
        del self._ends[:gone]
        return rows

    def index_at(self, place: int) -> int:
        """The ring index of the `place`-th line seen."""
        return self.ring.base + place if self._seen is None else self._seen[place]

    def count_before(self, index: int) -> int:
        """How many lines seen stand before a ring index."""
        return index - self.ring.base if self._seen is None else bisect_left(self._seen, index)

    def at(self, row: int) -> tuple[int, int]:
        """The place of the line shown in a row, and which of its rows this is. IndexError below the last."""
        if not 0 <= row < self.rows:
            raise IndexError(row)
        if self._ends is None:
            return row, 0
        place = bisect_right(self._ends, self.row_base + row)
        start = self._ends[place - 1] if place else self.row_base
        return place, self.row_base + row - start

    def row_of(self, place: int) -> int:
        """The first row of the `place`-th line seen, or how many rows there are for the place after the last."""
        if self._ends is None or not self._ends:
            return place
        return (self._ends[place - 1] if place else self.row_base) - self.row_base

    def search(self, pattern: Pattern, place: int, step: int) -> int | None:
        """The nearest place with a match from `place` on, downward (`step` 1) or upward (-1), without going round."""
        lines = self.ring.lines
        base = self.ring.base
        for candidate in range(place, self.count if step > 0 else -1, step):
            if pattern.search(shown_text(lines[self.index_at(candidate) - base])) is not None:
                return candidate
        return None

    def seen_lines(self) -> Iterator[LogLine]:
        """The lines seen, from the top."""
        if self._seen is None:
            return iter(self.ring.lines)
        return (self.ring.get(index) for index in self._seen)

    def _extend_ends(self, start: int) -> None:
        """Add the ends of the lines seen from the `start`-th on."""
        ends, cells = self._ends, self.wrap_cells
        if ends is None:
            return
        lines, base = self.ring.lines, self.ring.base
        seen = lines[start:] if self._seen is None else [lines[index - base] for index in self._seen[start:]]
        last = ends[-1] if ends else self.row_base
        sums = accumulate((_height(line, cells) for line in seen), initial=last)
        next(sums)
        ends.extend(sums)


def _height(line: LogLine, cells: int) -> int:
    """Rows of `cells` cells that a line takes."""
    data = line.data
    if data.isascii() and len(data) <= CELLS_MAX and data.isprintable():
        return max(1, -(-len(data) // cells))
    return len(wrapped(shown_text(line), cells))
