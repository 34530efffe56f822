"""How a transfer is shown: its columns, and one line of it under a file browser. Pure."""

from collections.abc import Iterator, Sequence

from opsconsole.transfer.row import TransferKind, TransferPhase, TransferRow
from opsconsole_console import format as fmt
from opsconsole_console.model.transfer_words import (
    end_words,
    fraction,
    is_looked_for,
    progress_words,
    rate_words,
    size_words,
)
from opsconsole_console.screen.part.line_view import Line
from opsconsole_console.visible import clean
from opsconsole_console.widget.bar import progress
from opsconsole_console.widget.cell import Cell, cell, shorten, width
from opsconsole_console.widget.column import Column

_SIGNS = {TransferKind.PUT: "↑", TransferKind.UPLOAD: "↑", TransferKind.OFFER: "↑", TransferKind.GET: "↓"}
_TONES = {
    TransferPhase.DONE: "state-succeeded",
    TransferPhase.FAILED: "state-failed",
    TransferPhase.CANCELLED: "state-killed",
}
_BAR_CELLS = 12
_LAYOUTS = ((16, True, True), (16, True, False), (16, False, False), (5, False, False))
"""Of a line of progress: how wide bar and figure are, and whether size and way are told."""
_TITLE_CELLS = 24
"""A title isn't shortened to less before something else has made way."""
_GAP = "  "
HOTKEYS = {"what": "W", "state": "S", "when": "B"}


def transfer_columns() -> Sequence[Column[TransferRow]]:
    """What, how far, how fast, and by which way."""
    return (
        Column("what", "WHAT", _what, 20, flex=3, priority=9, sort_key=lambda row: row.title, hotkey="W", named=True),
        Column("state", "STATE", _state, _BAR_CELLS, priority=8, sort_key=lambda row: str(row.phase), hotkey="S"),
        Column("size", "SIZE", size_words, 16, align="right", priority=6),
        Column("rate", "RATE", rate_words, 9, align="right", priority=7),
        Column("left", "LEFT", _left, 8, align="right", priority=7),
        Column("way", "WAY", lambda row: "" if row.way is None else str(row.way), 6, priority=5, tone="text-muted"),
        Column("when", "BEGUN", lambda row: fmt.stamp(row.started_at_ms)[5:16], 11, priority=4, tone="text-muted",
               sort_key=lambda row: row.started_at_ms, descending=True, hotkey="B"),
        Column("note", "", _note, 10, flex=3, priority=3, tone="text-muted"),
    )  # fmt: skip


def transfer_line(row: TransferRow, cells: int) -> Line:
    """One that is under way, in a line of `cells` cells.

    Percent, rate and time left are always there. Where not all has room, the way, the size and the bar go first, and then the
    middle of what it is called.
    """
    sign = cell(f" {_SIGNS[row.kind]} ", "primary")
    room = cells - width(sign.text) - len(_GAP) - 1
    wanted = min(width(clean(row.title)), _TITLE_CELLS)
    told = next((one for one in _layouts(row) if width(clean(one.text)) <= room - wanted), None)
    if told is None:
        *_, least = _layouts(row)
        # What moves tells so little that it always has room; what is waited for may be a long line.
        told = (
            least
            if row.bytes_total and row.phase is TransferPhase.MOVING
            else Cell(tuple(shorten(least.spans, room - wanted)))
        )
    title = Cell(tuple(shorten([(row.title, "")], room - width(clean(told.text)))))
    return Line(sign + title, told + cell(" "))


def _layouts(row: TransferRow) -> Iterator[Cell]:
    """How far it is, the longest first."""
    if row.phase is not TransferPhase.MOVING or is_looked_for(row):
        yield cell(progress_words(row), "text-muted")
        return
    for bar_cells, has_size, has_way in _LAYOUTS:
        words = progress_words(row, has_size=has_size, has_way=has_way)
        yield progress(fraction(row), bar_cells) + cell(f"{_GAP}{words}", "text-muted")


def _what(row: TransferRow) -> Cell:
    return Cell(((f"{_SIGNS[row.kind]} ", "text-muted"), (row.title, "")))


def _state(row: TransferRow) -> Cell:
    if is_looked_for(row):
        return cell("reading", "text-muted")
    if row.phase is TransferPhase.MOVING:
        return progress(fraction(row), _BAR_CELLS)
    return cell(str(row.phase), _TONES.get(row.phase, "text-muted"))


def _left(row: TransferRow) -> str:
    return "" if row.is_over or row.left_ms is None else fmt.duration(row.left_ms, figures=2)


def _note(row: TransferRow) -> Cell:
    if row.phase is TransferPhase.FAILED:
        return cell(row.error, "state-failed")
    return cell(end_words(row) if row.is_over else row.note, "text-muted")
