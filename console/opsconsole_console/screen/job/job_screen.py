"""One job: what it is, its tasks and attempts, its spec, and what happened to it."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll

from opsconsole.fleet import Change
from opsconsole_console.app.model import Model
from opsconsole_console.app.source import FleetSource, ask
from opsconsole_console.screen.event_screen import EventPane
from opsconsole_console.screen.job.job_facts import job_facts
from opsconsole_console.screen.job.task_pane import TaskPane
from opsconsole_console.screen.part.detail_screen import DetailScreen
from opsconsole_console.screen.part.home import begin, home
from opsconsole_console.screen.part.job_action import JobActions
from opsconsole_console.screen.part.key_bar import KeyBar
from opsconsole_console.screen.part.sheet import Line, Sheet
from opsconsole_console.screen.part.spec_text import spec_lines
from opsconsole_console.widget.cell import cell
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_console.widget.pane import Pane
from opsconsole_console.widget.sign import sign
from opsconsole_protocol.api import DetailAnswer, JobDetail, JobRow, ShowJob
from opsconsole_protocol.error import OpsconsoleError, Unavailable

_TASKS_SHOWN = 5_000
_ASK_AGAIN_S = 3.0
"""Usage isn't pushed: a job at work is asked for anew as often."""


class JobScreen(DetailScreen, JobActions):
    """Verbs mean the whole job, or its marked tasks."""

    AUTO_FOCUS = "#task-table"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("n", "app.new_job", "New", show=False, id="job.new")]

    def __init__(self, model: Model, source: FleetSource, job_id: str) -> None:
        super().__init__()
        self._model = model
        self._source = source
        self._job_id = job_id
        self._detail: JobDetail | None = None
        self._facts = Sheet(id="job-facts")
        self._head = Pane(self._facts, title="Job", id="detail-head")
        self._task_pane = TaskPane(model.clock, job_id)
        self._task_pane.add_class("-chosen")
        self._spec = Sheet(id="job-spec")
        self._event_pane = EventPane(model, source, subject=job_id, number=3)

    def compose(self) -> ComposeResult:
        yield self._head
        with Container(classes="detail-body"):
            yield self._task_pane
            with Container(classes="detail-side"):
                with Pane(number=2, title="Spec", id="job-spec-pane", classes="scrolled"), VerticalScroll():
                    yield self._spec
                yield self._event_pane
        yield KeyBar()

    def on_mount(self) -> None:
        self._ask()
        self.set_interval(_ASK_AGAIN_S, self._ask_while_live)

    def on_resize(self) -> None:
        self._show()

    def selected_jobs(self) -> Sequence[JobRow]:
        row = self._model.job(self._job_id) or (self._detail.job if self._detail is not None else None)
        return [] if row is None else [row]

    def apply(self, change: Change) -> None:
        """Show what changed."""
        self._event_pane.apply(change)
        if change.reset or self._job_id in change.jobs:
            self._show()
            self._ask()

    def tick(self) -> None:
        """A second has passed."""
        self._show_facts()
        self._task_pane.table.touch()
        self._event_pane.table.touch()

    def _ask_while_live(self) -> None:
        jobs = self.selected_jobs()
        if jobs and jobs[0].finished_at_ms is None:
            self._ask()

    def _ask(self) -> None:
        begin(self, self._fetch, "detail")

    async def _fetch(self) -> None:
        request = ShowJob(id=self._job_id, tasks_limit=_TASKS_SHOWN, events_limit=0)
        try:
            self._detail = (await ask(self._source, request, DetailAnswer)).detail
        except Unavailable:
            return  # the first line says so, and it is asked again
        except OpsconsoleError as error:
            if self._detail is None:
                self._facts.show([Line(cell(error.message, "state-failed"))])
        else:
            self._show()

    def _show(self) -> None:
        self._show_facts()
        detail = self._detail
        if detail is None:
            return
        self._task_pane.show_tasks(detail.tasks, detail.job.num_tasks)
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
        self._facts.show(job_facts(job, spec, self._model.clock(), self.size.width - 4))

    # -- verbs on marked tasks --------------------------------------------------------------------------------------

    def action_job_pause(self) -> None:
        if not self._on_marked("pause"):
            super().action_job_pause()

    def action_job_cancel(self) -> None:
        if not self._on_marked("cancel"):
            super().action_job_cancel()

    def action_job_retry(self) -> None:
        if not self._on_marked("retry"):
            super().action_job_retry()

    def action_job_hold(self) -> None:
        if not self._on_marked("hold"):
            super().action_job_hold()

    def _on_marked(self, verb: str) -> bool:
        """Carry out a verb on the marked tasks; False where none is marked."""
        ids = self._task_pane.marked_tasks
        if not ids or self._detail is None:
            return False
        states = {task.id: task.state for task in self._detail.tasks}
        if verb == "pause" and all(states.get(task_id) == "paused" for task_id in ids):
            verb = "resume"
        if verb == "hold" and all(states.get(task_id) == "held" for task_id in ids):
            verb = "release"
        home(self).do(partial(home(self).operations.act_on_tasks, verb, ids, self._detail.job.name))
        return True

    @on(LiveTable.RowSelected, "#task-table")
    def _open_task(self) -> None:
        self._task_pane.action_logs()
