"""The points of one metric, and those few of them that a picture of a given width needs. Pure.

Points are kept in the order in which they came. Steps may come twice or out of order: for a picture over steps the point that
came last counts, and points are put in order.
"""

import math
import operator
from array import array
from collections.abc import Callable
from typing import NamedTuple

_MISSING = math.nan


class Window(NamedTuple):
    """The part of the x axis that is asked for; both ends belong to it, and None is open."""

    first: float | None = None
    last: float | None = None


class Points(NamedTuple):
    """Points in the order of `x`, 64-bit floats. `total` is how many there are in the window before thinning."""

    x: "array[float]"
    y: "array[float]"
    total: int


class Summary(NamedTuple):
    """How many points came, the last one with its step, and the least and greatest finite value; NaN where there is none.

    `is_rising`: each step is greater than the one before, so that no point takes the place of another.
    """

    points: int
    last: float
    last_step: float
    least: float
    greatest: float
    first_step: float = _MISSING
    is_rising: bool = False

    def followed_by(self, later: "Summary") -> "Summary":
        """Of these points and later ones."""
        if not later.points:
            return self
        return Summary(
            self.points + later.points,
            later.last,
            later.last_step,
            _first_of(self.least, later.least, min),
            _first_of(self.greatest, later.greatest, max),
            self.first_step,
            self.is_rising and later.is_rising and self.last_step < later.first_step,
        )


class Series:
    """The points of one metric: steps, times (Unix ms) and values, three 64-bit floats each."""

    __slots__ = ("_greatest", "_is_sorted", "_least", "at_ms", "steps", "values")

    def __init__(self) -> None:
        self.steps = array("d")
        self.at_ms = array("d")
        self.values = array("d")
        self._is_sorted = True
        self._least = math.inf
        self._greatest = -math.inf

    def __len__(self) -> int:
        return len(self.values)

    def add(self, step: float | None, at_ms: float, value: float) -> None:
        """Add a point. Without a step it is one after the last."""
        steps = self.steps
        last = steps[-1] if steps else -1.0
        here = last + 1 if step is None else step
        if steps and here <= last:
            self._is_sorted = False
        steps.append(here)
        self.at_ms.append(at_ms)
        self.values.append(value)
        if math.isfinite(value):
            self._least, self._greatest = min(self._least, value), max(self._greatest, value)

    def extend(self, steps: "array[float]", at_ms: "array[float]", values: "array[float]") -> None:
        """Add points; the arrays are of one length."""
        if not values:
            return
        follows = not self.steps or self.steps[-1] < steps[0]
        self._is_sorted &= follows and all(map(operator.lt, steps, steps[1:]))
        self.steps += steps
        self.at_ms += at_ms
        self.values += values
        finite = values if _all_finite(values) else array("d", filter(math.isfinite, values))
        self._least = min(self._least, min(finite, default=math.inf))
        self._greatest = max(self._greatest, max(finite, default=-math.inf))

    def behind(self, count: int) -> "Series":
        """Those after the first `count` points."""
        made = Series()
        made.extend(self.steps[count:], self.at_ms[count:], self.values[count:])
        return made

    def copy(self) -> "Series":
        """An independent copy."""
        made = Series()
        made.steps, made.at_ms, made.values = self.steps[:], self.at_ms[:], self.values[:]
        made._is_sorted, made._least, made._greatest = self._is_sorted, self._least, self._greatest
        return made

    @property
    def summary(self) -> Summary:
        """What there is in all."""
        if not self.values:
            return Summary(0, _MISSING, _MISSING, _MISSING, _MISSING)
        least = self._least if self._least != math.inf else _MISSING
        greatest = self._greatest if self._greatest != -math.inf else _MISSING
        return Summary(
            len(self.values), self.values[-1], self.steps[-1], least, greatest, self.steps[0], self._is_sorted
        )

    def by_step(self) -> tuple["array[float]", "array[float]"]:
        """Steps and values, steps rising: of a step that came twice the last value."""
        if self._is_sorted:
            return self.steps, self.values
        last = dict(zip(self.steps, self.values, strict=True))
        order = sorted(last)
        return array("d", order), array("d", [last[step] for step in order])

    def by_time(self) -> tuple["array[float]", "array[float]"]:
        """Times in Unix ms and values, times not falling: a clock that was set back stands still."""
        times = self.at_ms
        if any(map(operator.gt, times, times[1:])):
            latest = -math.inf
            times = array("d", [latest := max(latest, one) for one in times])
        return times, self.values


def _first_of(one: float, other: float, choose: Callable[[float, float], float]) -> float:
    """The chosen one of two numbers, or the one that isn't NaN."""
    if math.isnan(one):
        return other
    return one if math.isnan(other) else choose(one, other)


def _all_finite(values: "array[float]") -> bool:
    total = sum(values)
    return total - total == 0
