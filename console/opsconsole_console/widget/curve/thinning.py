"""What each column of dots has to show of a curve that may have very many points: no extreme is ever lost. Pure."""

import math
from bisect import bisect_left
from typing import NamedTuple

from opsconsole_console.widget.curve.series import Series, is_finite
from opsconsole_console.widget.curve.window import Window

GAP = float("nan")
_FAR = 1_000_000.0


class Bin(NamedTuple):
    """The points that share a column: the first's and last's y, the least and the greatest.

    `first` and `last` are NaN where that point can't be drawn, and `low` is greater than `high` where none can. The
    columns of the neighbours on both sides of the window lie outside.
    """

    column: float
    first: float
    low: float
    high: float
    last: float

    @property
    def is_empty(self) -> bool:
        return self.low > self.high


def thinned(series: Series, window: Window, columns: int, *, positive: bool = False) -> list[Bin]:
    """The bins of a series from left to right; `positive` leaves out what isn't above zero, as a log scale has to."""
    x, y = series.x, series.y
    start, end = series.places(window.low, window.high)
    per_column = window.span / columns
    bins: list[Bin] = []
    if start > 0:
        bins.append(_neighbour(x[start - 1], y[start - 1], window, columns, positive=positive))
    place = start
    while place < end:
        column = min(columns - 1, int((x[place] - window.low) / per_column))
        stop = place + 1
        if column == columns - 1:
            stop = end
        elif stop < end and x[stop] < (edge := window.low + (column + 1) * per_column):
            stop = bisect_left(x, edge, stop, end)
        low, high = series.bounds(place, stop)
        if positive and low <= 0:
            low = series.least_positive(place, stop)
        first, last = _drawn(y[place], positive=positive), _drawn(y[stop - 1], positive=positive)
        bins.append(Bin(float(column), first, low, high, last))
        place = stop
    if end < len(x):
        bins.append(_neighbour(x[end], y[end], window, columns, positive=positive))
    return bins


def _drawn(value: float, *, positive: bool) -> float:
    return value if is_finite(value) and not (positive and value <= 0) else GAP


def _neighbour(x: float, y: float, window: Window, columns: int, *, positive: bool) -> Bin:
    column = max(-_FAR, min(_FAR, window.share(x) * columns))
    value = _drawn(y, positive=positive)
    if math.isnan(value):
        return Bin(column, GAP, float("inf"), float("-inf"), GAP)
    return Bin(column, value, value, value, value)


def extremes(series: Series, window: Window, *, positive: bool = False) -> tuple[float, float]:
    """The least and the greatest value to be seen, of the neighbours where nothing else is; (inf, -inf) without any."""
    start, end = series.places(window.low, window.high)
    low, high = series.bounds(start, end)
    if low > high or (positive and high <= 0):
        start, end = max(0, start - 1), min(len(series), end + 1)
        low, high = series.bounds(start, end)
    return (series.least_positive(start, end), high) if positive and low <= 0 else (low, high)
