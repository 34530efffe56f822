import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.color import Color
from rich.style import Style

from opsconsole_console.widget.ansi import RAW_CHARACTERS_MAX, last_state, paint, plain


def styles(raw: str) -> list[tuple[str, Style]]:
    painted = paint(raw)
    return [(painted.text[start:end], style) for start, end, style in painted.spans]


@pytest.mark.parametrize(
    ("raw", "seen"),
    [
        ("plain", "plain"),
        ("a\rb\rc", "c"),
        ("10%\r", "10%"),
        ("10%\r\r", "10%"),
        ("10%\r20%\r", "20%"),
        ("windows\r", "windows"),
        ("\r", ""),
        ("", ""),
    ],
)
def test_after_the_last_return_wins(raw: str, seen: str) -> None:
    assert last_state(raw) == seen
    assert plain(raw) == seen


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[Hhome", "home"),
        ("\x1b[?25lhidden cursor\x1b[?25h", "hidden cursor"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPdevice\x1b\\text", "text"),
        ("\x1b(Btext", "text"),
        ("\x1bcreset", "reset"),
        ("\x9b31mred", "red"),
        ("bell\x07", "bell"),
        ("nul\x00", "nul"),
        ("open \x1b]0;never closed", "open 0;never closed"),
        ("broken \x1b", "broken "),
        ("tab\tstop", "tab     stop"),
        ("odd \x01", "odd �"),
        ("half \ud83d", "half �"),
    ],
)
def test_only_text_is_left(raw: str, text: str) -> None:
    assert plain(raw) == text
    assert paint(raw).text == text


def test_colours_and_attributes() -> None:
    assert styles("\x1b[1;31mred\x1b[0m plain") == [("red", Style(bold=True, color=Color.from_ansi(1)))]
    assert styles("\x1b[93mx") == [("x", Style(color=Color.from_ansi(11)))]
    assert styles("\x1b[42;107mx") == [("x", Style(bgcolor=Color.from_ansi(15)))]
    assert styles("\x1b[38;5;208mx") == [("x", Style(color=Color.from_ansi(208)))]
    assert styles("\x1b[48;2;1;2;3mx") == [("x", Style(bgcolor=Color.from_rgb(1, 2, 3)))]
    assert styles("\x1b[38:2::1:2:3mx") == [("x", Style(color=Color.from_rgb(1, 2, 3)))]
    assert styles("\x1b[3;4;9;7mx") == [("x", Style(italic=True, underline=True, strike=True, reverse=True))]


def test_what_is_turned_off_is_off() -> None:
    assert styles("\x1b[1;31mx\x1b[22;39my") == [("x", Style(bold=True, color=Color.from_ansi(1)))]
    assert styles("\x1b[1mx\x1b[my") == [("x", Style(bold=True))]


@pytest.mark.parametrize(
    "raw", ["\x1b[38;5mx", "\x1b[38;5;999mx", "\x1b[38;2;1;2mx", "\x1b[999mx", "\x1b[?1mx", "\x1b[" + "1;" * 99 + "mx"]
)
def test_broken_sequences_colour_nothing(raw: str) -> None:
    assert paint(raw).text == "x"
    assert all(style.color is None and style.bgcolor is None for _, style in styles(raw))


def test_tabs_count_from_the_start_of_the_line() -> None:
    assert paint("ab\x1b[31m\tc").text == "ab      c"


def test_of_a_very_long_line_only_the_beginning_is_looked_at() -> None:
    painted = paint("x" * (RAW_CHARACTERS_MAX + 5))
    assert len(painted.text) == RAW_CHARACTERS_MAX
    assert painted.left_out == 5


alphabet = st.sampled_from(list("ab \t\r\x1b[]m0;138?\x07\x9b\\(P数é\u202e\x00"))


@given(st.text(alphabet))
def test_nothing_acts_whatever_comes(raw: str) -> None:
    painted = paint(raw)
    assert painted.text == plain(raw) or "\t" in raw
    assert not [c for c in painted.text if unicodedata.category(c) in {"Cc", "Cs", "Cf"}]
    edges = [edge for start, end, _ in painted.spans for edge in (start, end)]
    assert edges == sorted(edges)
    assert all(0 <= edge <= len(painted.text) for edge in edges)
