import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_console.widget.curve.scale import Scale, Unit, figure, fitted, place, ticks

FINITE = st.floats(-1e300, 1e300)


@pytest.mark.parametrize(
    ("low", "high", "count", "unit", "labels"),
    [
        (0, 1, 5, Unit.VALUE, "0 0.2 0.4 0.6 0.8 1.0"),
        (-1.2, 2.3, 4, Unit.VALUE, "-1 0 1 2"),
        (0, 2.5, 6, Unit.VALUE, "0 0.5 1.0 1.5 2.0 2.5"),
        (0, 100, 4, Unit.VALUE, "0 50 100"),
        (0, 3e-5, 3, Unit.VALUE, "0 1e-5 2e-5 3e-5"),
        (0, 2.5e18, 3, Unit.VALUE, "0 1e18 2e18"),
        (7_000, 9_000, 4, Unit.VALUE, "7,000 7,500 8,000 8,500 9,000"),
        (1e6, 1e6 + 4, 4, Unit.VALUE, "1,000,000 1,000,001 1,000,002 1,000,003 1,000,004"),
        (0, 100_000, 5, Unit.STEP, "0 20k 40k 60k 80k 100k"),
        (0, 1_000_000, 4, Unit.STEP, "0 0.5M 1.0M"),
        (0, 40_000_000, 4, Unit.STEP, "0 10M 20M 30M 40M"),
        (0, 3, 10, Unit.STEP, "0 1 2 3"),
        (0, 0.4, 4, Unit.TIME_S, "0 0.1s 0.2s 0.3s 0.4s"),
        (0, 45, 4, Unit.TIME_S, "0 15s 30s 45s"),
        (0, 5_400, 4, Unit.TIME_S, "0 30m 1h 1h 30m"),
        (0, 86_400 * 9, 4, Unit.TIME_S, "0 5d"),
        (90, 130, 4, Unit.TIME_S, "1m 30s 1m 40s 1m 50s 2m 2m 10s"),
    ],
)
def test_round_values_are_named(low: float, high: float, count: int, unit: Unit, labels: str) -> None:
    assert " ".join(tick.label for tick in ticks(Scale(low, high), count, unit)) == labels


@pytest.mark.parametrize(
    ("low", "high", "count", "labels"),
    [
        (0.1, 3, 5, "0.1 0.2 0.5 1 2"),
        (0.8, 9, 5, "1 2 3 5"),
        (1e-6, 1, 4, "1e-6 1e-4 0.01 1"),
        (0.001, 1_000, 8, "0.001 0.01 0.1 1 10 100 1000"),
        (1.1, 1.9, 3, "1.2 1.4 1.6 1.8"),
    ],
)
def test_a_log_scale_names_powers_or_what_is_between(low: float, high: float, count: int, labels: str) -> None:
    assert " ".join(tick.label for tick in ticks(Scale(low, high, log=True), count)) == labels


@given(FINITE, FINITE, st.integers(1, 30), st.sampled_from(Unit), st.booleans())
def test_ticks_lie_on_the_scale_in_order(one: float, other: float, count: int, unit: Unit, log: bool) -> None:
    scale = fitted(min(one, other), max(one, other), log=log)
    if scale is None:
        return
    found = ticks(scale, count, unit)
    assert len(found) <= max(count + 1, 6)
    values = [tick.value for tick in found]
    assert values == sorted(set(values))
    assert all(-0.01 <= scale.share(value) <= 1.01 for value in values)
    labels = [tick.label for tick in found]
    assert len(set(labels)) == len(labels)


@given(FINITE, FINITE, st.booleans())
def test_a_fitted_scale_has_room_for_both(one: float, other: float, log: bool) -> None:
    low, high = min(one, other), max(one, other)
    scale = fitted(low, high, log=log)
    assert (scale is None) == (log and low <= 0)
    if scale is not None:
        assert scale.low < scale.high
        assert 0 <= scale.share(low) <= scale.share(high) <= 1


@pytest.mark.parametrize(
    ("low", "high", "log", "scale"),
    [
        (2, 2, False, (1.8, 2.2)),
        (0, 0, False, (-1, 1)),
        (-3, -3, False, (-3.3, -2.7)),
        (0.1, 10, False, (0, 10.396)),
        (5, 10, False, (4.8, 10.2)),
        (-10, -0.1, False, (-10.396, 0)),
        (4, 4, True, (2, 8)),
    ],
)
def test_air_at_the_ends(low: float, high: float, log: bool, scale: tuple[float, float]) -> None:
    found = fitted(low, high, log=log)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(scale)


@pytest.mark.parametrize("log", [False, True])
def test_nothing_to_show_has_no_scale(log: bool) -> None:
    assert fitted(math.inf, -math.inf, log=log) is None
    assert (fitted(-2, -1, log=log) is None) == log


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (0.19337, "0.1934"), (12.034, "12.03"), (1_234, "1234"), (12_034.4, "12,034"), (1.2e-5, "1.2e-5"),
        (-0.5, "-0.5"), (3.5e12, "3.5e12"), (math.nan, "–"), (math.inf, "–"),
    ],
)  # fmt: skip
def test_a_value_in_four_figures(value: float, text: str) -> None:
    assert figure(value) == text


@pytest.mark.parametrize(
    ("x", "unit", "text"),
    [
        (12_400, Unit.STEP, "step 12,400"), (0.5, Unit.STEP, "step 0.5"), (3_900, Unit.TIME_S, "1h 05m"),
        (0, Unit.TIME_S, "0s"), (1e299, Unit.STEP, "step 1e299"),
    ],
)  # fmt: skip
def test_an_x_read_out(x: float, unit: Unit, text: str) -> None:
    assert place(x, unit) == text
