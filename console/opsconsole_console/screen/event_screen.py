"""Everything that was done: who, what, when and why."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from opsconsole.fleet import Change
from opsconsole_console.app.model import Model
from opsconsole_console.app.source import FleetSource, ask
from opsconsole_console.screen.part import event_cell
from opsconsole_console.screen.part.detail_screen import DetailScreen
from opsconsole_console.screen.part.home import home
from opsconsole_console.screen.part.key_bar import KeyBar
from opsconsole_console.screen.part.spill_table import BelowTable
from opsconsole_console.screen.part.table_pane import TablePane, sort_bindings
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_protocol.api import EventList, EventRow, ListEvents
from opsconsole_protocol.error import InvalidRequest

_PAGE_EVENTS = 500
_NEAR_END_ROWS = 30
_HOTKEYS = {"time": "T", "actor": "W", "kind": "K"}


class EventPane(TablePane[EventRow]):
    """The newest events, and older ones as the cursor comes near the end."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *sort_bindings("events", _HOTKEYS),
        Binding("y", "copy", "Copy line", show=False, id="event.copy"),
    ]

    def __init__(self, model: Model, source: FleetSource, *, subject: str = "", number: int = 1) -> None:
        self._model = model
        self._source = source
        self._subject = subject
        self._oldest: int | None = None
        self._all = False
        self._fetching = False
        super().__init__(number=number, title="Events", id="events")

    def make_table(self) -> LiveTable[str, EventRow]:
        table: LiveTable[str, EventRow] = BelowTable(self.columns(80), empty="Nothing happened yet", flush_hz=None)
        table.sort_by("time")
        return table

    def columns(self, width: int) -> Sequence[Column[EventRow]]:  # noqa: ARG002 - the same at every width
        return event_cell.event_columns(self._model.clock, subject=not self._subject)

    def properties(self, row: EventRow) -> Mapping[str, Any]:
        return event_cell.properties(row)

    def haystack(self, row: EventRow) -> str:
        return event_cell.haystack(row)

    def on_mount(self) -> None:
        super().on_mount()
        self.add([event for event in self._model.fleet.events if self._is_meant(event)])
        self._fetch_near_end()

    def apply(self, change: Change) -> None:
        """Show what happened since."""
        self.add([event for event in change.events if self._is_meant(event)])
        if change.reset:
            self._fetch_near_end()  # it may have been asked for in vain

    def add(self, events: Sequence[EventRow]) -> None:
        """Show these too."""
        self.table.upsert({str(event.seq): event for event in events})
        self.table.apply_pending()
        if not self.filter.empty:
            self.show_state()

    def action_copy(self) -> None:
        event = self.table.cursor_row
        if event is not None:
            home(self).copy(f"{event.actor}  {event.kind}  {event.subject}  {event.text}", "the event")

    def _is_meant(self, event: EventRow) -> bool:
        return not self._subject or event.subject == self._subject or event.subject.startswith(self._subject + "/")

    @on(LiveTable.RowHighlighted)
    def _fetch_near_end(self) -> None:
        table = self.table
        if isinstance(table, BelowTable) and not self._all and not self._fetching and table.rows_below < _NEAR_END_ROWS:
            self._fetching = True
            home(self).look_up(self._fetch)

    async def _fetch(self) -> None:
        try:
            request = ListEvents(subject=self._subject, before_seq=self._oldest, limit=_PAGE_EVENTS)
            events = (await ask(self._source, request, EventList)).events
            self._all = len(events) < _PAGE_EVENTS
            if events:
                self._oldest = events[-1].seq
            self.add(events)
        finally:
            self._fetching = False


class EventScreen(DetailScreen):
    """`:events`."""

    def __init__(self, model: Model, source: FleetSource, filter_text: str = "") -> None:
        super().__init__()
        self._pane = EventPane(model, source)
        self._filter_text = filter_text

    def compose(self) -> ComposeResult:
        yield self._pane
        yield KeyBar()

    def on_mount(self) -> None:
        self._pane.table.focus()
        if self._filter_text:
            try:
                self._pane.set_filter(self._filter_text)
            except InvalidRequest as error:
                home(self).say(error.message, "warning")

    def apply(self, change: Change) -> None:
        """Show what happened since."""
        self._pane.apply(change)

    def tick(self) -> None:
        """A second has passed."""
        self._pane.table.touch()

    @on(LiveTable.RowSelected)
    def _open(self) -> None:
        row = self._pane.table.cursor_row
        if row is None:
            return
        app, subject = home(self), row.subject.partition("/")[0]
        worker = app.model.worker_named(subject)
        if worker is not None:
            app.open_worker(worker.id)
        elif app.model.job(subject) is not None:
            app.open_job(subject)
