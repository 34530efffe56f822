"""`v` on jobs or on a job's tasks, or `:compare JOB…`: runs side by side, kept up while they go on."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from opsconsole.fleet import Change
from opsconsole_console import format as fmt
from opsconsole_console.model.comparison import Run, table
from opsconsole_console.model.coverage import ALL, Coverage, Extent
from opsconsole_console.model.model import Model
from opsconsole_console.screen.compare.run_pane import RunPane
from opsconsole_console.screen.part.detail_screen import DetailScreen
from opsconsole_console.screen.part.key_bar import KeyBar
from opsconsole_console.screen.part.shell_access import run_exclusive, shell
from opsconsole_console.screen.part.text_prompt import TextPrompt
from opsconsole_console.service.run_feed import RUNS_MAX, RunFeed
from opsconsole_console.service.source import FleetSource
from opsconsole_console.service.table_file import write_table
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_protocol.error import InvalidRequest, OpsconsoleError, Unavailable
from opsconsole_protocol.state import TaskState, is_task_finished

_ASK_AGAIN_S = 2.0
_SHARE = 10
"""Asking takes at most this part of the time: one in ten."""
_FINISHED = frozenset(state for state in TaskState if is_task_finished(state))


class CompareScreen(DetailScreen):
    """Marked runs, or the one under the cursor, are drawn over each other on a screen of their own."""

    AUTO_FOCUS = "#run-table"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "u", "curves", "Curves", tooltip="The marked runs over each other, by the chosen metric", id="runs.curves"
        ),
        Binding("x", "export", "Export", tooltip="Into a CSV or Parquet file", id="runs.export"),
        Binding("y", "copy", "Copy id", show=False, id="runs.copy"),
    ]

    def __init__(self, model: Model, source: FleetSource, ids: Sequence[str]) -> None:
        """`ids`: jobs (`JOB`) and tasks (`JOB/task-N`)."""
        super().__init__()
        self._model = model
        self._ids = tuple(ids)
        self._job_ids = tuple(dict.fromkeys(one.partition("/")[0] for one in ids))
        self._feed = RunFeed(source, self._ids)
        self._pane = RunPane(model.short_ids.show)
        self._pane.add_class("-chosen")
        self._news = asyncio.Event()

    def compose(self) -> ComposeResult:
        yield self._pane
        yield KeyBar()

    def on_mount(self) -> None:
        self._show_subject()
        run_exclusive(self, self._follow, "runs")

    def apply(self, change: Change) -> None:
        """Ask anew where one of the jobs changed."""
        if change.reset or any(job_id in change.jobs for job_id in self._job_ids):
            self._news.set()

    def tick(self) -> None:
        """A second has passed: nothing here shows how long something takes."""

    # -- what is shown --------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Ask for as long as the screen lives: now and then while something runs, else once a job has changed."""
        while True:
            self._news.clear()
            began_s = time.monotonic()
            await self._read()
            pause_s = max(_ASK_AGAIN_S, _SHARE * (time.monotonic() - began_s))
            await asyncio.sleep(pause_s)
            if not self._is_live:
                await self._news.wait()

    async def _read(self) -> None:
        try:
            async for changed in self._feed.read(self._unfinished()):
                self._pane.show_runs(self._feed.runs, changed)
                self._show_subject()
        except Unavailable:
            return  # the first line says so, and it is asked again
        except OpsconsoleError as error:
            self._pane.table.set_empty(error.message)
            return
        note = f"the first {RUNS_MAX:,} runs are looked at"
        self._pane.set_coverage(Coverage(Extent.PART, note=note) if self._feed.is_cut else ALL)

    def _unfinished(self) -> dict[str, int]:
        jobs = [job for job in map(self._model.job, self._job_ids) if job is not None]
        return {job.id: sum(n for state, n in job.task_counts.items() if state not in _FINISHED) for job in jobs}

    @property
    def _is_live(self) -> bool:
        jobs = map(self._model.job, self._job_ids)
        return any(job is not None and job.finished_at_ms is None for job in jobs)

    def _show_subject(self) -> None:
        jobs = [job for job in map(self._model.job, self._job_ids) if job is not None]
        what = f"{jobs[0].id}  {jobs[0].name}" if len(self._job_ids) == 1 and jobs else f"{len(self._job_ids)} jobs"
        count = self._pane.table.total
        more = f", the first {RUNS_MAX:,}" if self._feed.is_cut else ""
        self._pane.subject = f"{what}  {fmt.plural(count, 'run')}{more}" if count else what

    # -- actions --------------------------------------------------------------------------------------------------

    def _chosen(self) -> list[Run]:
        """The marked runs in the order shown, or the one under the cursor."""
        table_ = self._pane.table
        rows = [table_.row(run_id) for run_id in table_.marked] or [table_.cursor_row]
        return [row for row in rows if row is not None]

    @on(LiveTable.RowSelected, "#run-table")
    def action_curves(self) -> None:
        if runs := self._chosen():
            ids = " ".join(run.id for run in runs)
            shell(self).navigation.open("metrics", f"{ids}\n{self._pane.metric or ''}")

    def action_copy(self) -> None:
        if runs := self._chosen():
            shell(self).copy(" ".join(run.id for run in runs), "the id" if len(runs) == 1 else "ids")

    @work(exclusive=True, group="export")
    async def action_export(self) -> None:
        """Write the shown runs in their order, with all columns."""
        pane = self._pane
        rows = [row for row in map(pane.table.row, pane.table.shown_ids) if row is not None]
        job_id = self._model.short_ids.show(self._job_ids[0])
        proposed = Path.cwd() / f"{job_id if len(self._job_ids) == 1 else 'runs'}.csv"
        answer = await self.app.push_screen_wait(
            TextPrompt(f"Write {fmt.plural(len(rows), 'run')} to which file? (.csv or .parquet)", str(proposed))
        )
        if not answer:
            return
        try:
            path = await asyncio.to_thread(_write, answer, *table(rows, pane.every_field, pane.of))
        except InvalidRequest as error:
            shell(self).say(error.message, "error")
        else:
            shell(self).say(f"wrote {fmt.plural(len(rows), 'run')} to {path}")


def _write(text: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Path:
    """Write a new file. Blocks. Raises InvalidRequest."""
    path = Path(text).expanduser()
    if path.exists():
        raise InvalidRequest(f"there is a {path} already: choose another name")
    write_table(path, header, rows)
    return path
