import math

import pytest

from opsconsole_console.widget.cell import Tone
from opsconsole_console.widget.curve.raster import DOTS_WIDE, Dots, Layer, composed, drawn
from opsconsole_console.widget.curve.scale import Scale
from opsconsole_console.widget.curve.thinning import thinned
from opsconsole_console.widget.curve.window import Window
from tests.console.widget.curve.training import series

NAN = math.nan


def picture(values: list[float], width: int, height: int, dots: Dots, *, window: Window | None = None) -> list[str]:
    """A curve from 0 to 10 as text."""
    window = window or Window(0, len(values))
    columns = width * DOTS_WIDE
    bins = thinned(series("loss", values), window, columns)
    found = drawn(bins, Scale(0, 10), columns, height * dots.high)
    signs, _ = composed([Layer(found.masks, "a")], width, height, dots)
    rows = [signs[row * width : (row + 1) * width] for row in range(height)]
    return ["".join(sign or " " for sign in row).rstrip() for row in rows]


SAW = [float(place % 11) for place in range(22)]


def test_a_curve_in_braille() -> None:
    assert picture(SAW, 11, 3, Dots.BRAILLE) == [
        "   ⢀⡴⡇   ⣠⠞",
        " ⢀⡴⠋ ⢧ ⣠⠞⠁",
        "⡴⠋   ⢸⠞⠁",
    ]


def test_a_curve_in_blocks() -> None:
    assert picture(SAW, 11, 3, Dots.BLOCKS) == [
        "    ▞▌   ▗▀",
        "  ▞▀ ▜ ▗▀▘",
        "▞▀   ▐▀▘",
    ]


def test_a_gap_is_not_drawn_over() -> None:
    assert picture([5, 5, 5, 5, NAN, NAN, NAN, NAN, 5, 5, 5, 5], 6, 1, Dots.BRAILLE) == ["⠤⠤  ⠤⠤"]


def test_many_points_fill_what_lies_between_their_extremes() -> None:
    noise = [float(place % 2 * 10) for place in range(1_000)]
    assert picture(noise, 4, 2, Dots.BRAILLE) == ["⣿⣿⣿⣿", "⣿⣿⣿⣿"]


def test_a_line_goes_on_to_what_lies_outside() -> None:
    assert picture([0, 10], 4, 2, Dots.BRAILLE, window=Window(0.4, 0.6)) == ["  ⢀⣀", "⠉⠉⠁"]


def test_only_points_that_nothing_is_joined_to_are_alone() -> None:
    bins = thinned(series("loss", [5, NAN, 5, 5, NAN, 0]), Window(0, 6), 6)
    assert drawn(bins, Scale(0, 10), 6, 11).lone == [(0, 5), (5, 10)]


def tones(*layers: Layer) -> str:
    return "".join(str(tone or ".") for tone in composed(layers, 6, 1, Dots.BRAILLE)[1])


FLAT, FULL, NONE = [0b10] * 12, [0b1111] * 12, [0] * 12


@pytest.mark.parametrize(
    ("layers", "found"),
    [
        ([Layer(FLAT, "a"), Layer(NONE, "b")], "aaaaaa"),
        ([Layer(FLAT, "a"), Layer(FLAT, "b")], "aabbaa"),
        ([Layer(FLAT, "a"), Layer(FLAT, "b"), Layer(FLAT, "c")], "aabbcc"),
        ([Layer(FULL, "a"), Layer(FLAT, "b")], "bbbbbb"),
        ([Layer(FLAT, "a", is_ghost=True), Layer(FLAT, "b")], "bbbbbb"),
    ],
    ids=["alone", "two take turns", "three take turns", "over a thick one", "over a ghost"],
)
def test_where_curves_share_cells(layers: list[Layer], found: str) -> None:
    assert tones(*layers) == found


def test_thin_lines_in_one_cell_both_keep_their_dots() -> None:
    signs, _ = composed([Layer([0b0001] * 2, "a"), Layer([0b1000] * 2, "b")], 1, 1, Dots.BRAILLE)
    assert signs == ["⣉"]


def test_a_tone_may_be_anything_that_a_palette_knows() -> None:
    tone: Tone = "bold curve-1"
    assert composed([Layer(FLAT, tone)], 1, 1, Dots.BRAILLE)[1] == [tone]
