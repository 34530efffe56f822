"""One worker: every GPU and who uses it, its tasks, folders and history."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, VerticalScroll

from opsconsole.fleet import Change
from opsconsole_console import format as fmt
from opsconsole_console.model.coverage import ALL
from opsconsole_console.model.model import Model
from opsconsole_console.screen.part import worker_cell
from opsconsole_console.screen.part.detail_screen import DetailScreen
from opsconsole_console.screen.part.event_pane import EventPane
from opsconsole_console.screen.part.job_action import JobActions, job_bindings
from opsconsole_console.screen.part.key_bar import KeyBar
from opsconsole_console.screen.part.line_view import Line, LineView
from opsconsole_console.screen.part.shell_access import run_exclusive, shell
from opsconsole_console.screen.part.table_pane import TablePane
from opsconsole_console.screen.part.worker_action import WorkerActions
from opsconsole_console.screen.worker.gpu_lines import gpu_lines
from opsconsole_console.screen.worker.worker_facts import worker_facts
from opsconsole_console.screen.worker.worker_task_column import worker_task_columns
from opsconsole_console.service.source import FleetSource
from opsconsole_console.service.worker_task import WorkerTask, tasks_on
from opsconsole_console.widget.cell import cell
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_console.widget.pane import Pane
from opsconsole_protocol.api import JobRow, WorkerRow
from opsconsole_protocol.error import OpsconsoleError, Unavailable

_ASK_AGAIN_S = 5.0


class WorkerTaskPane(TablePane[WorkerTask], JobActions):
    """What is at work there. The verbs of jobs apply to it."""

    nothing = "Nothing runs here"
    BINDINGS: ClassVar[list[BindingType]] = [*job_bindings("job.new", show=False)]

    def __init__(self, model: Model) -> None:
        self._model = model
        super().__init__(number=2, title="Tasks", id="worker-tasks")

    def make_table(self) -> LiveTable[str, WorkerTask]:
        return LiveTable(self.columns(80), flush_hz=None, id="worker-task-table")

    def columns(self, width: int) -> Sequence[Column[WorkerTask]]:  # noqa: ARG002 - the same at every width
        return worker_task_columns(self._model)

    def properties(self, row: WorkerTask) -> Mapping[str, Any]:
        return {
            "name": row.job.name,
            "project": row.job.project,
            "state": row.state,
            "submitted_by": row.job.submitted_by,
        }

    def haystack(self, row: WorkerTask) -> str:
        return f"{row.id} {row.job.name} {row.job.project} {row.state} {row.job.submitted_by}".casefold()

    def selected_jobs(self) -> Sequence[JobRow]:
        row = self.table.cursor_row
        return [] if row is None else [self._model.job(row.job.id) or row.job]

    def action_job_logs(self) -> None:
        row = self.table.cursor_row
        if row is not None:
            shell(self).navigation.open_logs(row.job.id, row.index)


class WorkerScreen(DetailScreen, WorkerActions):
    """Shows one worker, anew with every heartbeat."""

    AUTO_FOCUS = "#worker-task-table"

    def __init__(self, model: Model, source: FleetSource, worker_id: str) -> None:
        super().__init__()
        self._model = model
        self._source = source
        self._worker_id = worker_id
        worker = model.fleet.workers.get(worker_id)
        self._worker_name = worker.name if worker is not None else worker_id
        self._facts = LineView(id="worker-facts")
        self._head = Pane(self._facts, title="Worker", subject=self._worker_name, id="detail-head")
        self._gpus = LineView(id="worker-gpus")
        self._gpu_pane = Pane(number=1, title="GPUs", classes="scrolled", id="worker-gpu-pane")
        self._tasks = WorkerTaskPane(model)
        self._tasks.add_class("-chosen")
        self._events = EventPane(model, source, subject=self._worker_name, number=3)

    def compose(self) -> ComposeResult:
        yield self._head
        with Container(classes="detail-body"):
            with self._gpu_pane, VerticalScroll():
                yield self._gpus
            with Container(classes="detail-side"):
                yield self._tasks
                yield self._events
        yield KeyBar()

    def on_mount(self) -> None:
        self._request_tasks()
        self.set_interval(_ASK_AGAIN_S, self._request_tasks)

    def on_resize(self) -> None:
        self.call_after_refresh(self._show_worker)

    def selected_workers(self) -> Sequence[WorkerRow]:
        worker = self._model.fleet.workers.get(self._worker_id)
        return [] if worker is None else [worker]

    def apply(self, change: Change) -> None:
        """Show what changed."""
        self._events.apply(change)
        if change.reset or self._worker_id in change.workers or self._worker_id in change.workers_removed:
            self._show_worker()
        if change.jobs:
            self._request_tasks()

    def tick(self) -> None:
        """A second has passed."""
        self._show_worker()
        self._tasks.table.touch()
        self._events.table.touch()

    def _request_tasks(self) -> None:
        run_exclusive(self, self._fetch_tasks, "tasks")

    async def _fetch_tasks(self) -> None:
        try:
            tasks = await tasks_on(self._source, self._model, self._worker_name)
        except Unavailable:
            return  # the first line says so, and it is asked again
        except OpsconsoleError as error:
            self._tasks.state = error.message
        else:
            self._tasks.table.set_rows(tasks)
            self._tasks.set_coverage(ALL)
            self._tasks.subject = fmt.plural(len(tasks), "task")

    def _show_worker(self) -> None:
        workers = self.selected_workers()
        if not self.size.width:
            return
        if not workers:
            self._facts.show([Line(cell(f"{self._worker_name} is no longer known to the coordinator", "state-lost"))])
            return
        worker = workers[0]
        status = worker_cell.status_cell(worker)
        self._head.state = self.panes_hint + status.text
        self._facts.show(worker_facts(worker, self._model.clock(), self.size.width - 4))
        self._gpu_pane.subject = worker_cell.gpu_label(worker) if worker.gpus else ""
        lines = gpu_lines(worker, self._attempt_name, self._gpus.size.width)
        self._gpus.show(lines or [Line(cell(worker.gpu_message or "no GPU", "text-muted"))])

    def _attempt_name(self, attempt_id: str) -> str:
        job_id, _, rest = attempt_id.partition(".")
        job = self._model.job(job_id)
        index = rest.partition(".")[0]
        name = "" if job is None else f"  {job.name}"
        return f"{self._model.short_ids.show(job_id)}/task-{index}{name}"

    @on(LiveTable.RowSelected, "#worker-task-table")
    def _open_job(self) -> None:
        row = self._tasks.table.cursor_row
        if row is not None:
            shell(self).navigation.open("job", row.job.id)
