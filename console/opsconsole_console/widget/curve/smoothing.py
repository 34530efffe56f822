"""Exponential smoothing as TensorBoard does it: a moving average, freed of its bias towards the zero that it starts with.

Where the weight is w, the average after n values is (w · average + (1 - w) · value), shown divided by 1 - wⁿ. What
isn't finite stays a gap and doesn't count. Pure.
"""

from array import array
from itertools import accumulate

from opsconsole_console.widget.curve.series import Series, is_finite

WEIGHTS = (0.0, 0.6, 0.9, 0.97, 0.99, 0.999)
"""The steps that a key goes through; the first is none."""

_PIECE = 4_096
_UNBIASED = 1e-16


class Smoothed:
    """A series made of another by smoothing with a weight from 0 up to but not including 1, kept up with it."""

    def __init__(self, source: Series, weight: float) -> None:
        self.weight = weight
        self._source = source
        self._restart()

    def _restart(self) -> None:
        self._edits = self._source.edits
        self._average = 0.0
        self._bias = 1.0
        self._curve = Series(self._source.name, array("d"), array("d"), self._source.tone)

    @property
    def curve(self) -> Series:
        """The smoothed points, one for each of the source's as far as `catch_up` has come."""
        return self._curve

    def catch_up(self, points_max: int | None = None) -> int:
        """Smooth what came since, at most `points_max` points (None: all), and return how many that were."""
        if self._edits != self._source.edits:
            self._restart()
        start = len(self._curve)
        end = len(self._source) if points_max is None else min(len(self._source), start + points_max)
        values = array("d")
        for piece in range(start, end, _PIECE):
            values.extend(self._smooth(self._source.y[piece : min(end, piece + _PIECE)]))
        self._curve.append(self._source.x[start:end], values)
        return end - start

    @property
    def is_behind(self) -> bool:
        """Whether there are points that `catch_up` has still to smooth."""
        return self._edits != self._source.edits or len(self._curve) < len(self._source)

    def _smooth(self, values: "array[float]") -> list[float]:
        weight, rest = self.weight, 1.0 - self.weight
        total = sum(values)
        if self._bias < _UNBIASED and is_finite(total) and is_finite(max(values)) and is_finite(min(values)):
            averages = list(
                accumulate(values, lambda average, value: average * weight + value * rest, initial=self._average)
            )
            self._average = averages[-1]
            return averages[1:]
        smooth: list[float] = []
        average, bias = self._average, self._bias
        for value in values:
            if is_finite(value):
                average = average * weight + value * rest
                bias *= weight
                smooth.append(average / (1.0 - bias))
            else:
                smooth.append(value)
        self._average, self._bias = average, bias
        return smooth
