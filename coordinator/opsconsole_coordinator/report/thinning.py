"""Fewer points that make the same picture. Pure.

The x axis is cut into equal parts. Of each, its first and last point stay and those with its least and greatest value, in
their order: a line through them covers in every column what a line through all would. A value that isn't finite stays as
one gap of its part.
"""

import math
from array import array
from bisect import bisect_left, bisect_right

from opsconsole_coordinator.report.series import Points, Window

_KEPT_OF_PART = 4


def thin(x: "array[float]", y: "array[float]", window: Window, points_max: int) -> Points:
    """At most about `points_max` (4 or more) of the points in the window; `x` doesn't fall.

    The points just outside of the window stay too, so that lines lead to its edges.
    """
    start = 0 if window.first is None else bisect_left(x, window.first)
    end = len(x) if window.last is None else bisect_right(x, window.last)
    total = max(0, end - start)
    start, end = max(0, start - 1), min(len(x), end + 1)
    if end - start <= points_max:
        return Points(x[start:end], y[start:end], total)
    parts = max(1, points_max // _KEPT_OF_PART)
    low, high = x[start], x[end - 1]
    kept_x, kept_y = array("d"), array("d")
    here = start
    for part in range(1, parts + 1):
        edge = end if part == parts else bisect_right(x, low + (high - low) * part / parts, here, end)
        for place in _extremes(y, here, edge):
            kept_x.append(x[place])
            kept_y.append(y[place])
        here = edge
    return Points(kept_x, kept_y, total)


def _extremes(y: "array[float]", start: int, end: int) -> list[int]:
    """The places of the first and the last, the least and the greatest value, and of a gap, in order."""
    if end - start <= _KEPT_OF_PART:
        return list(range(start, end))
    part = y[start:end]
    least, greatest = min(part), max(part)
    if least - least != 0 or greatest - greatest != 0 or sum(part) != sum(part):  # some aren't finite
        return _extremes_with_gaps(y, start, end)
    return sorted({start, end - 1, start + part.index(least), start + part.index(greatest)})


def _extremes_with_gaps(y: "array[float]", start: int, end: int) -> list[int]:
    finite = [place for place in range(start, end) if math.isfinite(y[place])]
    gap = next(place for place in range(start, end) if not math.isfinite(y[place]))
    if not finite:
        return [gap]
    return sorted({gap, finite[0], finite[-1], min(finite, key=y.__getitem__), max(finite, key=y.__getitem__)})
