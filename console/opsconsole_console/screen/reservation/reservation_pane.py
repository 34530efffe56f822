"""The table of the reservations screen."""

from collections.abc import Mapping, Sequence
from typing import Any

from opsconsole_console.model.model import Model
from opsconsole_console.model.reservation import holder_words, when, worker_words
from opsconsole_console.screen.part.table_pane import TablePane
from opsconsole_console.widget.cell import Cell, cell
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_protocol.api import ReservationRow


class ReservationPane(TablePane[ReservationRow]):
    """Reservations, those first that begin first."""

    nothing = "Nothing is reserved\n\nn reserves workers for a project or a person, or for maintenance"

    def __init__(self, model: Model) -> None:
        self._model = model
        super().__init__(number=1, title="Reservations", id="reservations")

    def make_table(self) -> LiveTable[str, ReservationRow]:
        return LiveTable(self.columns(80), flush_hz=None, id="reservation-table")

    def columns(self, width: int) -> Sequence[Column[ReservationRow]]:  # noqa: ARG002 - the same at every width
        return (
            Column("workers", "WORKERS", worker_words, 12, flex=2, priority=9, sort_key=worker_words),
            Column("for", "FOR", holder_words, 23, flex=1, priority=8, sort_key=holder_words),
            Column("state", "STATE", _state, 9, priority=7),
            Column("from", "FROM", lambda row: when(row.from_ms), 17, priority=6, sort_key=lambda row: row.from_ms),
            Column("until", "UNTIL", lambda row: when(row.until_ms), 17, priority=6, sort_key=lambda row: row.until_ms),
            Column("reason", "REASON", lambda row: row.reason, 13, flex=3, priority=4),
            Column("by", "BY", lambda row: row.made_by, 10, flex=1, priority=3),
            Column("id", "ID", lambda row: row.id, 8, priority=2, tone="text-muted"),
        )  # fmt: skip

    def properties(self, row: ReservationRow) -> Mapping[str, Any]:
        return {
            "id": row.id, "worker": " ".join(row.workers), "project": row.project, "person": row.person,
            "maintenance": row.maintenance, "in_force": row.in_force,
        }  # fmt: skip

    def haystack(self, row: ReservationRow) -> str:
        return f"{row.id} {' '.join(row.workers)} {holder_words(row)} {row.reason}".casefold()


def _state(row: ReservationRow) -> Cell:
    return cell("in force", "text-warning") if row.in_force else cell("planned", "text-muted")
