"""Everything that was done: who, what, when and why."""

from textual import on
from textual.app import ComposeResult

from opsconsole.fleet import Change
from opsconsole_console.model.model import Model
from opsconsole_console.screen.part.detail_screen import DetailScreen
from opsconsole_console.screen.part.event_pane import EventPane
from opsconsole_console.screen.part.key_bar import KeyBar
from opsconsole_console.screen.part.shell_access import shell
from opsconsole_console.service.source import FleetSource
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_protocol.error import InvalidRequest


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
                shell(self).say(error.message, "warning")

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
        subject, navigation = row.subject.partition("/")[0], shell(self).navigation
        worker = shell(self).model.worker_named(subject)
        if worker is not None:
            navigation.open("worker", worker.id)
        elif subject and not subject.isspace():
            navigation.open_found_job("job", subject)
