"""How a transfer is shown: its columns, and one line of it under a file browser. Pure."""

from collections.abc import Sequence

from opsconsole.transfer.row import TransferKind, TransferPhase, TransferRow
from opsconsole_console import format as fmt
from opsconsole_console.model.transfer_words import end_words, fraction, progress_words, rate_words, size_words
from opsconsole_console.screen.part.line_view import Line
from opsconsole_console.widget.bar import progress
from opsconsole_console.widget.cell import Cell, cell
from opsconsole_console.widget.column import Column

_SIGNS = {TransferKind.PUT: "↑", TransferKind.UPLOAD: "↑", TransferKind.OFFER: "↑", TransferKind.GET: "↓"}
_TONES = {
    TransferPhase.DONE: "state-succeeded",
    TransferPhase.FAILED: "state-failed",
    TransferPhase.CANCELLED: "state-killed",
}
_BAR_CELLS = 16
HOTKEYS = {"what": "W", "state": "S", "when": "B"}


def transfer_columns() -> Sequence[Column[TransferRow]]:
    """What, how far, how fast, and by which way."""
    return (
        Column("what", "WHAT", _what, 20, flex=3, priority=9, sort_key=lambda row: row.title, hotkey="W"),
        Column("state", "STATE", _state, _BAR_CELLS, priority=8, sort_key=lambda row: str(row.phase), hotkey="S"),
        Column("size", "SIZE", size_words, 16, align="right", priority=7),
        Column("rate", "RATE", rate_words, 9, align="right", priority=6),
        Column("left", "LEFT", _left, 8, align="right", priority=7),
        Column("way", "WAY", lambda row: "" if row.way is None else str(row.way), 6, priority=5, tone="text-muted"),
        Column("when", "BEGUN", lambda row: fmt.stamp(row.started_at_ms)[5:16], 11, priority=4, tone="text-muted",
               sort_key=lambda row: row.started_at_ms, descending=True, hotkey="B"),
        Column("note", "", _note, 10, flex=3, priority=3, tone="text-muted"),
    )  # fmt: skip


def transfer_line(row: TransferRow) -> Line:
    """One that is under way, in a line."""
    head = Cell(((f" {_SIGNS[row.kind]} ", "primary"), (row.title, ""), ("  ", "")))
    shown = progress(fraction(row), _BAR_CELLS) + cell("  ") if row.phase is TransferPhase.MOVING else cell("")
    return Line(head, shown + cell(progress_words(row) + " ", "text-muted"))


def _what(row: TransferRow) -> Cell:
    return Cell(((f"{_SIGNS[row.kind]} ", "text-muted"), (row.title, "")))


def _state(row: TransferRow) -> Cell:
    if row.phase is TransferPhase.MOVING:
        return progress(fraction(row), _BAR_CELLS)
    return cell(str(row.phase), _TONES.get(row.phase, "text-muted"))


def _left(row: TransferRow) -> str:
    return "" if row.is_over or row.left_ms is None else fmt.duration(row.left_ms, figures=2)


def _note(row: TransferRow) -> Cell:
    if row.phase is TransferPhase.FAILED:
        return cell(row.error, "state-failed")
    return cell(end_words(row) if row.is_over else row.note, "text-muted")
