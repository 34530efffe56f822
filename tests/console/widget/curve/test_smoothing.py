import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_console.widget.curve.series import Series
from opsconsole_console.widget.curve.smoothing import Smoothed
from tests.console.widget.curve.training import series


def plain(values: list[float], weight: float) -> list[float]:
    """The formula, with the sum written out."""
    seen: list[float] = []
    smooth = []
    for value in values:
        if not math.isfinite(value):
            smooth.append(value)
            continue
        seen.append(value)
        total = sum((1 - weight) * weight ** (len(seen) - 1 - place) * one for place, one in enumerate(seen))
        smooth.append(total / (1 - weight ** len(seen)))
    return smooth


@given(
    st.lists(st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf]), max_size=40),
    st.sampled_from([0.0, 0.6, 0.9, 0.99]),
)
def test_it_is_the_debiased_average(values: list[float], weight: float) -> None:
    found = caught_up(series("loss", values), weight).y
    assert list(found) == pytest.approx(plain(values, weight), rel=1e-6, abs=1e-3, nan_ok=True)


def test_the_quick_way_for_long_curves_gives_the_same() -> None:
    values = [math.sin(place / 50) for place in range(20_000)]
    values[9_000] = math.nan
    average, expected = 0.0, []
    for place, value in enumerate(values):
        if math.isfinite(value):
            average = average * 0.9 + value * 0.1
            expected.append(average / (1 - 0.9 ** (place + 1)))
        else:
            expected.append(value)
    assert list(caught_up(series("loss", values), 0.9).y) == pytest.approx(expected, nan_ok=True)


def test_a_constant_stays_what_it_is_from_the_first_value_on() -> None:
    assert list(caught_up(series("loss", [5.0] * 5), 0.99).y) == pytest.approx([5.0] * 5)


def caught_up(source: Series, weight: float) -> Series:
    smoothed = Smoothed(source, weight)
    smoothed.catch_up()
    return smoothed.curve


def test_a_long_curve_is_smoothed_part_by_part() -> None:
    values = [math.sin(place / 50) for place in range(10_000)]
    source = series("loss", values)
    smoothed = Smoothed(source, 0.99)
    parts = []
    while smoothed.is_behind:
        parts.append(smoothed.catch_up(4_500))
    assert parts == [4_500, 4_500, 1_000]
    assert smoothed.curve.y == caught_up(source, 0.99).y


def test_it_keeps_up_with_what_comes() -> None:
    source = series("loss", [1.0, 2.0])
    smoothed = Smoothed(source, 0.6)
    smoothed.catch_up()
    source.extend(array("d", [2, 3]), array("d", [4.0, 8.0]))
    smoothed.catch_up()
    assert list(smoothed.curve.y) == pytest.approx(plain([1, 2, 4, 8], 0.6))
    source.extend(array("d", [0.5]), array("d", [100.0]))
    assert smoothed.is_behind
    smoothed.catch_up()
    assert list(smoothed.curve.y) == pytest.approx(plain([1, 100, 2, 4, 8], 0.6))
