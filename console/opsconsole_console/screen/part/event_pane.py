"""A table of what was done: who, what, when and why."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType

from opsconsole.ask import ask
from opsconsole.fleet import Change
from opsconsole_console.model.coverage import ALL, Coverage, Extent
from opsconsole_console.model.model import Model
from opsconsole_console.screen.part import event_cell
from opsconsole_console.screen.part.shell_access import shell
from opsconsole_console.screen.part.table_pane import TablePane, sort_bindings
from opsconsole_console.screen.part.wide_row_table import BelowTable
from opsconsole_console.service.source import FleetSource
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_protocol.api import EventList, EventRow, ListEvents

_PAGE_EVENTS = 500
_NEAR_END_ROWS = 30
_HOTKEYS = {"time": "I", "actor": "W", "kind": "K"}


class EventPane(TablePane[EventRow]):
    """The newest events; older ones are fetched as the cursor comes near the end, as many as the filter needs."""

    nothing = "Nothing happened yet"
    BINDINGS: ClassVar[list[BindingType]] = [
        *sort_bindings("events", _HOTKEYS),
        Binding("y", "copy", "Copy line", show=False, id="event.copy"),
    ]

    def __init__(self, model: Model, source: FleetSource, *, subject: str = "", number: int = 1) -> None:
        self._model = model
        self._source = source
        self._subject = subject
        self._oldest: int | None = None
        self._is_all_here = False
        self._is_fetching = False
        self._has_gaps = False
        """Whether there are gaps: events were fetched that the filter didn't let through."""
        super().__init__(number=number, title="Events", id="events")

    def make_table(self) -> LiveTable[str, EventRow]:
        table: LiveTable[str, EventRow] = BelowTable(self.columns(80), flush_hz=None)
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
        self.add([event for event in self._model.fleet.events if self._is_about_subject(event)])
        self._fetch_near_end()

    def set_filter(self, text: str, *, inverted: bool | None = None) -> None:
        super().set_filter(text, inverted=inverted)
        if self._has_gaps:
            self._has_gaps = self._is_all_here = False
            self._oldest = None
            meant = [event for event in self._model.fleet.events if self._is_about_subject(event)]
            self.table.set_rows({str(event.seq): event for event in meant})
        if self.is_mounted:
            self._fetch_near_end()

    def apply(self, change: Change) -> None:
        """Show what happened since."""
        self.add([event for event in change.events if self._is_about_subject(event)])
        if change.reset:
            self._fetch_near_end()  # it may have been asked for in vain

    def add(self, events: Sequence[EventRow]) -> None:
        """Show more events."""
        self.table.upsert({str(event.seq): event for event in events})
        self.table.apply_pending()
        if not self.filter.empty:
            self.show_state()

    def action_copy(self) -> None:
        event = self.table.cursor_row
        if event is not None:
            shell(self).copy(f"{event.actor}  {event.kind}  {event.subject}  {event.text}", "the event")

    def _is_about_subject(self, event: EventRow) -> bool:
        return not self._subject or event.subject == self._subject or event.subject.startswith(self._subject + "/")

    @on(LiveTable.RowHighlighted)
    def _fetch_near_end(self) -> None:
        if not self._is_fetching and self._is_wanting:
            self._is_fetching = True
            shell(self).look_up(self._fetch_wanted)

    @property
    def _is_wanting(self) -> bool:
        table = self.table
        return isinstance(table, BelowTable) and not self._is_all_here and table.rows_below < _NEAR_END_ROWS

    async def _fetch_wanted(self) -> None:
        """Fetch page by page until there are enough rows below the cursor."""
        try:
            while self._is_wanting and self.is_attached:
                await self._fetch_page()
        finally:
            self._is_fetching = False
            self._update_coverage()

    async def _fetch_page(self) -> None:
        request = ListEvents(subject=self._subject, before_seq=self._oldest, limit=_PAGE_EVENTS)
        events = (await ask(self._source, request, EventList)).events
        if request.before_seq != self._oldest:
            return  # another filter came meanwhile, for which everything is looked at anew
        predicate = self.filter.predicate(self.properties, self.haystack)
        kept = events if predicate is None else [event for event in events if predicate(event)]
        self._has_gaps |= len(kept) < len(events)
        self._is_all_here = len(events) < _PAGE_EVENTS
        if events:
            self._oldest = events[-1].seq
        self.add(kept)
        self._update_coverage()

    def _update_coverage(self) -> None:
        if self._is_all_here:
            self.set_coverage(ALL)
        elif self._oldest is not None:
            self.set_coverage(Coverage(Extent.PART, looking=self._is_fetching))
