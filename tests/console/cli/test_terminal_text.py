"""A task's output on a terminal (hard use 4): its text and colours, nothing that acts, however it is cut into pieces."""

import io
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_console.cli.log_writer import LogWriter
from opsconsole_console.cli.terminal_text import RESET, TerminalText
from opsconsole_protocol.log import LogLine, Source

_SGR = re.compile(r"\x1b\[[0-9;:]*m")


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred", f"\x1b[31mred{RESET}"),
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b[1;38;2;1;2;3mrgb\x1b[m", "\x1b[1;38;2;1;2;3mrgb\x1b[m"),
        ("\x1b[38:2::1:2:3mx\x1b[0;1m", f"\x1b[38:2::1:2:3mx\x1b[0;1m{RESET}"),
        ("\x1b[2K\x1b[Kx\x1b[3Ky", "\x1b[2K\x1b[Kxy"),
        ("\x1b[Ax\x1b[9A", "x"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]52;c;aGk=\x1b\\after", "after"),
        ("\x1bP$q\x1b\\after", "after"),
        ("\x1b[2J\x1b[6n\x1b[c\x1b[?1049hx", "x"),
        ("\x1b[>4;2mx", "x"),
        ("\x1b[?1mx", "x"),
        ("\x1b[5 mx", "x"),
        ("\x1bcx\x1b(0y", "xy"),
        ("10%\r20%\r30%", "10%\r20%\r30%"),
        ("a\tb\bc", "a\tb\bc"),
        ("\x9b6n\x9d0;t\x9c\x85", "�6n�0;t��"),
        ("bell\x07 \u202eevil", "bell� �evil"),
        ("cut \x1b[3", "cut "),
        ("half title \x1b]0;abc", "half title "),
    ],
)
def test_what_reaches_a_terminal(raw: str, shown: str) -> None:
    text = TerminalText()
    assert text.feed(raw) + text.end() == shown
    pieces = TerminalText()
    assert "".join(pieces.feed(sign) for sign in raw) + pieces.end() == shown


@given(st.lists(st.text(alphabet=st.sampled_from("\x1b[]0;m?>2J6n\x07\\\x9b\x9c\rxP \x00"))))
def test_nothing_that_acts_comes_through(pieces: list[str]) -> None:
    text = TerminalText()
    shown = "".join(text.feed(piece) for piece in pieces) + text.end()
    left = _SGR.sub("", shown)
    assert not [sign for sign in left if unicodedata.category(sign) == "Cc" and sign not in "\r\t\b"]


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def written(*lines: LogLine, raw: bool = False, prefix: bool = False) -> str:
    screen = Screen()
    writer = LogWriter(out=screen, err=screen, raw=raw, prefix=prefix)
    writer.write(lines, "aaaaaaaaaa/task-3", 0)
    writer.close()
    return screen.getvalue()


def line(number: int, data: str, *, partial: bool = False) -> LogLine:
    return LogLine(number, Source.STDOUT, data, 0, partial)


def test_colours_end_with_their_line() -> None:
    assert written(line(0, "\x1b[31mred"), line(1, "plain")) == f"\x1b[31mred{RESET}\nplain\n"
    assert written(line(0, "\x1b[7mopen", partial=True)) == f"\x1b[7mopen{RESET}\n"


def test_an_escape_over_two_fragments_is_one() -> None:
    assert written(line(0, "a\x1b]0;ti", partial=True), line(0, "tle\x07b")) == "ab\n"


def test_a_progress_line_keeps_its_head() -> None:
    assert (
        written(line(0, "10%\r20%", partial=True), line(0, "\r30%\r"), prefix=True) == "[3] 10%\r[3] 20%\r[3] 30%\r\n"
    )


def test_raw_is_as_it_was() -> None:
    assert written(line(0, "\x1b[6n\x07"), raw=True) == "\x1b[6n\x07\n"


def test_bars_in_bars_stay_in_place() -> None:
    lines = [
        line(0, "\router"),
        line(1, "\rinner 1\x1b[A"),
        line(2, "\rinner 2\x1b[A\router 2"),
        line(3, "\rinner\x1b[99A"),
    ]
    assert written(*lines) == "\router\n\rinner 1\x1b[1A\n\rinner 2\x1b[1A\router 2\n\rinner\x1b[1A\n"


def test_nothing_goes_up_over_what_others_wrote() -> None:
    out = Screen()
    writer = LogWriter(out=out, err=Screen())
    writer.write([line(0, "one"), line(1, "two")], "a/task-0", 0)
    writer.write([line(0, "\x1b[2Aover")], "a/task-1", 0)
    writer.write([line(1, "three")], "a/task-1", 0)
    writer.stay_below()  # the narrator said something
    writer.write([line(2, "\x1b[Aover")], "a/task-1", 0)
    assert out.getvalue() == "one\ntwo\nover\nthree\nover\n"


@given(st.lists(st.text(alphabet=st.sampled_from("\x1b[19A\rx")), max_size=20))
def test_nothing_goes_up_over_its_own_beginning(lines: list[str]) -> None:
    out = written(*(line(number, text) for number, text in enumerate(lines)))
    row = 0
    for piece in re.findall(r"\n|\x1b\[[0-9]*A", out):
        row += 1 if piece == "\n" else -int(piece[2:-1])
        assert row >= 0
