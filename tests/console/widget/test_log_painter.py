from datetime import UTC

import pytest
from rich.color import Color
from rich.style import Style

from opsconsole_console.widget.log_painter import (
    Layout,
    LogLook,
    LogPainter,
    PaintedLine,
    Timestamps,
    is_error,
)
from opsconsole_console.widget.palette import Palette
from opsconsole_console.widget.shown_lines import CELLS_MAX, compile_pattern, shown_text
from opsconsole_protocol.log import LogLine, Source
from tests.console.widget.fleet import log_line

BASE = Style(color="#ffffff", bgcolor="#000000")
LOOK = LogLook(
    base=BASE,
    gutter=BASE + Style(dim=True),
    match=Style(underline=True),
    match_current=Style(reverse=True),
    selection=Style(bgcolor="blue"),
)
VARIABLES = {"log-stderr": "#ff8888", "log-error": "#ff0000", "log-warning": "#ffff00"}


def painter(layout: Layout = Layout(80, zone=UTC)) -> LogPainter:  # noqa: B008 - frozen
    return LogPainter(Palette(VARIABLES, BASE), LOOK, layout)


def parts(painted: PaintedLine) -> list[tuple[str, Style | None]]:
    return [(segment.text, segment.style) for segment in painted.rows[0]]


def test_a_plain_line_is_one_segment() -> None:
    assert parts(painter().paint(log_line(0, "epoch 12"), None, is_current=False)) == [("epoch 12", BASE)]


def test_an_empty_line_has_a_row() -> None:
    assert len(painter().paint(log_line(0, ""), None, is_current=False).rows) == 1


def test_a_lines_own_colours_win_over_levels() -> None:
    painted = parts(painter().paint(log_line(0, "\x1b[32mERROR\x1b[0m: no"), None, is_current=False))
    assert painted == [("ERROR", BASE + Style(color=Color.from_ansi(2))), (": no", BASE)]


def test_levels_are_toned() -> None:
    [(text, style), _] = parts(painter().paint(log_line(0, "ValueError: no"), None, is_current=False))
    assert text == "ValueError"
    assert style is not None
    assert style.bold
    painted = parts(painter().paint(log_line(0, "a WARNING"), None, is_current=False))
    assert painted[1][0] == "WARNING"


def test_sources_are_toned() -> None:
    [(_, style)] = parts(painter().paint(log_line(0, "text", Source.STDERR), None, is_current=False))
    assert style is not None
    assert style.color != BASE.color


def test_matches_lie_over_everything() -> None:
    one = painter()
    one.pattern = compile_pattern("b.d")
    painted = parts(one.paint(log_line(0, "a bad \x1b[1mbed"), None, is_current=False))
    assert [text for text, style in painted if style is not None and style.underline] == ["bad", "bed"]
    painted = parts(one.paint(log_line(0, "a bad"), None, is_current=True))
    assert [text for text, style in painted if style is not None and style.reverse] == ["bad"]


def test_a_pattern_that_matches_nothing_visible_is_harmless() -> None:
    one = painter()
    one.pattern = compile_pattern("x*")
    assert parts(one.paint(log_line(0, "abc"), None, is_current=False)) == [("abc", BASE)]


@pytest.mark.parametrize(
    ("timestamps", "digits", "before_ms", "gutter"),
    [
        (Timestamps.OFF, 0, None, ""),
        (Timestamps.CLOCK, 0, None, "12:04:11  "),
        (Timestamps.DELTA, 0, None, "          "),
        (Timestamps.DELTA, 0, 43_450_500, " +0.500s  "),
        (Timestamps.OFF, 5, None, "   11 "),
        (Timestamps.CLOCK, 5, None, "   11 12:04:11  "),
    ],
)
def test_gutter(timestamps: Timestamps, digits: int, before_ms: int | None, gutter: str) -> None:
    layout = Layout(80, timestamps=timestamps, digits=digits, zone=UTC)
    painted = painter(layout).paint(log_line(11, "x"), before_ms, is_current=False)
    assert painted.gutter.text == gutter
    assert layout.gutter_cells == len(gutter)
    assert layout.content_cells == 80 - len(gutter)


def test_wrapped_lines_fill_rows() -> None:
    layout = Layout(18, wrap=True, timestamps=Timestamps.CLOCK, zone=UTC)
    painted = painter(layout).paint(log_line(0, "0123456789abcdef\x1b[1mXYZ"), None, is_current=False)
    assert [row.text for row in painted.rows] == ["01234567", "89abcdef", "XYZ"]


def test_what_is_painted_is_what_is_searched() -> None:
    for data in ("x" * 5_000, "数" * 3_000, "\x1b[1mbold\x1b[0m\tx", "a\rb", "z" * 40_000):
        painted = painter().paint(log_line(0, data), None, is_current=False)
        shown = shown_text(log_line(0, data))
        assert painted.rows[0].text[:4_000] == shown[:4_000]
        assert painted.rows[0].cell_length <= CELLS_MAX


def test_a_gigantic_line_says_how_much_is_missing() -> None:
    painted = painter().paint(log_line(0, "z" * 40_000), None, is_current=False)
    assert painted.rows[0].text.endswith(")")
    assert painted.rows[0].text.count("z") + 35_914 == 40_000


@pytest.mark.parametrize(
    ("data", "source", "error"),
    [
        ("RuntimeError: CUDA", Source.STDOUT, True),
        ("Traceback (most recent call last):", Source.STDERR, True),
        ("2024 ERROR x", Source.STDOUT, True),
        ("CUDA out of memory", Source.STDOUT, True),
        ("error: unknown option", Source.STDERR, True),
        ("anything", Source.ERROR, True),
        *((f"x {word}: y", Source.STDOUT, True) for word in ("FATAL", "CRITICAL", "PANIC", "panic", "fatal error")),
        *((f"x {word}", Source.STDOUT, True) for word in ("Segmentation fault", "OOM", "Killed", "MyException")),
        ("mean error 0.1", Source.STDOUT, False),
        ("terrors", Source.STDOUT, False),
        ("all well", Source.STDERR, False),
    ],
)
def test_what_is_an_error(data: str, source: Source, error: bool) -> None:
    assert is_error(LogLine(0, source, data, 0), data) is error
