import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_console.widget.bar import bar, meter, progress
from opsconsole_console.widget.cell import width


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (None, "          "),
        (0, "          "),
        (0.0001, "▏         "),
        (0.45, "████▌     "),
        (0.5, "█████     "),
        (0.9999, "█████████▉"),
        (1, "██████████"),
        (7, "██████████"),
    ],
)
def test_bar(fraction: float | None, text: str) -> None:
    assert bar(fraction, 10) == text


@given(st.one_of(st.none(), st.floats(-1, 2)), st.integers(0, 40))
def test_everything_is_as_wide_as_asked(fraction: float | None, cells: int) -> None:
    assert width(bar(fraction, cells)) == cells
    assert width(meter(fraction, cells).text) == cells
    if cells >= 5:
        assert width(progress(fraction, cells).text) == cells


def test_progress_has_its_figure_on_the_right() -> None:
    assert progress(0.41, 16).text == "████▏       41 %"
    assert progress(0.41, 6).text == "  41 %"
    assert progress(None, 12).text == "           –"


def test_meter_shows_its_track() -> None:
    assert meter(0.65, 10).text == "━━━━━━╸───"
