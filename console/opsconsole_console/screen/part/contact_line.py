"""How the console stands with its coordinator: a first line that every screen has while it isn't reached.

What is shown then is dimmed, and was true when the coordinator was last heard. The first screen's header is such a line
too; for the others `show_contact` puts one there, so that no screen can forget it.
"""

import textwrap
from typing import Any

from textual.screen import Screen

from opsconsole_console import format as fmt
from opsconsole_console.model.model import Model
from opsconsole_console.screen.part.line_view import Line, LineView
from opsconsole_console.service.source import FleetSource
from opsconsole_console.visible import clean
from opsconsole_console.widget.cell import cell, width
from opsconsole_console.widget.live_table import LiveTable

_WHY_CELLS = 60
STALE = "-stale"
"""The class of a screen whose rows are no longer known to be true."""


class ContactLine(LineView):
    """Says that the coordinator isn't reached, since when, and when it is tried again."""

    DEFAULT_CSS = """
    ContactLine {
        dock: top;
        height: 1;
        &.-lost { background: $state-silent; color: $background; text-style: bold; }
    }
    """

    def __init__(self, model: Model, source: FleetSource, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._model = model
        self._source = source

    def update(self) -> None:
        """Show how the console stands with its coordinator now."""
        cells = self.size.width or 80
        is_live = self._model.is_live
        self.set_class(is_lost(self._model), "-lost")
        self.show([self.live_line(cells) if is_live else contact_line(self._model, self._source.address, cells)])

    def live_line(self, cells: int) -> Line:  # noqa: ARG002 - what overrides this needs them
        """What to say while all is well."""
        return Line(cell(""))

    def on_mount(self) -> None:
        self.update()

    def on_resize(self) -> None:
        self.update()


def show_contact(screen: Screen[Any], model: Model, source: FleetSource) -> None:
    """Make a screen say how the console stands with its coordinator, and dim what is no longer known to be true."""
    screen.set_class(not model.is_live and model.heard_ms is not None, STALE)
    unknown = "" if model.is_live else unknown_text(model)
    for table in screen.query(LiveTable):
        table.set_unknown(unknown)
    lines = list(screen.query(ContactLine))
    if not lines and is_lost(model):
        screen.mount(ContactLine(model, source))
    for line in lines:
        if model.is_live and type(line) is ContactLine:
            line.remove()
        else:
            line.update()


def is_lost(model: Model) -> bool:
    """Whether the coordinator isn't reached: it was before, or it was tried in vain."""
    return not model.is_live and (model.heard_ms is not None or model.contact.state == "lost")


def contact_line(model: Model, address: str, cells: int) -> Line:
    """The longest of several wordings that fits into `cells`."""
    if not is_lost(model):
        return Line(cell(f" ◔ connecting to {address}" if address else " ◔ starting the coordinator"))
    who = model.fleet.coordinator or address or "the coordinator"
    since = f"for {fmt.duration(model.wall_clock() - model.contact_since_ms)}"
    seen = "" if model.heard_ms is None else f"; shown as of {fmt.clock(model.heard_ms)}"
    why = f"; {model.contact.text}" if model.contact.state == "lost" and model.contact.text else ""
    again = trying(model)
    ways = (
        f" ↯ {who} not reached {since}, {again}{seen}{why}",
        f" ↯ {who} not reached, {again}{seen}",
        f" ↯ not reached, {again}{seen}",
        f" ↯ not reached{seen}",
    )
    return Line(cell(next((way for way in ways if width(clean(way)) <= cells), ways[-1])))


def unknown_text(model: Model) -> str:
    """What a table without rows says while nobody knows whether there are any."""
    if not is_lost(model):
        return "…"
    why = model.contact.text if model.contact.state == "lost" else ""
    return "\n".join(("not reached", "", *textwrap.wrap(why, _WHY_CELLS)))


def trying(model: Model) -> str:
    """When it is tried again."""
    left_ms = 0 if model.retry_at_ms is None else model.retry_at_ms - model.wall_clock()
    return "trying again now" if left_ms <= 0 else f"trying again in {-(-left_ms // 1000)} s"
