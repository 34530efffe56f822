import pytest
from rich.style import Style
from textual.color import Color, ColorParseError

from opsconsole_console.widget.palette import Palette, parse_color

BASE = Style(color="#ffffff", bgcolor="#000000")
VARIABLES = {"state-failed": "#ff0000", "faint": "#ffffff 50%", "text-muted": "auto 60%", "odd": "round"}


def color(style: Style) -> str:
    assert style.color is not None
    return Color.from_rich_color(style.color).hex.lower()


def test_a_tone_is_a_variable_on_the_widgets_background() -> None:
    style = Palette(VARIABLES, BASE).style("state-failed")
    assert color(style) == "#ff0000"
    assert style.bgcolor == BASE.bgcolor


def test_words_before_the_variable_are_attributes() -> None:
    style = Palette(VARIABLES, BASE).style("bold underline state-failed")
    assert style.bold
    assert style.underline
    assert color(style) == "#ff0000"


def test_shares_are_mixed_with_the_background() -> None:
    assert color(Palette(VARIABLES, BASE).style("faint")) in {"#7f7f7f", "#808080"}


def test_automatic_colours_contrast_with_the_background() -> None:
    on_black = color(Palette(VARIABLES, BASE).style("text-muted"))
    on_white = color(Palette(VARIABLES, BASE).style("text-muted", Style(bgcolor="#ffffff")))
    assert Color.parse(on_black).brightness > 0.5 > Color.parse(on_white).brightness


@pytest.mark.parametrize("tone", ["", "nobody-knows-it", "odd"])
def test_a_colour_that_is_missing_costs_nothing(tone: str) -> None:
    assert Palette(VARIABLES, BASE).style(tone) == BASE


def test_ready_styles_pass() -> None:
    assert Palette(VARIABLES, BASE).style(Style(italic=True)) == BASE + Style(italic=True)


def test_parse_color() -> None:
    assert parse_color("#ff0000 50%") == Color(255, 0, 0, 0.5)
    assert parse_color("auto").auto
    with pytest.raises(ColorParseError):
        parse_color("rouge")
