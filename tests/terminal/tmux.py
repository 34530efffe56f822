"""A terminal that tests can type into and read, and pictures of what it shows."""

import io
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.waiting import until_sync


def require_tmux() -> None:
    """Skip where tmux is missing on a laptop; fail in CI."""
    if shutil.which("tmux") is None:
        if os.environ.get("CI"):
            pytest.fail("tmux is missing: .ci/run installs it")
        pytest.skip("tmux is not installed")


class Terminal:
    """One tmux server with one pane of a given size."""

    def __init__(self, folder: Path, width: int = 160, height: int = 45) -> None:
        require_tmux()
        self._socket = folder / "tmux.sock"
        self._size = (width, height)

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ("tmux", "-f", "/dev/null", "-S", str(self._socket), *arguments), capture_output=True, text=True, check=True
        )
        return done.stdout

    def start(self, command: Sequence[str], environ: dict[str, str], folder: Path) -> None:
        """Run a command in the pane; the pane stays when it has ended."""
        width, height = self._size
        settings = [word for key, value in environ.items() for word in ("-e", f"{key}={value}")]
        self._tmux(
            "new-session", "-d", "-x", str(width), "-y", str(height), "-c", str(folder), *settings,
            "-e", "TERM=tmux-256color", "-e", "COLORTERM=truecolor", "env -u NO_COLOR " + shlex.join(command) + "; echo ended $?; exec cat",
        )  # fmt: skip
        self._tmux("set-option", "-s", "escape-time", "0")
        self._tmux("set-option", "-g", "status", "off")
        self._tmux("set-option", "-sa", "terminal-features", ",*:RGB")

    def type(self, *keys: str) -> None:
        """Send keys by tmux's names (`Enter`, `C-d`) or as text."""
        for key in keys:
            self._tmux("send-keys", key)

    def write(self, text: str) -> None:
        """Send text as it is, whatever it looks like."""
        self._tmux("send-keys", "-l", text)

    def back(self, text: str) -> None:
        """Send Escape and wait until `text` is gone: an Escape and a key right after it would be one key with Alt."""
        self.type("Escape")
        self.until_gone(text)

    def resize(self, width: int, height: int) -> None:
        """Change the terminal's size."""
        self._size = (width, height)
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def scribble(self, text: str) -> None:
        """Write into the terminal past the program, as `wall` and a shell do."""
        Path(self._tmux("display-message", "-p", "#{pane_tty}").strip()).write_text(text)

    def buffer(self) -> str:
        """What was copied into tmux last."""
        return self._tmux("show-buffer")

    def screen(self) -> str:
        """What is shown now, as text."""
        return self._tmux("capture-pane", "-p")

    def until(self, *texts: str, timeout_s: float = 30) -> str:
        """Wait until all texts are on the screen; the screen."""
        try:
            until_sync(lambda: all(text in self.screen() for text in texts), timeout_s, " and ".join(texts))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.screen()}") from None
        return self.screen()

    def until_gone(self, text: str, timeout_s: float = 30) -> None:
        """Wait until a text is no longer on the screen."""
        try:
            until_sync(lambda: text not in self.screen(), timeout_s, f"{text} to go")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.screen()}") from None

    def until_true(self, condition: Callable[[], object], what: str, timeout_s: float = 30) -> None:
        """Wait for anything else; the screen is shown when it doesn't come."""
        try:
            until_sync(condition, timeout_s, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.screen()}") from None

    def colours(self) -> frozenset[str]:
        """The colours that are on the screen, as SGR parameters."""
        return frozenset(re.findall(r"\x1b\[([0-9;]+)m", self._tmux("capture-pane", "-e", "-p")))

    def until_width(self, cells: int) -> None:
        """Wait until the program fills the terminal's whole width."""

        def is_filled() -> bool:
            return max(map(len, self.screen().splitlines()), default=0) == cells

        self.until_true(is_filled, f"a screen of {cells} cells")

    def picture(self, path: Path, title: str = "opsconsole") -> None:
        """Write what is shown now as SVG."""
        from rich.console import Console
        from rich.text import Text

        width, height = self._size
        console = Console(record=True, width=width, height=height, file=io.StringIO(), color_system="truecolor")
        text = Text.from_ansi(self._tmux("capture-pane", "-e", "-p", "-N").rstrip("\n"))
        text.no_wrap, text.overflow = True, "crop"
        console.print(text)
        console.save_svg(str(path), title=title)

    def close(self) -> None:
        """End the server and what runs in it."""
        subprocess.run(("tmux", "-S", str(self._socket), "kill-server"), capture_output=True, check=False)
