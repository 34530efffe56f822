"""The first screen: workers and jobs on the left, logs on the right, as the terminal's size allows."""

from collections.abc import Callable
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import Screen

from opsconsole.fleet import Change
from opsconsole_console.model.model import Model
from opsconsole_console.screen.main.arrangement import Arrangement, arrange
from opsconsole_console.screen.main.header import Header
from opsconsole_console.screen.main.job_pane import JobPane
from opsconsole_console.screen.main.log_grid import LogGrid
from opsconsole_console.screen.main.worker_pane import WorkerPane
from opsconsole_console.screen.part.failure_binding import FAILURE_BINDINGS
from opsconsole_console.screen.part.key_bar import KeyBar
from opsconsole_console.screen.part.log_message import LogLeft
from opsconsole_console.screen.part.shell_access import shell
from opsconsole_console.service.source import FleetSource
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_console.widget.steady_screen import SteadyScreen


class MainScreen(SteadyScreen, Screen[None]):
    """Lays out its panes, and leaves to them what they show."""

    AUTO_FOCUS = "#job-table"
    BINDINGS: ClassVar[list[BindingType]] = [
        *FAILURE_BINDINGS,
        *(Binding(str(n), f"pane({n})", f"Pane {n}", show=False, id=f"pane.{n}") for n in range(1, 10)),
    ]

    def __init__(self, model: Model, source: FleetSource, read_only: Callable[[], bool]) -> None:
        super().__init__()
        self._model = model
        self._header = Header(model, source, read_only)
        self.worker_pane = WorkerPane(model)
        self.job_pane = JobPane(model, source)
        self.log_grid = LogGrid()
        self._arranged: Arrangement | None = None
        self._table_used: WorkerPane | JobPane = self.job_pane

    def compose(self) -> ComposeResult:
        yield self._header
        with Container(id="body"):
            with Container(id="tables"):
                yield self.worker_pane
                yield self.job_pane
            yield self.log_grid
        yield KeyBar()

    def on_mount(self) -> None:
        self.apply(Change(reset=True))

    def apply(self, change: Change) -> None:
        """Show what changed."""
        self._header.update()
        if change:
            self.worker_pane.apply(change)
            self.job_pane.apply(change)
            self.lay_out()

    def tick(self) -> None:
        """A second has passed: what shows the time is painted anew."""
        self._header.update()
        self.worker_pane.table.touch()
        self.job_pane.table.touch()

    # -- layout ---------------------------------------------------------------------------------------------------

    def lay_out(self) -> None:
        """Put every pane where it belongs for the present size and number of logs."""
        plan = arrange(self.size.width, self.size.height, self.log_grid.opened, self.worker_pane.wanted_lines)
        if plan == self._arranged:
            self._show_one_table(plan)
            return
        self._arranged = plan
        body, tables = self.query_one("#body"), self.query_one("#tables")
        body.styles.layout = "vertical" if plan.stacked else "horizontal"
        tables.styles.layout = "horizontal" if plan.side_by_side else "vertical"
        tables.styles.width = plan.tables_cells if plan.tables_cells is not None else "1fr"
        tables.styles.height = plan.tables_lines if plan.tables_lines is not None else "1fr"
        self.worker_pane.styles.height = "1fr" if plan.workers_lines is None or plan.one_table else plan.workers_lines
        self._show_one_table(plan)
        self.log_grid.lay_out(plan.log_columns, plan.logs_fitting)

    def _show_one_table(self, plan: Arrangement) -> None:
        for table in (self.worker_pane, self.job_pane):
            table.display = not plan.one_table or table is self._table_used

    def on_resize(self) -> None:
        self.call_after_refresh(self.lay_out)

    @on(LogGrid.Changed)
    def _arrange_logs(self) -> None:
        self.lay_out()
        if not self.log_grid.opened and self.focused is None:
            self._table_used.query_one(LiveTable).focus()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        for table in (self.worker_pane, self.job_pane):
            if event.widget in table.walk_children():
                self._table_used = table

    # -- getting about --------------------------------------------------------------------------------------------

    def action_pane(self, number: int) -> None:
        if number <= 2:
            self.show_table(self.worker_pane if number == 1 else self.job_pane)
        else:
            self.log_grid.focus_pane(number)

    def show_table(self, pane: WorkerPane | JobPane) -> None:
        """Focus a table, and bring it into sight where only one has room."""
        self._table_used = pane
        self.lay_out()
        pane.table.focus()

    @on(LogLeft)
    def _back_to_table(self, event: LogLeft) -> None:
        event.stop()
        self.show_table(self._table_used)

    @on(LiveTable.RowSelected, "#worker-table")
    def _open_worker(self, event: LiveTable.RowSelected) -> None:
        shell(self).navigation.open("worker", event.row_id)

    @on(LiveTable.RowSelected, "#job-table")
    def _open_job(self, event: LiveTable.RowSelected) -> None:
        shell(self).navigation.open("job", event.row_id)
