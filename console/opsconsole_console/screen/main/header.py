"""The first line: which coordinator, and the fleet in numbers. Says loudly and calmly when nothing is heard of it."""

from collections.abc import Callable

from opsconsole_console.app.model import Model
from opsconsole_console.app.source import FleetSource
from opsconsole_console.screen.part.sheet import Line, Sheet
from opsconsole_console.visible import clean
from opsconsole_console.widget import format as fmt
from opsconsole_console.widget.cell import Cell, cell, joined, width
from opsconsole_console.widget.sign import sign

_BRAND = "opsconsole"


class Header(Sheet):
    """Shows the model's totals; drops what matters least where there is little room."""

    DEFAULT_CSS = """
    Header {
        height: 1;
        background: $panel;
        color: $foreground;
        &.-lost { background: $state-silent; color: $background; text-style: bold; }
    }
    """

    def __init__(self, model: Model, source: FleetSource, read_only: Callable[[], bool]) -> None:
        super().__init__(id="header")
        self._model = model
        self._source = source
        self._read_only = read_only

    def update(self) -> None:
        """Show what the model says now."""
        contact = self._model.contact
        lost = contact.state != "connected" and self._model.heard_ms is not None
        self.set_class(lost, "-lost")
        cells = self.size.width or 80
        line = lost_line(self._model, self._source.address, cells) if lost else self._counts_line(cells)
        self.show([line])

    def on_resize(self) -> None:
        self.update()

    def _counts_line(self, cells: int) -> Line:
        name = self._model.fleet.coordinator
        if self._model.contact.state != "connected":
            return Line(
                joined((cell(f" {_BRAND}", "bold"), cell(_connecting(self._model, self._source.address))), "  ")
            )
        read_only = [cell("read-only ", "state-draining")] * self._read_only()
        where = joined([*read_only, cell(self._source.address + " ", "text-muted")], "  ")
        tag = joined(read_only)
        for words, brand, right in ((True, True, where), (True, False, where), (True, False, tag)):
            left = self._counts(name, words=words, brand=brand)
            if _width(left) + 2 + _width(right) <= cells:
                return Line(left, right)
        return Line(self._counts(name, words=False, brand=False), where if not read_only else tag)

    def _counts(self, name: str, *, words: bool, brand: bool) -> Cell:
        head = cell(f" {_BRAND}", "bold primary") if brand else cell("")
        return joined([head, cell(name, "bold"), cell(""), *counted(self._model, words=words)], "  ")


def _width(one: Cell) -> int:
    return width(clean(one.text))


def counted(model: Model, *, words: bool) -> list[Cell]:
    """The fleet in numbers; zeros that say nothing are left out."""
    counts = model.fleet.counts
    found: list[Cell] = []
    for number, state in (
        (counts.up, "connected"),
        (counts.silent, "silent"),
        (counts.lost, "lost"),
        (counts.draining, "draining"),
    ):
        if number or state == "connected":
            shown = sign(state)
            found.append(cell(f"{shown.glyph} {number}" + (f" {shown.word}" if words else ""), shown.tone))
    found.append(cell(""))
    found.append(Cell((("GPUs ", "text-muted"), (f"{counts.gpus_used}/{counts.gpus}", ""))))
    found.append(cell(""))
    for number, state, word in (
        (counts.running, "running", ""),
        (counts.paused, "paused", ""),
        (counts.waiting, "pending", " queued" if words else ""),
    ):
        shown = sign(state)
        if number or state != "paused":
            found.append(cell(f"{shown.glyph} {fmt.count(number)}{word}", shown.tone))
    return found


def lost_line(model: Model, address: str, cells: int) -> Line:
    """Since when nothing was heard, and that what is shown is from then."""
    since = fmt.duration(model.clock() - model.contact_since_ms)
    seen = "" if model.heard_ms is None else f"as of {fmt.clock(model.heard_ms)}"
    why = model.contact.text if model.contact.state == "lost" else "connecting again"
    long = f" ↯ no connection to {model.fleet.coordinator or address} for {since}; showing the fleet {seen}; {why}"
    short = f" ↯ no connection for {since}; fleet {seen}"
    return Line(cell(long if len(long) <= cells else short))


def _connecting(model: Model, address: str) -> str:
    if model.contact.state == "lost":
        return f"↯ {model.contact.text}"
    return f"◔ connecting to {address}" if address else "◔ starting the coordinator"
