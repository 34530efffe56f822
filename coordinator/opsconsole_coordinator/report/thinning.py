"""Fewer points that make the same picture. Pure.

The x axis is cut into equal parts at multiples of their width, a power of two: the smallest with which there are no more parts than
wanted. Of each part its first and last point stay and those with its least and greatest value, in their order: a line through them
covers in every column what a line through all would. A value that isn't finite stays as one gap of its part.

So edges don't move when points follow: a part is done once there is one behind it. Where the width doubles, two parts become one,
whose points are among those that stayed. Whatever comes in whichever pieces, the same points stay.
"""

import math
from array import array
from bisect import bisect_left, bisect_right

from opsconsole_coordinator.report.series import Points, Window

_KEPT_OF_PART = 4
_EXACT_MAX = 1 << 53
"""Up to here every whole number is a float."""


def thin(x: "array[float]", y: "array[float]", window: Window, points_max: int) -> Points:
    """At most about `points_max` (4 or more) of the points in the window; `x` doesn't fall.

    The points just outside of the window stay too, so that lines lead to its edges.
    """
    curve = Curve(window, points_max)
    curve.extend(x, y)
    return curve.points()


class Curve:
    """A curve that is thinned as its points come. `last_x`: the last one's, -inf before there is one."""

    def __init__(self, window: Window, points_max: int) -> None:
        self._window = window
        self._points_max = points_max
        self._before: tuple[float, float] | None = None
        self._after: tuple[float, float] | None = None
        self._total = 0
        self._parts: _Parts | None = None
        """None while all points stay."""
        self._x, self._y = array("d"), array("d")
        self.last_x = -math.inf

    def __len__(self) -> int:
        """How many points are held."""
        return len(self._x if self._parts is None else self._parts.x)

    def extend(self, x: "array[float]", y: "array[float]") -> None:
        """Add points; `x` doesn't fall, from `last_x` on."""
        if not x:
            return
        first, last = self._window
        self.last_x = x[-1]
        start = 0 if first is None else bisect_left(x, first)
        end = len(x) if last is None else bisect_right(x, last)
        if start > end:  # a window that ends before it begins
            return
        if start and not self._total:
            self._before = x[start - 1], y[start - 1]
        if end < len(x) and self._after is None:
            self._after = x[end], y[end]
        if start < end:
            self._total += end - start
            self._add(x[start:end], y[start:end])

    def _add(self, x: "array[float]", y: "array[float]") -> None:
        if self._parts is None and self._total > self._points_max:
            self._parts = _Parts(max(2, self._points_max // _KEPT_OF_PART))
            x, y = self._x + x, self._y + y
            self._x, self._y = array("d"), array("d")
        if self._parts is None:
            self._x += x
            self._y += y
        else:
            self._parts.add(x, y)

    def points(self) -> Points:
        """Those that stay, and how many there are in the window."""
        x, y = (self._x, self._y) if self._parts is None else (self._parts.x, self._parts.y)
        before, after = self._before or (), self._after or ()
        return Points(
            array("d", before[:1]) + x + array("d", after[:1]),
            array("d", before[1:]) + y + array("d", after[1:]),
            self._total,
        )


class _Parts:
    """What stays of each part. Part `number` has the x from `number` · 2^`_power` on; `x` and `y` are all that stay, in order."""

    def __init__(self, parts_max: int) -> None:
        self._parts_max = parts_max
        self._power: int | None = None
        """None while all x are the same."""
        self._numbers: list[int] = []
        self._starts: list[int] = []
        self._counts: list[int] = []
        """How many points a part has, of which fewer may stay."""
        self.x, self.y = array("d"), array("d")

    def add(self, x: "array[float]", y: "array[float]") -> None:
        """Add points behind those before."""
        low = self.x[0] if self.x else x[0]
        self._widen(low, x[-1])
        start = 0
        while start < len(x):
            number = self._number(x[start])
            end = self._end_of(number, x, start)
            self._take(number, x[start:end], y[start:end], end - start)
            start = end

    def _widen(self, low: float, high: float) -> None:
        power = _power(low, high, self._parts_max, self._power)
        if power == self._power:
            return
        self._power = power
        starts = [*self._starts, len(self.x)]
        before = [
            (self.x[start:end], self.y[start:end], count)
            for start, end, count in zip(starts, starts[1:], self._counts, strict=False)
        ]
        self.x, self.y = array("d"), array("d")
        self._numbers, self._starts, self._counts = [], [], []
        for x, y, count in before:
            self._take(self._number(x[0]), x, y, count)

    def _number(self, x: float) -> int:
        return 0 if self._power is None else _number(x, self._power)

    def _end_of(self, number: int, x: "array[float]", start: int) -> int:
        """The place in x behind those of a part that begin at `start`."""
        if self._power is None:
            return len(x)
        if abs(number) < _EXACT_MAX and self._power < _GREATEST_POWER:
            return bisect_left(x, math.ldexp(number + 1, self._power), start)
        return bisect_right(x, number, start, key=self._number)

    def _take(self, number: int, x: "array[float]", y: "array[float]", count: int) -> None:
        """Add `count` points of a part, of which these stayed; to the last one, if it is that."""
        if self._numbers and self._numbers[-1] == number:
            start = self._starts[-1]
            x, y, count = self.x[start:] + x, self.y[start:] + y, self._counts[-1] + count
            del self.x[start:], self.y[start:]
            self._counts[-1] = count
        else:
            self._numbers.append(number)
            self._starts.append(len(self.x))
            self._counts.append(count)
        if count > _KEPT_OF_PART:
            places = _extremes(y)
            x, y = array("d", [x[place] for place in places]), array("d", [y[place] for place in places])
        self.x += x
        self.y += y


_GREATEST_POWER = 970
"""Above, the end of a part may be no float."""


def _power(low: float, high: float, parts_max: int, least: int | None) -> int | None:
    """The smallest power of two that is a width with which there are at most `parts_max` parts (2 or more) from `low` to `high`."""
    if low == high:
        return least
    extent = high - low
    power = (math.frexp(extent)[1] if math.isfinite(extent) else 1024) - parts_max.bit_length() - 2
    power = power if least is None else max(power, least)
    while _number(high, power) - _number(low, power) >= parts_max:
        power += 1
    return power


def _number(x: float, power: int) -> int:
    scaled = math.ldexp(x, -power)
    return math.floor(scaled) if scaled or x >= 0 else -1  # too small to be told from 0


def _extremes(y: "array[float]") -> list[int]:
    """The places of the first and the last, the least and the greatest value, and of a gap, in order."""
    least, greatest = min(y), max(y)
    if least - least != 0 or greatest - greatest != 0 or sum(y) != sum(y):  # some aren't finite
        return _extremes_with_gaps(y)
    return sorted({0, len(y) - 1, y.index(least), y.index(greatest)})


def _extremes_with_gaps(y: "array[float]") -> list[int]:
    finite = [place for place, value in enumerate(y) if math.isfinite(value)]
    if not finite:
        return [0]
    gap = next((place for place, value in enumerate(y) if not math.isfinite(value)), finite[0])
    return sorted({gap, finite[0], finite[-1], min(finite, key=y.__getitem__), max(finite, key=y.__getitem__)})
