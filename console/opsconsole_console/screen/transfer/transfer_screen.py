"""`:transfers`: what moves between this machine and the fleet, what has moved, and what waits."""

from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from opsconsole.transfer.row import TransferRow
from opsconsole_console import format as fmt
from opsconsole_console.model.coverage import ALL
from opsconsole_console.model.transfer_words import end_words
from opsconsole_console.screen.part.detail_screen import DetailScreen
from opsconsole_console.screen.part.facts import wrapped
from opsconsole_console.screen.part.key_bar import KeyBar
from opsconsole_console.screen.part.line_view import Line, LineView
from opsconsole_console.screen.part.shell_access import run_exclusive, shell
from opsconsole_console.screen.transfer.transfer_pane import (
    PendingPane,
    PendingRow,
    TransferPane,
    fetch_row,
    get_row,
    offer_row,
)
from opsconsole_console.service.transfers import Transfers
from opsconsole_console.widget.cell import cell
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_protocol.error import OpsconsoleError, Unavailable

_LOOK_S = 0.25
_PENDING_LOOK_S = 5.0


class TransferScreen(DetailScreen):
    """Keys mean the row under the cursor of the table that has the focus, or the marked ones."""

    AUTO_FOCUS = "#transfer-table"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "cancel", "Cancel", tooltip="End it, or let go of what waits", id="transfers.cancel"),
    ]

    def __init__(self, transfers: Transfers) -> None:
        super().__init__()
        self._transfers = transfers
        self._earlier: dict[str, TransferRow] = {}
        self._seen: tuple[int, int] | None = None
        self._pane = TransferPane()
        self._pane.add_class("-chosen")
        self._about = LineView(id="transfer-about")
        self._pending = PendingPane()

    def compose(self) -> ComposeResult:
        with Container(classes="detail-body", id="transfer-body"):
            yield self._pane
            yield self._about
            yield self._pending
        yield KeyBar()

    def on_mount(self) -> None:
        run_exclusive(self, self._fetch_history, "history")
        self._request_pending()
        self.set_interval(_LOOK_S, self._show_changes)
        self.set_interval(_PENDING_LOOK_S, self._request_pending)

    async def _fetch_history(self) -> None:
        try:
            self._earlier = {row.id: row for row in await self._transfers.board.history()}
        except OpsconsoleError as error:
            shell(self).say(error.message, "warning")
        self._pane.set_coverage(ALL)
        self._show_rows()

    def _show_changes(self) -> None:
        if self._seen != self._transfers.changes:
            self._show_rows()

    def _show_rows(self) -> None:
        self._seen = self._transfers.changes
        rows = {row.id: row for row in self._transfers.rows}
        self._pane.table.set_rows(rows | {id_: row for id_, row in self._earlier.items() if id_ not in rows})
        self._show_about()
        moving = len(self._transfers.under_way)
        self._pane.subject = f"{moving} under way" if moving else ""

    @on(LiveTable.RowHighlighted, "#transfer-table")
    def _show_about(self) -> None:
        """Say in full what the row under the cursor has no room for."""
        row = self._pane.table.cursor_row
        if row is None or not self.size.width:
            self._about.show([])
            return
        said = end_words(row) if row.is_over else row.note
        tone = "state-failed" if row.error else "text-muted"
        self._about.show([Line(cell(f" {row.title}", "bold")), *wrapped(said, self.size.width - 2, tone, " ", " ")[:2]])

    def _request_pending(self) -> None:
        run_exclusive(self, self._fetch_pending, "pending")

    async def _fetch_pending(self) -> None:
        try:
            offers = await self._transfers.board.pending_offers()
            fetches = await self._transfers.board.pending_fetches()
            gets = await self._transfers.board.interrupted_gets()
        except Unavailable:
            return  # the first line says so
        rows = [*map(offer_row, offers), *map(fetch_row, fetches), *map(get_row, gets)]
        self._pending.table.set_rows({row.id: row for row in rows})
        self._pending.set_coverage(ALL)
        self._pending.subject = fmt.plural(len(rows), "thing") if rows else ""

    # -- actions --------------------------------------------------------------------------------------------------

    def action_cancel(self) -> None:
        if self._pending.table.has_focus:
            waiting = self._pending.table.cursor_row
            if waiting is not None:
                shell(self).do(partial(self._forget, waiting))
            return
        table = self._pane.table
        rows = [table.row(row_id) for row_id in table.marked] or [table.cursor_row]
        moving = [row for row in rows if row is not None and not row.is_over]
        for row in moving:
            self._transfers.board.cancel(row.id)
        if not moving:
            shell(self).say("it has ended already: there is nothing to cancel", "warning")
        table.clear_marks()

    async def _forget(self, row: PendingRow) -> None:
        detail = f"{row.note}; the job that wants it waits on without it" if row.kind == "send" else row.note
        if await shell(self).confirm(f"Let go of {row.what} for {row.jobs}?", detail, "Let go"):
            await self._transfers.board.forget(row.id)
            shell(self).say(f"{row.what} is let go of")
            await self._fetch_pending()
