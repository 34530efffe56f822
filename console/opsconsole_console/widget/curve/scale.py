"""Values to places on an axis, and the round values that are named on it. Pure."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from opsconsole_console import format as fmt

_FAR = 1_000.0
_FINEST = 1e-9
_GREATEST = 1e305
_TRIES = 4
_SECOND_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400)
_DAY_S = 86_400
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


class Unit(StrEnum):
    """What an axis measures: a value, training steps, or seconds since the start."""

    VALUE = "value"
    STEP = "step"
    TIME_S = "time"


class Tick(NamedTuple):
    """A value that is named on an axis."""

    value: float
    label: str


@dataclass(frozen=True, slots=True)
class Scale:
    """From `low` to `high`, which is greater; `log`: by their logarithms, both above zero."""

    low: float
    high: float
    log: bool = False

    def share(self, value: float) -> float:
        """Where a value is: 0 at the lower end, 1 at the upper one, at most a thousand times further off."""
        if self.log:
            low = math.log(self.low)
            share = (math.log(value) - low) / (math.log(self.high) - low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return max(-_FAR, min(_FAR, share))


def fitted(low: float, high: float, *, log: bool = False) -> Scale | None:
    """A scale on which values from `low` to `high` look right: some air at both ends, a constant in the middle.

    None where there is nothing to show (`low` is greater than `high`, or not above zero on a log scale).
    """
    if low > high or (log and low <= 0):
        return None
    if log:
        air = (high / low) ** 0.03 if high / low < math.inf else 1e10
        if air < 1 + 1e-6:
            air = 2.0
        return Scale(max(low / air, 5e-324), min(high * air, _GREATEST), log=True)
    span = high - low
    least = max(abs(low), abs(high)) * _FINEST
    if span <= max(least, 1e-290):
        half = abs(low) * 0.1 or 1.0
        return Scale(low - max(half, 1e-280), high + max(half, 1e-280))
    # A curve that comes near zero without crossing it is read against zero.
    bottom = 0.0 if 0 <= low < span * 0.15 else low - span * 0.04
    top = 0.0 if -span * 0.15 < high <= 0 else high + span * 0.04
    return Scale(bottom, top)


def ticks(scale: Scale, count: int, unit: Unit = Unit.VALUE) -> list[Tick]:
    """Round values on a scale in rising order: at most one more than `count`, unless two need a finer step."""
    if count < 1:
        return []
    if scale.log and len(found := _log_values(scale, count)) >= 2:
        return [Tick(value, figure(value)) for value in found]
    values, step = _linear_values(scale, count, unit)
    if unit is Unit.TIME_S and step >= 1:
        return [Tick(value, _clock_label(value)) for value in values]
    suffix = "s" if unit is Unit.TIME_S else ""
    return [
        Tick(value, label + suffix if value else label)
        for value, label in zip(values, _labels(values, step), strict=True)
    ]


def _linear_values(scale: Scale, count: int, unit: Unit) -> tuple[list[float], float]:
    """Multiples of a round step, and the step."""
    values: list[float] = []
    step = 0.0
    for finer in range(_TRIES):
        step = _step((scale.high - scale.low) / (count + finer), unit)
        if not 0 < step < math.inf:
            return [], 1.0
        first, last = math.ceil(scale.low / step), math.floor(scale.high / step)
        values = [place * step for place in range(first, last + 1)]
        if len(values) >= 2:
            break
    return values, step


def _step(least: float, unit: Unit) -> float:
    """The round step that is at least as large."""
    if unit is Unit.TIME_S and least > 0.5:
        if least > _DAY_S:
            return _step(least / _DAY_S, Unit.STEP) * _DAY_S
        return next(float(step) for step in _SECOND_STEPS if step >= least)
    if not 0 < least < math.inf:
        return 0.0
    power = math.floor(math.log10(least))
    step = next((m * 10.0**power for m in (1, 2, 5, 10) if m * 10.0**power >= least * (1 - 1e-9)), 10.0 ** (power + 1))
    return max(1.0, step) if unit is Unit.STEP else step


def _log_values(scale: Scale, count: int) -> list[float]:
    low, high = math.ceil(math.log10(scale.low) - 1e-9), math.floor(math.log10(scale.high) + 1e-9)
    decades = high - low + 1
    if decades > count:
        stride = -(-decades // count)
        powers = range(low + -low % stride, high + 1, stride)
        return [10.0**power for power in (powers if len(powers) > 1 else range(low, high + 1, stride))]
    for factors in ((1, 2, 3, 5), (1, 2, 5), (1, 3)):
        found = [
            value
            for power in range(low - 1, high + 1)
            for factor in factors
            if scale.low <= (value := factor * 10.0**power) <= scale.high
        ]
        if len(found) <= count:
            return found
    return [10.0**power for power in range(low, high + 1)]


def _labels(values: list[float], step: float) -> Iterator[str]:
    """All with as many decimals as the step needs, all in the same unit."""
    largest = max(map(abs, values), default=0.0)
    if largest >= 1e15 or largest < 1e-4:
        power = math.floor(math.log10(largest)) if largest else 0
        figures = max(0, min(8, power - math.floor(math.log10(step) + 1e-9)))
        for value in values:
            yield _short(f"{value:.{figures}e}") if value else "0"
        return
    unit, suffix = next(((u, s) for u, s in _PREFIXES if largest >= (10 * u if u == 1e3 else u)), (1.0, ""))
    if largest >= 1e3 and step % 1e3 == 0 and not suffix:
        unit, suffix = 1e3, "k"
    decimals = max(0, -math.floor(math.log10(step / unit) + 1e-9))
    if suffix and decimals > 3:
        unit, suffix = 1.0, ""
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    for value in values:
        yield f"{value / unit:,.{decimals}f}{suffix}" if value else "0"


def _clock_label(value_s: float) -> str:
    if value_s == 0:
        return "0"
    unit = next((unit for unit, most in ((1, 60), (60, 3_600), (3_600, 2 * _DAY_S)) if abs(value_s) < most), _DAY_S)
    return fmt.duration(value_s * 1_000, figures=1 if value_s % unit == 0 else 2)


def figure(value: float) -> str:
    """A value in about four figures: `0.1934`, `12.03`, `12,034`, `1.2e-5`."""
    size = abs(value)
    if not size < math.inf:
        return fmt.NOTHING
    if size and (size < 1e-3 or size >= 1e9):
        return _short(f"{value:.2e}")
    return f"{value:,.0f}" if size >= 1e4 else f"{value:.4g}"


def place(x: float, unit: Unit) -> str:
    """An x as it is read out: `step 12,400`, `1h 05m`."""
    if unit is Unit.TIME_S:
        return fmt.duration(x * 1_000, figures=2)
    whole = f"{x:,.0f}" if abs(x) < 1e15 and x == int(x) else figure(x)
    return f"{unit} {whole}"


def _short(text: str) -> str:
    """`1.20e-05` as `1.2e-5`."""
    mantissa, _, power = text.partition("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(power)}" if power else mantissa
