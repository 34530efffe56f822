"""Tells somebody who looks elsewhere of jobs, at most once every few seconds."""

import os
from collections.abc import Iterable

from textual.app import App
from textual.timer import Timer

from opsconsole_console.model.announcement import GAP_S, News, Notify, Telling, announcement, of_ends, of_waits
from opsconsole_console.model.model import Model
from opsconsole_console.visible import clean
from opsconsole_console.widget.cell import crop

_TEXT_CELLS = 120
_WAITS_EVERY_MS = 10_000
"""How often is looked for jobs that wait for too long."""


class Announcer:
    """Gathers what happened since the last announcement into the next one."""

    def __init__(self, app: App[int], model: Model, telling: Telling) -> None:
        self._app = app
        self._model = model
        self._telling = telling
        self._waiting: list[News] = []
        self._gap: Timer | None = None
        self._looked_ms = model.clock()

    def look(self) -> None:
        """Announce what is new, at once or with the next announcement."""
        ended = self._model.take_ended()
        if self._telling.how == "none":
            return
        name = self._model.contact.actor
        self._waiting += of_ends(self._telling, ended, name)
        self._waiting += self._waits(name)
        if self._waiting and self._gap is None:
            self._announce()

    def _waits(self, name: str) -> Iterable[News]:
        now_ms = self._model.clock()
        if not self._model.is_live or now_ms - self._looked_ms < _WAITS_EVERY_MS:
            return []
        since_ms, self._looked_ms = self._looked_ms, now_ms
        return list(of_waits(self._telling, self._model.fleet.jobs.values(), since_ms, now_ms, name))

    def _announce(self) -> None:
        self._gap = None
        if not self._waiting:
            return
        self._gap = self._app.set_timer(GAP_S, self._announce)
        text, self._waiting = announcement(self._telling, self._waiting), []
        self.write(sequence(self._telling.how, text, in_tmux=bool(os.environ.get("TMUX"))))

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
