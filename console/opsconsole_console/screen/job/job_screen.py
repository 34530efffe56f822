"""One job: what it is, its tasks and the log of the one under the cursor, its spec, and what happened to it."""

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll

from opsconsole.ask import ask
from opsconsole.fleet import Change
from opsconsole_console.model.log_target import likely_task
from opsconsole_console.model.model import Model
from opsconsole_console.screen.job.arrangement import Arrangement, arrange
from opsconsole_console.screen.job.job_facts import job_facts
from opsconsole_console.screen.job.task_pane import TaskPane
from opsconsole_console.screen.part.detail_screen import DetailScreen
from opsconsole_console.screen.part.event_pane import EventPane
from opsconsole_console.screen.part.failure_binding import FAILURE_BINDINGS
from opsconsole_console.screen.part.job_action import JobActions, job_bindings
from opsconsole_console.screen.part.key_bar import KeyBar
from opsconsole_console.screen.part.line_view import Line, LineView
from opsconsole_console.screen.part.log_message import LogLeft
from opsconsole_console.screen.part.shell_access import run_exclusive, shell
from opsconsole_console.screen.part.spec_text import spec_lines
from opsconsole_console.screen.part.task_log import TaskLog
from opsconsole_console.service.source import FleetSource
from opsconsole_console.widget.cell import cell
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_console.widget.pane import Pane
from opsconsole_console.widget.sign import sign
from opsconsole_protocol.api import DetailAnswer, JobDetail, JobRow, ShowJob
from opsconsole_protocol.error import OpsconsoleError, Unavailable
from opsconsole_protocol.state import TaskState

_TASKS_SHOWN = 5_000
_ASK_AGAIN_S = 3.0
"""Usage isn't pushed: a job at work is asked for anew as often."""


class JobScreen(DetailScreen, JobActions):
    """Verbs mean the whole job, or its marked tasks."""

    AUTO_FOCUS = "#task-table"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 - Textual's own type
    BINDINGS: ClassVar[list[BindingType]] = [
        *FAILURE_BINDINGS,
        Binding("E", "failure_place", "Error", tooltip="To where its log tells of its failure", id="job.error"),
        *job_bindings("job.new", show=False),
        *job_bindings("job.files", show=True),
    ]

    def __init__(self, model: Model, source: FleetSource, job_id: str) -> None:
        super().__init__()
        self._model = model
        self._source = source
        self._job_id = job_id
        self._detail: JobDetail | None = None
        self._facts = LineView(id="job-facts")
        self._head = Pane(self._facts, title="Job", id="detail-head")
        self._task_pane = TaskPane(model.clock, job_id)
        row = model.job(job_id)
        self._log = TaskLog(job_id, row.name if row else job_id, row.num_tasks if row else 0, number=2)
        self._spec = LineView(id="job-spec")
        self._spec_pane = Pane(number=3, title="Spec", id="job-spec-pane", classes="scrolled")
        self._event_pane = EventPane(model, source, subject=job_id, number=4)
        self._chosen: Pane = self._log
        self._arranged: tuple[Arrangement, Pane] | None = None

    def compose(self) -> ComposeResult:
        yield self._head
        with Container(id="job-body"):
            with Container(id="job-tasks"):
                yield self._task_pane
                with self._spec_pane, VerticalScroll():
                    yield self._spec
                yield self._event_pane
            yield self._log
        yield KeyBar()

    def on_mount(self) -> None:
        self._model.mark_seen(self._job_id)
        self._request_detail()
        self.set_interval(_ASK_AGAIN_S, self._request_while_live)

    def on_resize(self) -> None:
        self._show_detail()
        self.call_after_refresh(self.lay_out)

    def selected_jobs(self) -> Sequence[JobRow]:
        row = self._model.job(self._job_id) or (self._detail.job if self._detail is not None else None)
        return [] if row is None else [row]

    def apply(self, change: Change) -> None:
        """Show what changed."""
        self._event_pane.apply(change)
        if change.reset or self._job_id in change.jobs:
            self.refresh_bindings()
            if self.is_current:
                self._model.mark_seen(self._job_id)
            self._show_detail()
            self._request_detail()

    def tick(self) -> None:
        """A second has passed."""
        self._show_facts()
        self._task_pane.table.touch()
        self._event_pane.table.touch()

    def _request_while_live(self) -> None:
        jobs = self.selected_jobs()
        if jobs and jobs[0].finished_at_ms is None:
            self._request_detail()

    def _request_detail(self) -> None:
        run_exclusive(self, self._fetch_detail, "detail")

    async def _fetch_detail(self) -> None:
        request = ShowJob(id=self._job_id, tasks_limit=_TASKS_SHOWN, events_limit=0)
        try:
            self._detail = (await ask(self._source, request, DetailAnswer)).detail
        except Unavailable:
            return  # the first line says so, and it is asked again
        except OpsconsoleError as error:
            if self._detail is None:
                self._facts.show([Line(cell(error.message, "state-failed"))])
        else:
            self._show_detail()

    def _show_detail(self) -> None:
        self._show_facts()
        detail = self._detail
        if detail is None:
            return
        is_first = not self._task_pane.table.total
        if is_first:
            self.refresh_bindings()
        self._task_pane.show_tasks(detail.tasks, detail.job.num_tasks)
        if is_first and detail.job.num_tasks > 1:
            self._task_pane.table.move_to(str(likely_task(detail.tasks)))
        self._follow_cursor()
        self.call_after_refresh(self.lay_out)
        self._spec.show(spec_lines(detail.spec, max(30, self._spec.size.width)))

    def _show_facts(self) -> None:
        jobs = self.selected_jobs()
        if not jobs or not self.size.width:
            return
        job = jobs[0]
        self._head.subject = f"{job.id}  {job.name}"
        shown = sign(job.state)
        self._head.state = f"{self.panes_hint}{shown.glyph} {shown.word}"
        spec = None if self._detail is None else self._detail.spec
        line = self._task_pane.table.cursor_row
        self._facts.show(job_facts(job, spec, self._model.clock(), self.size.width - 4, line))

    # -- the log --------------------------------------------------------------------------------------------------

    @on(LiveTable.RowHighlighted, "#task-table")
    def _follow_cursor(self) -> None:
        line, detail = self._task_pane.table.cursor_row, self._detail
        if line is not None and detail is not None:
            self._log.show_task(line, detail.job.name, detail.job.num_tasks)
            self._show_facts()

    @on(LiveTable.RowSelected, "#task-table")
    def _focus_log(self) -> None:
        self.action_pane(self._log.number)

    @on(TaskLog.Stepped)
    def _move_cursor(self, event: TaskLog.Stepped) -> None:
        event.stop()
        self._task_pane.table.action_move(event.step)

    @on(LogLeft)
    def _back_to_tasks(self, event: LogLeft) -> None:
        event.stop()
        self._task_pane.table.focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "failure_place":
            line = self._task_pane.table.cursor_row
            return line is not None and bool(line.error)
        return super().check_action(action, parameters)

    def action_failure_place(self) -> None:
        """Bring the log into sight, at the traceback or the last error of the task under the cursor."""
        self.action_pane(self._log.number)
        self._log.show_failure()

    # -- layout ---------------------------------------------------------------------------------------------------

    def lay_out(self) -> None:
        """Give every pane the room that it has at the present size, for this many tasks."""
        body, tasks = self.query_one("#job-body"), self.query_one("#job-tasks")
        plan = arrange(self.size.width, body.size.height, self._task_pane.wanted_lines)
        if (plan, self._chosen) == self._arranged:
            return
        self._arranged = plan, self._chosen
        instead = self._chosen is not self._log and not plan.more
        in_a_column = plan.beside or instead
        body.styles.layout = "horizontal" if plan.beside else "vertical"
        tasks.styles.layout = "vertical" if in_a_column else "horizontal"
        tasks.styles.width = plan.tasks_cells if plan.tasks_cells is not None else "1fr"
        tasks.styles.height = plan.tasks_lines if plan.tasks_lines is not None and not instead else "1fr"
        lines = plan.tasks_lines if instead else plan.list_lines
        self._task_pane.styles.height = lines if lines is not None else "1fr"
        more = self._spec_pane if self._chosen is self._spec_pane else self._event_pane
        for pane in (self._spec_pane, self._event_pane):
            pane.display = pane is more and (plan.more or instead)
        self._log.display = not instead
        self._show_facts()

    @property
    def panes_hint(self) -> str:
        panes = sorted((pane for pane in self.query(Pane) if pane.number), key=lambda pane: pane.number)
        hidden = [pane for pane in panes if not pane.display]
        return "".join(f"{pane.number} {pane.title}  " for pane in (panes if len(hidden) > 1 else hidden))

    def action_pane(self, number: int) -> None:
        chosen = next((pane for pane in (self._log, self._spec_pane, self._event_pane) if pane.number == number), None)
        if chosen is not None:
            self._chosen = chosen
            self.lay_out()
        super().action_pane(number)

    # -- verbs on marked tasks --------------------------------------------------------------------------------------

    def selected_runs(self) -> Sequence[str]:
        return self._task_pane.marked_tasks or super().selected_runs()

    def action_job_pause(self) -> None:
        if not self._act_on_marked("pause"):
            super().action_job_pause()

    def action_job_cancel(self) -> None:
        if not self._act_on_marked("cancel"):
            super().action_job_cancel()

    def action_job_retry(self) -> None:
        if not self._act_on_marked("retry"):
            super().action_job_retry()

    def action_job_hold(self) -> None:
        if not self._act_on_marked("hold"):
            super().action_job_hold()

    def _act_on_marked(self, verb: str) -> bool:
        """Carry out a verb on the marked tasks. Return False where none is marked."""
        ids = self._task_pane.marked_tasks
        if not ids or self._detail is None:
            return False
        states = {task.id: task.state for task in self._detail.tasks}
        if verb == "pause" and all(states.get(task_id) == TaskState.PAUSED for task_id in ids):
            verb = "resume"
        if verb == "hold" and all(states.get(task_id) == TaskState.HELD for task_id in ids):
            verb = "release"
        job_name = self._detail.job.name

        async def carried_out() -> None:
            if await shell(self).operations.act_on_tasks(verb, ids, job_name):
                self._task_pane.table.clear_marks()

        shell(self).do(carried_out)
        return True
