"""What is said about a copied text is what became of it (hard use 31: "copied" in a tmux that had dropped it)."""

import os
import stat
from pathlib import Path

import pytest

from opsconsole_console.service.clipboard import FILE_NAME, OSC52_BYTES_MAX, Clipboard, sequence

TMUX = """#!/bin/sh
case "$1" in
load-buffer) [ "$REFUSES" ] && exit 1; cat > "$BUFFER" ;;
display-message) echo "256,$FEATURES,title" ;;
esac
"""


class Terminal:
    """What was written to it, and what kind it is."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder
        self.written: list[str] = []
        self.environ = {"PATH": f"{folder}:{os.environ['PATH']}", "TERM": "xterm-256color", **environ}
        self.clipboard = Clipboard(self.written.append, self.environ, folder)


@pytest.fixture
def tmux(tmp_path: Path) -> Terminal:
    program = tmp_path / "tmux"
    program.write_text(TMUX)
    program.chmod(0o755)
    return Terminal(tmp_path, TMUX="/tmp/tmux-0/default,1,0", BUFFER=str(tmp_path / "buffer"), FEATURES="clipboard")


async def test_tmux_is_given_the_text_and_nothing_is_sent_past_it(tmux: Terminal) -> None:
    copied = await tmux.clipboard.copy("42f0\n43a1")
    assert (tmux.folder / "buffer").read_text() == "42f0\n43a1"
    assert copied.describe("ids") == "copied ids"
    assert not tmux.written


async def test_a_tmux_whose_terminal_has_no_clipboard_says_how_to_paste(tmux: Terminal) -> None:
    tmux.environ["FEATURES"] = "RGB"
    assert "prefix ] in tmux" in (await tmux.clipboard.copy("42f0")).describe("it")


async def test_a_tmux_that_can_not_is_passed_by(tmux: Terminal) -> None:
    tmux.environ["REFUSES"] = "yes"
    copied = await tmux.clipboard.copy("42f0")
    assert copied.describe("it") == "sent to the terminal: it"
    assert tmux.written == ["\x1bPtmux;\x1b\x1b]52;c;NDJmMA==\a\x1b\\"]


async def test_a_terminal_is_sent_it_and_nobody_claims_more(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    assert (await terminal.clipboard.copy("42f0")).describe("it: 42f0") == "sent to the terminal: it: 42f0"
    assert terminal.written == ["\x1b]52;c;NDJmMA==\a"]


@pytest.mark.parametrize(
    ("kind", "text"), [("linux", "42f0"), ("vt220", "42f0"), ("xterm", "x" * (OSC52_BYTES_MAX + 1))]
)
async def test_without_a_clipboard_it_is_a_file_for_the_owner_alone(tmp_path: Path, kind: str, text: str) -> None:
    terminal = Terminal(tmp_path, TERM=kind)
    copied = await terminal.clipboard.copy(text)
    path = tmp_path / FILE_NAME
    assert str(path) in copied.describe("it")
    assert path.read_text() == text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not terminal.written


def test_screen_lets_it_through_in_its_own_wrapping() -> None:
    assert sequence("a", {"STY": "1.pts-0"}) == "\x1bP\x1b]52;c;YQ==\a\x1b\\"
