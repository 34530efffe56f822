"""The first line: which coordinator, and the fleet in numbers; or that nothing is heard of it."""

from collections.abc import Callable

from opsconsole_console import format as fmt
from opsconsole_console.model.model import Model
from opsconsole_console.screen.part.contact_line import ContactLine
from opsconsole_console.screen.part.line_view import Line
from opsconsole_console.service.source import FleetSource
from opsconsole_console.visible import clean
from opsconsole_console.widget.cell import Cell, cell, joined, width
from opsconsole_console.widget.sign import sign
from opsconsole_protocol.state import TaskState, WorkerConnection

_BRAND = "opsconsole"


class Header(ContactLine):
    """Shows the model's totals; drops what matters least where there is little room."""

    DEFAULT_CSS = """
    Header {
        height: 1;
        background: $panel;
        color: $foreground;
    }
    """

    def __init__(self, model: Model, source: FleetSource, read_only: Callable[[], bool]) -> None:
        super().__init__(model, source, id="header")
        self._read_only = read_only

    def live_line(self, cells: int) -> Line:
        name = self._model.fleet.coordinator
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
        failed = failed_cells(self._model)
        return joined([head, cell(name, "bold"), *failed, cell(""), *counted(self._model, words=words)], "  ")


def _width(one: Cell) -> int:
    return width(clean(one.text))


def failed_cells(model: Model) -> list[Cell]:
    """How many jobs failed that nobody looked at."""
    number = len(model.failures.new)
    shown = sign(TaskState.FAILED)
    return [cell(f"{shown.glyph} {fmt.count(number)} new", f"bold {shown.tone}")] if number else []


def counted(model: Model, *, words: bool) -> list[Cell]:
    """The fleet in numbers; zeros that say nothing are left out."""
    counts = model.fleet.counts
    found: list[Cell] = []
    for number, state in (
        (counts.up, WorkerConnection.CONNECTED),
        (counts.silent, WorkerConnection.SILENT),
        (counts.lost, WorkerConnection.LOST),
        (counts.draining, "draining"),
    ):
        if number or state == WorkerConnection.CONNECTED:
            shown = sign(state)
            found.append(cell(f"{shown.glyph} {number}" + (f" {shown.word}" if words else ""), shown.tone))
    found.append(cell(""))
    found.append(Cell((("GPUs ", "text-muted"), (f"{counts.gpus_used}/{counts.gpus}", ""))))
    found.append(cell(""))
    for number, state, word in (
        (counts.running, TaskState.RUNNING, ""),
        (counts.paused, TaskState.PAUSED, ""),
        (counts.waiting, TaskState.PENDING, " queued" if words else ""),
    ):
        shown = sign(state)
        if number or state != TaskState.PAUSED:
            found.append(cell(f"{shown.glyph} {fmt.count(number)}{word}", shown.tone))
    return found
