"""Pane 1: the workers."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from opsconsole.fleet import Change
from opsconsole_console.model.coverage import ALL, NOTHING_YET
from opsconsole_console.model.model import Model
from opsconsole_console.screen.main.worker_column import HOTKEYS, is_any_reserved, worker_columns
from opsconsole_console.screen.part import worker_cell
from opsconsole_console.screen.part.io_line import IoLine
from opsconsole_console.screen.part.table_pane import TablePane, sort_bindings
from opsconsole_console.screen.part.worker_action import WorkerActions
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_protocol.api import WorkerRow

_FRAME_LINES = 4
"""Edges, header and the line of folders."""


class WorkerPane(TablePane[WorkerRow], WorkerActions):
    """Every worker with its load, and where to put files for the one under the cursor."""

    nothing = "No workers yet\n\n:invite prints the line to paste on a GPU host"
    BINDINGS: ClassVar[list[BindingType]] = [
        *sort_bindings("workers", HOTKEYS),
        Binding("l", "worker_logs", "Logs", tooltip="Follow what runs there", id="worker.logs"),
    ]

    def __init__(self, model: Model) -> None:
        self._model = model
        super().__init__(number=1, title="Workers", id="workers")

    def make_table(self) -> LiveTable[str, WorkerRow]:
        table: LiveTable[str, WorkerRow] = LiveTable(self.columns(80), flush_hz=None, id="worker-table")
        table.sort_by("name", reverse=False)
        return table

    def compose(self) -> ComposeResult:
        yield self.table
        yield IoLine()
        yield from list(super().compose())[1:]

    def columns(self, width: int) -> Sequence[Column[WorkerRow]]:
        return worker_columns(self._model, width)

    def properties(self, row: WorkerRow) -> Mapping[str, Any]:
        return worker_cell.properties(row)

    def haystack(self, row: WorkerRow) -> str:
        return worker_cell.haystack(row)

    def selected_workers(self) -> Sequence[WorkerRow]:
        ids = self.table.marked or ([self.table.cursor_id] if self.table.cursor_id is not None else [])
        return [self._model.fleet.workers[one] for one in ids if one in self._model.fleet.workers]

    def unmark_workers(self, worker_ids: Collection[str]) -> None:
        self.table.unmark(worker_ids)

    def apply(self, change: Change) -> None:
        """Show what changed."""
        workers = self._model.fleet.workers
        if is_any_reserved(self._model) != any(one.key == "reservation" for one in self.table.columns):
            self.fit_columns(anew=True)
        if change.reset:
            self.table.set_rows(dict(workers))
        else:
            self.table.upsert({one: workers[one] for one in change.workers if one in workers})
            self.table.discard(change.workers_removed)
            self.table.apply_pending()
        self.set_coverage(ALL if self._model.is_known else NOTHING_YET)
        self._tell_folders()
        if not self.filter.empty:
            self.show_state()

    @property
    def wanted_lines(self) -> int:
        """How high the pane would be with every worker in sight."""
        return _FRAME_LINES + max(3, self.table.shown)

    @on(LiveTable.RowHighlighted)
    def _tell_folders(self) -> None:
        for line in self.query(IoLine):  # none while the pane comes or goes
            line.tell(self.table.cursor_row)
