"""A job's tasks and attempts."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from opsconsole_console import format as fmt
from opsconsole_console.model.clock import Clock
from opsconsole_console.model.coverage import ALL, Coverage, Extent
from opsconsole_console.screen.job.job_facts import task_grid
from opsconsole_console.screen.part.line_view import LineView
from opsconsole_console.screen.part.shell_access import shell
from opsconsole_console.screen.part.table_pane import TablePane, sort_bindings
from opsconsole_console.screen.part.task_line import TaskLine, task_columns, task_lines
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_protocol.api import TaskRow
from opsconsole_protocol.task_selection import task_properties

_FRAME_LINES = 3
"""Edges and header."""
_ROWS_MIN = 3
"""Rows that the table has first: on a small screen there are more tasks to a block, and fewer lines of them."""
_HOTKEYS = {"task": "K", "state": "S", "where": "W", "time": "I", "memory": "M"}


class TaskPane(TablePane[TaskLine]):
    """A row for each task, with its earlier attempts under it; above them a block for each task where there are several."""

    nothing = "No tasks"
    BINDINGS: ClassVar[list[BindingType]] = [
        *sort_bindings("tasks", _HOTKEYS),
        Binding("l", "logs", "Logs", tooltip="Of this task or attempt", id="task.logs"),
        Binding("y", "copy", "Copy path", show=False, tooltip="Its output folder", id="task.copy_path"),
    ]

    def __init__(self, clock: Clock, job_id: str) -> None:
        self._clock = clock
        self._job_id = job_id
        self._grid = LineView(id="task-grid")
        self._tasks: Sequence[TaskRow] = ()
        super().__init__(number=1, title="Tasks", id="tasks")

    def make_table(self) -> LiveTable[str, TaskLine]:
        return LiveTable(self.columns(80), flush_hz=None, id="task-table")

    def compose(self) -> ComposeResult:
        yield self._grid
        yield from super().compose()

    def columns(self, width: int) -> Sequence[Column[TaskLine]]:  # noqa: ARG002 - the same at every width
        return task_columns(self._clock)

    def properties(self, row: TaskLine) -> Mapping[str, Any]:
        task = row.task
        return {"worker": task.worker, "exit_code": task.exit_code, "error": task.error or None, "attempt": task.attempt,
                **task_properties(task.index, row.state, task.parameters)}  # fmt: skip

    def haystack(self, row: TaskLine) -> str:
        task = row.task
        return f"task {task.index} {row.state} {task.worker} {task.error} {task.reason} {task.parameters}".casefold()

    def show_tasks(self, tasks: Sequence[TaskRow], total: int) -> None:
        """Show these tasks of `total`."""
        self._tasks = tasks
        self.table.set_rows(task_lines(tasks))
        self.subject = f"first {len(tasks):,} of {total:,}" if len(tasks) < total else fmt.plural(total, "task")
        note = f"the first {len(tasks):,} of {total:,} tasks are looked at: `opsconsole show` lists all"
        self.set_coverage(ALL if len(tasks) >= total else Coverage(Extent.PART, note=note))
        self._show_grid()

    def on_resize(self) -> None:
        super().on_resize()
        self._show_grid()

    def _show_grid(self) -> None:
        lines = self.size.height - _FRAME_LINES - _ROWS_MIN
        self._grid.show(task_grid(self._tasks, self.size.width - 4, max(1, lines)))

    @property
    def wanted_lines(self) -> int:
        """How high the pane would be with every task in sight."""
        return _FRAME_LINES + len(self._grid.lines) + max(1, self.table.shown)

    @property
    def marked_tasks(self) -> list[str]:
        """Ids of the tasks that are marked."""
        rows = (self.table.row(row_id) for row_id in self.table.marked)
        return list(dict.fromkeys(row.task.id for row in rows if row is not None))

    def action_logs(self) -> None:
        line = self.table.cursor_row
        if line is not None:
            attempt = None if line.attempt is None else line.attempt.attempt
            shell(self).navigation.open_logs(self._job_id, line.task.index, attempt)

    def action_copy(self) -> None:
        line = self.table.cursor_row
        if line is None:
            return
        if line.output_path:
            shell(self).copy(line.output_path, "the output path")
        else:
            shell(self).say(f"task {line.task.index} has no output folder yet", "warning")
