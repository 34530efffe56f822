"""Points of a metric: kept as they come, put in order for a picture, and thinned without losing what a picture would show."""

import itertools
import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_coordinator.report.run import merged
from opsconsole_coordinator.report.series import Points, Series, Summary, Window
from opsconsole_coordinator.report.thinning import Curve, thin

floats = st.floats(allow_nan=True, allow_infinity=True)
finite = st.floats(-1e6, 1e6)


def series(*points: tuple[float | None, float]) -> Series:
    made = Series()
    for place, (step, value) in enumerate(points):
        made.add(step, 1_000.0 * place, value)
    return made


def test_of_a_step_that_came_twice_the_last_value_counts_and_steps_are_put_in_order() -> None:
    steps, values = series((3, 30), (1, 10), (2, 20), (1, 11)).by_step()
    assert (list(steps), list(values)) == ([1, 2, 3], [11, 20, 30])


def test_points_without_a_step_are_counted() -> None:
    assert list(series((None, 5), (None, 6), (7, 7), (None, 8)).steps) == [0, 1, 7, 8]


def test_a_clock_that_was_set_back_stands_still() -> None:
    made = Series()
    for at_ms in (5, 9, 3, 10):
        made.add(None, at_ms, 1)
    assert list(made.by_time()[0]) == [5, 9, 9, 10]


def test_a_summary_leaves_out_what_is_not_finite() -> None:
    assert series((0, 2), (1, math.inf), (2, -1), (3, 4)).summary == Summary(4, 4, 3, -1, 4, 0, is_rising=True)
    nothing = series((0, math.nan)).summary
    assert nothing.points == 1
    assert math.isnan(nothing.least)
    assert nothing.followed_by(series((4, 1)).summary) == Summary(2, 1, 4, 1, 1, 0, is_rising=True)


@given(st.lists(st.tuples(st.integers(0, 30), finite)), st.lists(st.tuples(st.integers(0, 30), finite)))
def test_a_summary_of_parts_is_that_of_the_whole(
    first: list[tuple[int, float]], second: list[tuple[int, float]]
) -> None:
    parts = series(*first).summary.followed_by(series(*second).summary) if first else series(*second).summary
    whole = series(*first)
    later = series(*second)
    whole.extend(later.steps, later.at_ms, later.values)
    assert str(parts) == str(whole.summary)


@given(st.lists(st.tuples(st.integers(0, 9), finite)), st.lists(st.tuples(st.integers(0, 9), finite)))
def test_extending_is_adding(first: list[tuple[int, float]], second: list[tuple[int, float]]) -> None:
    one, other = series(*first), series(*second)
    one.extend(other.steps, other.at_ms, other.values)
    both = series(*first, *second)
    assert [list(part) for part in one.by_step()] == [list(part) for part in both.by_step()]


def test_an_attempt_that_goes_on_from_a_checkpoint_takes_over_from_its_first_step() -> None:
    before, after = series((0, 0), (1, 1), (2, 2), (3, 3)), series((2, 20), (3, 30), (4, 40))
    run = merged([{"loss": before, "lr": series((0, 1))}, {"loss": after}])
    assert list(run["loss"].values) == [0, 1, 20, 30, 40]
    assert list(run["lr"].values) == [1]


@given(
    st.lists(st.tuples(st.integers(0, 500), floats), min_size=1, max_size=300),
    st.integers(4, 60),
    st.none() | st.integers(-10, 510),
    st.none() | st.integers(-10, 510),
)
def test_thinning_keeps_ends_and_extremes_in_order(
    points: list[tuple[int, float]], points_max: int, first: int | None, last: int | None
) -> None:
    x, y = series(*points).by_step()
    found = thin(x, y, Window(first, last), points_max)
    within = [
        (a, b) for a, b in zip(x, y, strict=True) if (first is None or a >= first) and (last is None or a <= last)
    ]
    assert found.total == len(within)
    assert len(found.x) == len(found.y) <= max(2 * points_max, 8)
    assert list(found.x) == sorted(found.x)
    assert {(a, str(b)) for a, b in zip(found.x, found.y, strict=True)} <= {
        (a, str(b)) for a, b in zip(x, y, strict=True)
    }
    values = [b for _, b in within if math.isfinite(b)]
    if values:
        assert {min(values), max(values)} <= set(found.y)
    if any(not math.isfinite(b) for _, b in within):
        assert any(not math.isfinite(b) for b in found.y)


def test_a_spike_of_one_point_in_a_million_is_kept() -> None:
    x, y = array("d", range(1_000_000)), array("d", bytes(8_000_000))
    y[777_777] = 5
    found = thin(x, y, Window(), 1_000)
    assert 5 in found.y
    assert len(found.x) <= 1_000
    near = thin(x, y, Window(777_700, 777_800), 1_000)
    assert (near.x[0], near.x[-1], near.total) == (777_699, 777_801, 101)


@pytest.mark.parametrize("points", [(), ((1, 1),)], ids=["none", "one"])
def test_nearly_nothing(points: tuple[tuple[int, float], ...]) -> None:
    assert len(thin(*series(*points).by_step(), Window(), 4).x) == len(points)


@given(
    st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 500), floats), max_size=300),
    st.lists(st.integers(0, 300), max_size=6),
    st.integers(4, 40),
    st.none() | st.floats(-10, 510),
    st.none() | st.floats(-10, 510),
    st.booleans(),
)
def test_a_curve_that_grows_in_any_pieces_is_that_of_the_whole(
    points: list[tuple[float, float]],
    cuts: list[int],
    points_max: int,
    first: float | None,
    last: float | None,
    over_time: bool,
) -> None:
    x, y = series(*points).by_step()
    if over_time:  # a clock that stands still
        x = array("d", [float(int(one) // 7) if abs(one) < 1e9 else one for one in x])
    window = Window(first, last)
    curve = Curve(window, points_max)
    edges = [0, *sorted(cuts), len(x)]
    for start, end in itertools.pairwise(edges):
        curve.extend(x[start:end], y[start:end])
        here = max(start, min(end, len(x)))
        assert told(curve.points()) == told(thin(x[:here], y[:here], window, points_max))


def told(points: Points) -> str:
    return str((list(points.x), list(points.y), points.total))
