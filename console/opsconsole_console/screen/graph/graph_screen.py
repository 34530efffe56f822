"""The jobs that a job waits for and those that wait for it, as a tree. Enter opens one."""

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from opsconsole_console.model.graph import GraphLine, done_words, graph_lines, head_words
from opsconsole_console.model.model import Model
from opsconsole_console.screen.part.asking_screen import AskingScreen
from opsconsole_console.screen.part.facts import wrapped
from opsconsole_console.screen.part.key_bar import KeyBar
from opsconsole_console.screen.part.line_view import BLANK, Line, LineView
from opsconsole_console.screen.part.shell_access import shell
from opsconsole_console.service.source import FleetSource
from opsconsole_console.widget.cell import Cell, cell
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_console.widget.sign import sign
from opsconsole_console.widget.words import Dialog
from opsconsole_protocol.api import AskGraph, GraphAnswer

_REASON_LINES = 3
"""The rest is on the why screen."""


class GraphScreen(AskingScreen[GraphAnswer]):
    """The job under the cursor is explained below the tree."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,b", "app.pop_screen", "Back", id="graph.back"),
        Binding("w", "why", "Why", tooltip="Why the job under the cursor stands where it stands", id="graph.why"),
    ]

    def __init__(self, model: Model, source: FleetSource, job_id: str) -> None:
        super().__init__(source, AskGraph(id=job_id), GraphAnswer, LineView(id="graph-head"))
        self._model = model
        self._foot = LineView(id="graph-foot")
        self._table: LiveTable[str, GraphLine] = LiveTable(self._columns(), flush_hz=None, id="graph-table")

    def compose(self) -> ComposeResult:
        with Dialog("Before and after", classes="large"):
            yield self._head
            yield self._table
            yield self._foot
        yield KeyBar()

    def on_mount(self) -> None:
        self._table.display = False

    def _show_answer(self) -> None:
        answer = self._answer
        if answer is None:
            return
        names = {row.job.id: row.job.name for row in answer.jobs}
        lines = graph_lines(answer.jobs, lambda job_id: names.get(job_id, job_id))
        self._head.show([Line(cell(head_words(answer), "text-muted")), BLANK])
        is_first = not self._table.display
        self._table.set_rows({line.job.id: line for line in lines})
        self._table.display = True
        if is_first:
            self._table.focus()
            self._table.move_to(answer.id)
        self._explain()

    def _columns(self) -> Sequence[Column[GraphLine]]:
        return (
            Column("job", "JOB", self._job_cell, 16, flex=3, width_max=60, priority=30),
            Column("state", "STATE", lambda line: sign(line.job.state).cell, 12, priority=29),
            Column(
                "id", "ID", lambda line: cell(self._model.short_ids.show(line.job.id), "text-muted"), 6, priority=10
            ),
            Column("tasks", "TASKS", lambda line: done_words(line.job), 9, align="right", priority=20),
            Column("note", "WAITS", lambda line: cell(line.note, "text-muted"), 8, flex=2, width_max=60, priority=25),
        )

    def _job_cell(self, line: GraphLine) -> Cell:
        style = "bold" if self._answer is not None and line.job.id == self._answer.id else ""
        return Cell(((line.branch, "text-muted"), (line.job.name, style)))

    @on(LiveTable.RowHighlighted)
    def _explain(self) -> None:
        """What the cursor's job waits for in full, and why it stands where it stands."""
        line = self._table.cursor_row
        if line is None:
            return
        cells = self.size.width - 14
        reason = wrapped(line.job.reason, cells)[:_REASON_LINES] if line.job.reason else []
        self._foot.show([BLANK, *(wrapped(line.note, cells) if line.note else []), *reason])

    @on(LiveTable.RowSelected)
    def _open_job(self, event: LiveTable.RowSelected) -> None:
        shell(self).navigation.open("job", event.row_id)

    def action_why(self) -> None:
        line = self._table.cursor_row
        if line is not None:
            shell(self).navigation.open("why", line.job.id)
