import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_console.widget.curve.window import Window, whole, widened
from tests.console.widget.curve.training import series

WHOLE = Window(0.0, 1_000.0)
FINITE = st.floats(-1e300, 1e300)


def test_zooming_keeps_what_it_zooms_on_in_place() -> None:
    near = WHOLE.zoomed(4, 600, WHOLE)
    assert near.span == 250
    assert near.share(600) == pytest.approx(WHOLE.share(600))
    assert near.zoomed(1 / 4, 600, WHOLE) == WHOLE


@pytest.mark.parametrize(
    ("window", "share", "moved"),
    [
        (Window(100, 200), 0.5, Window(150, 250)),
        (Window(100, 200), -5.0, Window(0, 100)),
        (Window(850, 950), 1.0, Window(900, 1_000)),
        (WHOLE, 1.0, WHOLE),
    ],
)
def test_panning_ends_at_the_ends(window: Window, share: float, moved: Window) -> None:
    assert window.panned(share, WHOLE) == moved


def test_the_whole_has_all_points_of_all() -> None:
    assert whole([series("a", [1, 2]), series("b", []), series("c", [1] * 5)]) == Window(0, 4)
    assert whole([series("b", [])]) is None
    assert whole([series("a", [1])]) == Window(-0.5, 0.5)


@given(FINITE, FINITE, st.lists(st.tuples(st.floats(0.1, 10), st.floats(0, 1), st.floats(-2, 2)), max_size=30))
def test_a_window_can_always_be_drawn(one: float, other: float, moves: list[tuple[float, float, float]]) -> None:
    everything = widened(min(one, other), max(one, other))
    window = everything
    for factor, share, pan in moves:
        window = window.zoomed(factor, window.at(share), everything).panned(pan, everything)
        assert window.low < window.high
        assert window.span / 1_000 > 0


@pytest.mark.parametrize("at", [0.0, 1.0, 5e12])
def test_zooming_in_comes_to_an_end_before_the_digits_do(at: float) -> None:
    window = everything = widened(at, at + 100)
    for _ in range(200):
        window = window.zoomed(2, window.at(0.3), everything)
    assert window.span / 1_000 > 0
