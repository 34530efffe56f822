"""Announces failed jobs to somebody who looks elsewhere, at most once every few seconds."""

import os
from collections.abc import Sequence

from textual.app import App
from textual.timer import Timer

from opsconsole_console.model.announcement import GAP_S, Notify, announcement
from opsconsole_console.visible import clean
from opsconsole_console.widget.cell import crop
from opsconsole_protocol.api import JobRow

_TEXT_CELLS = 120


class Announcer:
    """Gathers what failed since the last announcement into the next one."""

    def __init__(self, app: App[int], notify: Notify) -> None:
        self._app = app
        self._notify = notify
        self._waiting: list[JobRow] = []
        self._gap: Timer | None = None

    def tell(self, jobs: Sequence[JobRow]) -> None:
        """Announce that these jobs failed, at once or with the next announcement."""
        if self._notify == "none" or not jobs:
            return
        self._waiting += jobs
        if self._gap is None:
            self._announce()

    def _announce(self) -> None:
        self._gap = None
        if not self._waiting:
            return
        self._gap = self._app.set_timer(GAP_S, self._announce)
        text, self._waiting = announcement(self._waiting), []
        self.write(sequence(self._notify, text, in_tmux=bool(os.environ.get("TMUX"))))

    def write(self, text: str) -> None:
        """Write to the terminal between two frames: the driver writes each text whole."""
        driver = self._app._driver  # noqa: SLF001 - as Textual itself rings its bell
        if driver is not None:
            driver.write(text)


def sequence(notify: Notify, text: str, *, in_tmux: bool) -> str:
    """What to write to the terminal. tmux hands on what it doesn't know only if it is wrapped, and `allow-passthrough` is set."""
    if notify == "bell":
        return "\a"
    if notify != "osc9":
        return ""
    notice = f"\x1b]9;{crop(clean(text), _TEXT_CELLS)}\a"
    return "\x1bPtmux;" + notice.replace("\x1b", "\x1b\x1b") + "\x1b\\" if in_tmux else notice
