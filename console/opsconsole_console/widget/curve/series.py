"""The points of one curve, with the least and greatest of each block of them, kept up as points come. Pure."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import islice
from operator import itemgetter, le
from typing import NamedTuple

from opsconsole_console.widget.cell import Tone

BLOCK = 64
LARGEST = 1e300
"""What is further from zero counts as infinite: spans and shares of such numbers would be."""

_NONE = float("inf")


class Point(NamedTuple):
    """A point of a curve."""

    x: float
    y: float


class Series:
    """Points in the order of their x (several may share one), shown by `name` in `tone`.

    Both arrays are of type `d`, equally long, and belong to the series from now on; add points with `extend`. A point
    whose x isn't finite is left out; a y that isn't (NaN, infinite, beyond `LARGEST`) is a gap. Raises ValueError where
    one array is longer than the other.
    """

    __slots__ = ("_high", "_low", "_positive", "edits", "name", "tone", "x", "y")

    def __init__(self, name: str, x: "array[float]", y: "array[float]", tone: Tone = "") -> None:
        self.name, self.tone = name, tone
        self.x, self.y = array("d"), array("d")
        self._low, self._high, self._positive = array("d"), array("d"), array("d")
        self.edits = 0
        """How often points came that belong before others; what was made from the points is then out of date."""
        self.extend(x, y)

    def __len__(self) -> int:
        return len(self.x)

    def extend(self, x: "array[float]", y: "array[float]") -> None:
        """Add points, in any order; those that belong further left are put there. Raises ValueError."""
        if len(x) != len(y):
            raise ValueError(f"{len(x)} values of x, but {len(y)} of y")
        if not _is_in_order(x):
            points = sorted((p for p in zip(x, y, strict=True) if -LARGEST <= p[0] <= LARGEST), key=itemgetter(0))
            x, y = array("d", map(itemgetter(0), points)), array("d", map(itemgetter(1), points))
        if x and self.x and x[0] < self.x[-1]:
            self._insert(x, y)
        else:
            self.append(x, y)

    def append(self, x: "array[float]", y: "array[float]") -> None:
        """Add points that are known to come in order after those there are: `extend` without looking."""
        if self.x:
            self.x.extend(x)
            self.y.extend(y)
        else:
            self.x, self.y = x, y
        self._add_blocks()

    def _insert(self, x: "array[float]", y: "array[float]") -> None:
        start = bisect_right(self.x, x[0])
        both = zip([*self.x[start:], *x], [*self.y[start:], *y], strict=True)
        points = sorted(both, key=itemgetter(0))
        del self.x[start:], self.y[start:]
        self.x.extend(map(itemgetter(0), points))
        self.y.extend(map(itemgetter(1), points))
        whole = start // BLOCK
        del self._low[whole:], self._high[whole:], self._positive[whole:]
        self.edits += 1
        self._add_blocks()

    def _add_blocks(self) -> None:
        y = self.y
        for start in range(len(self._low) * BLOCK, len(y) - BLOCK + 1, BLOCK):
            values = y[start : start + BLOCK]
            low, high = _bounds(values)
            self._low.append(low)
            self._high.append(high)
            self._positive.append(low if low > 0 else _least_positive(values) if high > 0 else _NONE)

    def bounds(self, start: int, end: int) -> tuple[float, float]:
        """The least and the greatest finite y from place `start` up to but not including `end`; (inf, -inf) without any."""
        first, last = -(-start // BLOCK), end // BLOCK
        if first >= last:
            return _bounds(self.y[start:end])
        low, high = min(self._low[first:last]), max(self._high[first:last])
        for edge in (self.y[start : first * BLOCK], self.y[last * BLOCK : end]):
            if edge:
                edge_low, edge_high = _bounds(edge)
                low, high = min(low, edge_low), max(high, edge_high)
        return low, high

    def least_positive(self, start: int, end: int) -> float:
        """The least finite y above zero from place `start` up to but not including `end`; inf without any."""
        first, last = -(-start // BLOCK), end // BLOCK
        if first >= last:
            return _least_positive(self.y[start:end])
        edges = (*self.y[start : first * BLOCK], *self.y[last * BLOCK : end])
        inside = min(self._positive[first:last])
        return min(inside, _least_positive(edges))

    def nearest(self, x: float, reach: float = LARGEST) -> Point | None:
        """The point with a finite y whose x is nearest to `x`, at most `reach` away; of several with one x the newest."""
        after = bisect_right(self.x, x)
        found = [self._finite(range(after - 1, -1, -1), x - reach), self._finite(range(after, len(self)), x + reach)]
        near = [point for point in found if point is not None and abs(point.x - x) <= reach]
        return min(near, key=lambda point: abs(point.x - x), default=None)

    def last(self) -> Point | None:
        """The last point with a finite y."""
        return self._finite(range(len(self) - 1, -1, -1), -LARGEST)

    def _finite(self, places: range, limit: float) -> Point | None:
        """The first of these points with a finite y. Whole blocks of gaps are passed over, nothing beyond `limit` looked at."""
        place, step, end = places.start, places.step, places.stop
        while place != end:
            if (self.x[place] - limit) * step > 0:
                return None
            block = place // BLOCK
            if block < len(self._low) and self._low[block] > self._high[block]:
                place = block * BLOCK - 1 if step < 0 else min(end, (block + 1) * BLOCK)
                continue
            if is_finite(self.y[place]):
                return Point(self.x[place], self.y[place])
            place += step
        return None

    def span(self) -> tuple[float, float] | None:
        """The least and the greatest x; None without points."""
        return (self.x[0], self.x[-1]) if self.x else None

    def places(self, low: float, high: float) -> tuple[int, int]:
        """Where the points from `low` to `high`, both included, begin and end."""
        return bisect_left(self.x, low), bisect_right(self.x, high)


def is_finite(value: float) -> bool:
    """Whether a value can be drawn."""
    return -LARGEST <= value <= LARGEST


def _is_in_order(x: "array[float]") -> bool:
    return not x or (x[0] >= -LARGEST and x[-1] <= LARGEST and all(map(le, x, islice(x, 1, None))))


def _bounds(values: "array[float]") -> tuple[float, float]:
    if not values:
        return _NONE, -_NONE
    low, high, total = min(values), max(values), sum(values)
    # A sum less itself is zero unless a NaN is among the values, which min and max pass over, or something infinite.
    if total - total == 0.0 and low >= -LARGEST and high <= LARGEST:
        return low, high
    finite = [value for value in values if -LARGEST <= value <= LARGEST]
    return (min(finite), max(finite)) if finite else (_NONE, -_NONE)


def _least_positive(values: Iterable[float]) -> float:
    return min((value for value in values if 0 < value <= LARGEST), default=_NONE)
