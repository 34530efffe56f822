import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_console.widget.curve.series import LARGEST, Series
from opsconsole_console.widget.curve.thinning import Bin, extremes, thinned
from opsconsole_console.widget.curve.window import Window, whole, widened
from tests.console.widget.curve.training import series

NAN, INF = math.nan, math.inf
ANY = st.floats(allow_nan=True, allow_infinity=True)
POINTS = st.lists(st.tuples(ANY | st.floats(0, 100), ANY | st.floats(-5, 5)), max_size=500)


def test_a_column_shows_first_least_greatest_and_last() -> None:
    one = series("loss", [3, 1, 9, 2, 5, 5])
    assert thinned(one, Window(0, 6), 2) == [Bin(0, 3, 1, 9, 9), Bin(1, 2, 2, 5, 5)]


def test_what_cannot_be_drawn_is_a_gap() -> None:
    first, gap, last = thinned(series("loss", [1, NAN, INF]), Window(0, 3), 3)
    assert first == Bin(0, 1, 1, 1, 1)
    assert gap.is_empty
    assert last.is_empty


def test_on_a_log_scale_what_is_not_above_zero_is_a_gap() -> None:
    (one,) = thinned(series("loss", [-1, 0, 2, 8]), Window(0, 4), 1, positive=True)
    assert (one.low, one.high, one.last) == (2, 8, 8)
    assert math.isnan(one.first)


def test_the_neighbours_outside_come_along() -> None:
    bins = thinned(series("loss", range(10)), Window(4, 6), 2)
    assert [(one.column, one.last) for one in bins] == [(-1, 3), (0, 4), (1, 6), (3, 7)]


def test_a_million_points_are_as_many_bins_as_there_are_columns() -> None:
    values = array("d", bytes(8_000_000))
    values[123_456], values[654_321] = 7.0, -7.0
    one = Series("loss", array("d", range(1_000_000)), values)
    bins = thinned(one, Window(0, 999_999), 100)
    assert len(bins) == 100
    assert [place for place, one in enumerate(bins) if one.high == 7.0] == [12]
    assert [place for place, one in enumerate(bins) if one.low == -7.0] == [65]


@given(POINTS, st.integers(1, 50), st.booleans(), st.floats(0, 1), st.floats(0, 1))
def test_no_extreme_is_lost(
    points: list[tuple[float, float]], columns: int, positive: bool, left: float, right: float
) -> None:
    one = Series("any", array("d", (x for x, _ in points)), array("d", (y for _, y in points)))
    everything = whole([one])
    if everything is None:
        return
    window = widened(*sorted((everything.at(left), everything.at(right))))
    start, end = one.places(window.low, window.high)
    seen = [y for y in one.y[start:end] if -LARGEST <= y <= LARGEST and (y > 0 or not positive)]
    bins = thinned(one, window, columns, positive=positive)
    inside = [b for b in bins[start > 0 : len(bins) - (end < len(one))] if not b.is_empty]
    assert min((b.low for b in inside), default=INF) == min(seen, default=INF)
    assert max((b.high for b in inside), default=-INF) == max(seen, default=-INF)
    assert all(0 <= b.column < columns for b in inside)
    if seen:
        assert extremes(one, window, positive=positive) == (min(seen), max(seen))


@pytest.mark.parametrize(
    ("window", "positive", "found"),
    [
        (Window(0, 3), False, (-1, 4)),
        (Window(0, 3), True, (2, 4)),
        (Window(0.2, 0.8), False, (-1, 2)),
        (Window(0.2, 0.8), True, (2, 2)),
    ],
)
def test_extremes_in_sight(window: Window, positive: bool, found: tuple[float, float]) -> None:
    assert extremes(series("loss", [-1, 2, 4]), window, positive=positive) == found
