import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_console.widget.curve.series import BLOCK, LARGEST, Point, Series
from tests.console.widget.curve.training import series

ANY = st.floats(allow_nan=True, allow_infinity=True)
POINTS = st.lists(st.tuples(ANY, ANY | st.floats(-10, 10)), max_size=4 * BLOCK)
NAN, INF = math.nan, math.inf


def made(*pieces: list[tuple[float, float]]) -> Series:
    one = Series("any", array("d"), array("d"))
    for piece in pieces:
        one.extend(array("d", (x for x, _ in piece)), array("d", (y for _, y in piece)))
    return one


def finite(values: "array[float]") -> list[float]:
    return [value for value in values if -LARGEST <= value <= LARGEST]


@given(POINTS, POINTS)
def test_points_are_kept_in_order_whatever_comes(
    first: list[tuple[float, float]], second: list[tuple[float, float]]
) -> None:
    one = made(first, second)
    expected = sorted(x for x, _ in (*first, *second) if -LARGEST <= x <= LARGEST)
    assert list(one.x) == expected
    assert len(one.y) == len(expected)


@given(POINTS, POINTS, st.data())
def test_the_blocks_know_the_extremes(
    first: list[tuple[float, float]], second: list[tuple[float, float]], data: st.DataObject
) -> None:
    one = made(first, second)
    start = data.draw(st.integers(0, len(one)))
    end = data.draw(st.integers(start, len(one)))
    shown = finite(one.y[start:end])
    assert one.bounds(start, end) == ((min(shown), max(shown)) if shown else (INF, -INF))
    assert one.least_positive(start, end) == min((value for value in shown if value > 0), default=INF)


def test_points_that_come_late_are_put_where_they_belong() -> None:
    one = series("loss", range(3 * BLOCK))
    one.extend(array("d", [70.5]), array("d", [1_000.0]))
    assert one.x[71] == 70.5
    assert one.bounds(64, 128) == (64.0, 1_000.0)
    assert one.bounds(128, 193) == (127.0, 191.0)
    assert one.edits == 1


def test_of_one_x_the_newer_comes_last() -> None:
    one = made([(1, 10), (2, 20)], [(2, 21), (1, 11)])
    assert list(zip(one.x, one.y, strict=True)) == [(1, 10), (1, 11), (2, 20), (2, 21)]


def test_unequal_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match="2 values of x, but 1 of y"):
        Series("loss", array("d", [1, 2]), array("d", [1]))


@pytest.mark.parametrize(
    ("x", "found"),
    [(-5, Point(0, 1)), (0.9, Point(0, 1)), (1.6, Point(3, 4)), (3, Point(3, 4)), (99, Point(3, 4))],
)
def test_the_nearest_point_is_one_that_can_be_drawn(x: float, found: Point) -> None:
    assert series("loss", [1, NAN, INF, 4]).nearest(x) == found


def test_what_is_out_of_reach_is_not_near() -> None:
    assert series("loss", [1, 2]).nearest(3.0, reach=1.5) is None


def test_a_long_gap_is_passed_over() -> None:
    one = series("loss", [1, *[NAN] * 100_000, 2, *[NAN] * 1_000])
    assert one.nearest(50_000) == Point(0, 1)
    assert one.nearest(50_002) == Point(100_001, 2)
    assert one.last() == Point(100_001, 2)
    assert series("loss", [NAN] * 1_000).last() is None


@given(POINTS, ANY)
def test_what_is_read_is_a_real_point(points: list[tuple[float, float]], x: float) -> None:
    one = made(points)
    found = one.nearest(x)
    real = {(x, y) for x, y in zip(one.x, one.y, strict=True) if -LARGEST <= y <= LARGEST}
    if math.isfinite(x) and abs(x) <= LARGEST:
        assert (found is None) == (not real)
    assert found is None or found in real
