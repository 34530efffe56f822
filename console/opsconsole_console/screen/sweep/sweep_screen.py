"""`s` on a job, or `:sweep JOB`: its tasks as a grid by two of their parameters, and what can be done to some of them."""

import asyncio
from collections.abc import Sequence
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from opsconsole.ask import ask
from opsconsole.fleet import Change
from opsconsole_console import format as fmt
from opsconsole_console.model.comparison import Kind as FieldKind
from opsconsole_console.model.comparison import Of, Run, fields
from opsconsole_console.model.metric import first_shown
from opsconsole_console.model.model import Model
from opsconsole_console.model.sweep_grid import Grid, fact_of, grid_of, pairs, varying
from opsconsole_console.screen.part.detail_screen import DetailScreen
from opsconsole_console.screen.part.job_action import JobActions, job_bindings
from opsconsole_console.screen.part.key_bar import KeyBar
from opsconsole_console.screen.part.line_view import Line, LineView
from opsconsole_console.screen.part.shell_access import run_exclusive, shell
from opsconsole_console.screen.part.text_prompt import TextPrompt
from opsconsole_console.screen.sweep.grid_view import GridView
from opsconsole_console.service.run_feed import RUNS_MAX, RunFeed
from opsconsole_console.service.source import FleetSource
from opsconsole_console.widget.cell import cell, joined
from opsconsole_console.widget.pane import Pane
from opsconsole_console.widget.sign import sign, tally
from opsconsole_protocol.api import DetailAnswer, JobRow, ShowJob
from opsconsole_protocol.error import InvalidRequest, OpsconsoleError, Unavailable
from opsconsole_protocol.spec import NUM_TASKS_MAX
from opsconsole_protocol.state import TaskState, is_task_finished
from opsconsole_protocol.task_selection import point_words, read_selection

_ASK_AGAIN_S = 2.0
_ANY = "any"
_NOTHING = "none of its tasks has a parameter: see `opsconsole submit --sweep`"


class SweepScreen(DetailScreen, JobActions):
    """Verbs mean the tasks of the marked cells, or of the one under the cursor."""

    AUTO_FOCUS = "#sweep-grid"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "axes", "Axes", tooltip="Other parameters down and across", id="sweep.axes"),
        Binding("m", "metric(1)", "Metric", tooltip="Show the next metric", id="sweep.metric"),
        Binding("M", "metric(-1)", "Metric before", show=False, tooltip="Show the metric before", id="sweep.metric_before"),
        Binding("o", "of", "Value", show=False, tooltip="The last, least or greatest of the metric", id="sweep.of"),
        Binding("slash", "only", "Filter", key_display="/", tooltip="Only tasks such as failed, 3-7 or lr=0.1", id="sweep.filter"),
        Binding("t", "at_once", "At once", tooltip="How many of its tasks run at a time", id="sweep.at_once"),
        Binding("enter", "job_metrics", "Curves", show=False, tooltip="Of the marked cells", id="sweep.curves"),
        *job_bindings("job.new", "job.logs", "job.why", show=False),
    ]  # fmt: skip

    def __init__(self, model: Model, source: FleetSource, job_id: str) -> None:
        super().__init__()
        self._model = model
        self._source = source
        self._job_id = job_id
        self._feed = RunFeed(source, (job_id,))
        self._view = GridView(id="sweep-grid")
        self._about = LineView(id="sweep-about")
        self._pane = Pane(self._view, self._about, number=1, title="Sweep", id="sweep-pane", classes="-chosen")
        self._grid = Grid()
        self._runs: list[Run] = []
        self._axes = 0
        self._metric: str | None = None
        self._of = Of.LAST
        self._only = ""
        self._news = asyncio.Event()

    def compose(self) -> ComposeResult:
        yield self._pane
        yield KeyBar()

    def on_mount(self) -> None:
        self._show()
        run_exclusive(self, self._follow, "runs")

    def apply(self, change: Change) -> None:
        """Ask anew where the job changed."""
        if change.reset or self._job_id in change.jobs:
            self._news.set()

    def tick(self) -> None:
        """A second has passed: nothing here shows how long something takes."""

    async def _follow(self) -> None:
        """Ask for as long as the screen lives: when the job has changed, and now and then while it goes on."""
        while True:
            self._news.clear()
            await self._read()
            job = self._model.job(self._job_id)
            wait_s = _ASK_AGAIN_S if job is not None and job.finished_at_ms is None else None
            try:
                async with asyncio.timeout(wait_s):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _read(self) -> None:
        job = self._model.job(self._job_id)
        unfinished = (
            0
            if job is None
            else sum(n for state, n in job.task_counts.items() if not is_task_finished(TaskState(state)))
        )
        try:
            async for _ in self._feed.read({self._job_id: unfinished}):
                self._show()
        except Unavailable:
            return  # the first line says so, and it is asked again
        except OpsconsoleError as error:
            self._view.say(error.message)
            return
        self._view.say("" if varying(self._feed.runs.values()) else _NOTHING)

    # -- what is shown --------------------------------------------------------------------------------------------

    def _show(self) -> None:
        every = list(self._feed.runs.values())
        self._runs = self._chosen_runs(every)
        names = varying(every)
        axes = pairs(names)
        self._grid = grid_of(self._runs, axes[self._axes % len(axes)]) if names and self._runs else Grid()
        metrics = self._metrics()
        if self._metric not in metrics:
            self._metric = first_shown(metrics)
        facts = {place: fact_of(runs, self._metric, self._of) for place, runs in self._grid.cells.items()}
        self._view.is_filtered = bool(self._only)
        self._view.show(self._grid, facts)
        self._show_state()

    def _chosen_runs(self, runs: list[Run]) -> list[Run]:
        """Those that the filter lets through; all of them where it means none any more."""
        if not self._only or not runs:
            return runs
        states = [TaskState(run.state) for run in runs]
        picked = read_selection(self._only).pick(states, [run.parameters for run in runs])
        return [runs[index] for index in picked]

    def _metrics(self) -> list[str]:
        return [one.name for one in fields(self._feed.runs.values(), self._of) if one.kind is FieldKind.METRIC]

    @on(GridView.Moved)
    def _show_state(self) -> None:
        job = self._model.job(self._job_id)
        name = f"{self._job_id}  {job.name}" if job is not None else self._job_id
        more = f", the first {RUNS_MAX:,}" if self._feed.is_cut else ""
        self._pane.subject = f"{name}  {fmt.plural(len(self._runs), 'task')}{more}"
        words = [f"{len(self._view.marked)} marked"] if self._view.marked else []
        words += [f"only {self._only}"] if self._only else []
        words += [f"{self._of} {self._metric}"] if self._metric else []
        self._pane.state = "  ".join(words)
        self._about.show(self._about_lines(job))
        self.refresh_bindings()

    def _about_lines(self, job: JobRow | None) -> list[Line]:
        counts = tally({} if job is None else job.task_counts)
        grouped = f"each cell: all of {', '.join(self._grid.others)}" if self._grid.others else ""
        first = Line(counts, cell(grouped, "text-muted"))
        runs = self._grid.runs(self._view.cursor)
        if not runs:
            return [first, Line(cell("no task has these values" if self._grid.rows else "", "text-muted"))]
        run = runs[0]
        shown = sign(run.state)
        values = "  ".join(f"{one.name} {getattr(one, self._of):.5g}" for one in run.metrics.values())
        more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
        parts = [
            cell(f"{run.name}{more}", "bold"),
            cell(point_words(run.parameters)),
            cell(f"{shown.glyph} {shown.word}", shown.tone),
        ]
        return [first, Line(joined(parts, "  "), cell(values, "text-muted"))]

    # -- what is meant --------------------------------------------------------------------------------------------

    def selected_jobs(self) -> Sequence[JobRow]:
        job = self._model.job(self._job_id)
        return [] if job is None else [job]

    def selected_runs(self) -> Sequence[str]:
        return [run.id for run in self._selected()]

    def _selected(self) -> list[Run]:
        return [run for place in self._view.chosen for run in self._grid.runs(place)]

    def _act(self, verb: str, *, other: tuple[str, TaskState] | None = None) -> None:
        """Carry out a verb on the selected tasks; or the `other` one, where all of them are in its state."""
        runs = self._selected()
        job = self._model.job(self._job_id)
        if not runs:
            return
        if other is not None and all(run.state == other[1] for run in runs):
            verb = other[0]

        async def carried_out() -> None:
            ids = [run.id for run in runs]
            if await shell(self).operations.act_on_tasks(verb, ids, self._job_id if job is None else job.name):
                self._view.clear_marks()

        shell(self).do(carried_out)

    def action_job_pause(self) -> None:
        self._act("pause", other=("resume", TaskState.PAUSED))

    def action_job_hold(self) -> None:
        self._act("hold", other=("release", TaskState.HELD))

    def action_job_cancel(self) -> None:
        self._act("cancel")

    def action_job_retry(self) -> None:
        self._act("retry")

    def action_job_priority(self, by: int) -> None:
        runs = self._selected()
        indices = sorted(int(run.name.rpartition("-")[2]) for run in runs if not run.is_over)

        async def carried_out() -> None:
            await shell(self).operations.change_task_priority(self._job_id, indices, by)

        if runs:
            shell(self).do(carried_out)

    def action_job_logs(self) -> None:
        if runs := self._grid.runs(self._view.cursor):
            shell(self).navigation.open_logs(self._job_id, int(runs[0].name.rpartition("-")[2]))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide what changes something from those who may only look."""
        if action == "at_once" and shell(self).read_only:
            return False
        return super().check_action(action, parameters)

    def action_at_once(self) -> None:
        """Ask how many of its tasks may run at a time."""
        shell(self).do(self._change_at_once)

    async def _change_at_once(self) -> None:
        detail = await ask(self._source, ShowJob(id=self._job_id, tasks_limit=0, events_limit=0), DetailAnswer)
        most = detail.detail.spec.max_parallel
        before = _ANY if most is None else str(most)

        async def check(text: str) -> str:
            read_at_once(text)
            return ""

        question = TextPrompt("How many of its tasks may run at a time? A number, or any", before, check)
        after = await self.app.push_screen_wait(question)
        if after and after != before:
            await shell(self).operations.set_parallel(self._job_id, read_at_once(after))

    # -- how it is shown ------------------------------------------------------------------------------------------

    def action_axes(self) -> None:
        self._axes += 1
        self._show()

    def action_metric(self, step: int) -> None:
        if metrics := self._metrics():
            place = metrics.index(self._metric) if self._metric in metrics else 0
            self._metric = metrics[(place + step) % len(metrics)]
            self._show()

    def action_of(self) -> None:
        self._of = self._of.next
        self._show()

    @on(GridView.Unfiltered)
    def _show_all(self) -> None:
        self._only = ""
        self._show()

    @work(exclusive=True, group="only")
    async def action_only(self) -> None:
        """Ask which tasks to show."""
        text = await self.app.push_screen_wait(
            TextPrompt("Show only which tasks? failed, 3-7, lr=0.1 …", self._only, self._check_only)
        )
        if text:
            self._only = text
            self._show()

    async def _check_only(self, text: str) -> str:
        runs = list(self._feed.runs.values())
        if not read_selection(text).pick([TaskState(run.state) for run in runs], [run.parameters for run in runs]):
            raise InvalidRequest("no task is in that state, or meets that condition")
        return ""


def read_at_once(text: str) -> int | None:
    """How many at a time; None: any number. Raises InvalidRequest."""
    text = text.strip()
    if text == _ANY:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= NUM_TASKS_MAX):
        raise InvalidRequest(f"a number from 1 to {NUM_TASKS_MAX:,}, or any")
    return int(text)
