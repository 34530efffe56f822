"""`u` on jobs, tasks or compared runs, or `:metrics JOB`: what their tasks have reported, as figures and as curves that go on by themselves."""

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from opsconsole.ask import ask
from opsconsole.fleet import Change
from opsconsole_console.model.coverage import ALL
from opsconsole_console.model.metric import GpuView, curves, first_shown, gpu_curves, metric_lines
from opsconsole_console.model.model import Model
from opsconsole_console.screen.metrics.metric_pane import MetricPane
from opsconsole_console.screen.part.detail_screen import DetailScreen
from opsconsole_console.screen.part.key_bar import KeyBar
from opsconsole_console.screen.part.shell_access import run_exclusive
from opsconsole_console.service.source import FleetSource
from opsconsole_console.widget.curve.chart import TONES, Sheet
from opsconsole_console.widget.curve.curve_view import CurveView
from opsconsole_console.widget.curve.scale import Unit
from opsconsole_console.widget.curve.series import Series
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_console.widget.pane import Pane
from opsconsole_protocol.api import Axis, MetricsAnswer, ReadMetrics, RunRow
from opsconsole_protocol.error import OpsconsoleError

_ASK_AGAIN_S = 2.0
_POINTS = 10_000
"""Of each curve: enough to zoom in by a factor of a dozen, with every extreme among them."""
CURVES_MAX = len(TONES)
"""More over each other can't be told apart."""
_IDS_MAX = 20
_PERCENT = (0.0, 100.0)


class CurvePane(Pane):
    """The curves."""

    def __init__(self) -> None:
        super().__init__(number=2, title="Curves", id="curves")
        self.view = CurveView(Sheet(), id="curve-view")

    def compose(self) -> ComposeResult:
        yield self.view


class MetricsScreen(DetailScreen):
    """Marked metrics are drawn over each other, else the one under the cursor; of several jobs or tasks a curve each."""

    AUTO_FOCUS = "#metric-table"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "u", "gpus", "GPUs", tooltip="GPU memory and use under the curves, on the same time axis", id="curves.gpus"
        ),
    ]

    def __init__(self, model: Model, source: FleetSource, ids: Sequence[str], first: str = "") -> None:
        """`ids`: jobs (`JOB`) and tasks (`JOB/task-N`). `first`: the metric to look at first; empty: a well-known one."""
        super().__init__()
        self._model = model
        self._source = source
        self._ids = tuple(ids)[:_IDS_MAX]
        self._job_ids = tuple(dict.fromkeys(one.partition("/")[0] for one in self._ids))
        self._first = first
        self._metrics = MetricPane()
        self._metrics.add_class("-chosen")
        self._curves = CurvePane()
        self._unit = Unit.STEP
        self._gpu_view = GpuView.OFF
        self._has_chosen = False
        self._run_count = 0
        """How many runs are drawn."""

    def compose(self) -> ComposeResult:
        with Container(classes="detail-body"):
            yield self._metrics
            yield self._curves
        yield KeyBar()

    def on_mount(self) -> None:
        self._metrics.subject = self._subject()
        if (
            self._first
        ):  # whoever names a metric wants to see its curve, also where the table would leave no room for it
            self.action_pane(self._curves.number)
        self._request()
        self.set_interval(_ASK_AGAIN_S, self._request_while_live)

    def apply(self, change: Change) -> None:
        """Ask anew where one of the jobs changed."""
        if change.reset or any(job_id in change.jobs for job_id in self._job_ids):
            self._request()

    def tick(self) -> None:
        """A second has passed: nothing here shows how long something takes."""

    def _subject(self) -> str:
        jobs = [job for job in map(self._model.job, self._job_ids) if job is not None]
        tasks = [one for one in self._ids if "/" in one]
        if len(self._ids) > 1:
            return f"{len(tasks)} tasks" if tasks else f"{len(self._ids)} jobs"
        return "  ".join([*self._ids, *(job.name for job in jobs)])

    # -- what is asked for ----------------------------------------------------------------------------------------

    def _request_while_live(self) -> None:
        jobs = map(self._model.job, self._job_ids)
        if any(job is not None and job.finished_at_ms is None for job in jobs):
            self._request()

    def _request(self) -> None:
        run_exclusive(self, self._fetch, "metrics")

    async def _fetch(self) -> None:
        """Ask for all metrics, with the points of those that are drawn."""
        try:
            runs = await self._runs(self._drawn())
            if not self._has_chosen and (name := self._first_of(runs)) is not None:
                runs = await self._runs((name,))
        except OpsconsoleError as error:
            self._metrics.table.set_empty(error.message)
            return
        self._metrics.table.set_rows(metric_lines(runs))
        self._metrics.set_coverage(ALL)
        self._metrics.table.flush()
        if not self._has_chosen and (name := self._first_of(runs)) is not None:
            self._has_chosen = True
            self._metrics.table.move_to(name)
        self._draw(runs)

    def _first_of(self, runs: Sequence[RunRow]) -> str | None:
        lines = metric_lines(runs)
        return self._first if self._first in lines else first_shown(lines)

    async def _runs(self, names: Sequence[str]) -> list[RunRow]:
        axis = Axis.TIME if self._unit is Unit.TIME_S else Axis.STEP
        runs: list[RunRow] = []
        for one in self._ids:
            wants_gpus = self._gpu_view is not GpuView.OFF and bool(names)
            request = ReadMetrics(id=one, names=tuple(names), axis=axis, points_max=_POINTS, gpus=wants_gpus)
            runs += (await ask(self._source, request, MetricsAnswer)).runs
        return runs

    def _drawn(self) -> list[str]:
        table = self._metrics.table
        cursor = [table.cursor_id] if table.cursor_id is not None else []
        return table.marked[:CURVES_MAX] or cursor

    # -- what is drawn --------------------------------------------------------------------------------------------

    def _draw(self, runs: Sequence[RunRow]) -> None:
        names = self._drawn()
        over_time = self._unit is Unit.TIME_S
        found = curves(runs, names, over_time=over_time)
        series = [Series(one.name, one.x, one.y) for one in found[:CURVES_MAX]]
        tones: dict[str, str] = {}
        for one, tone in zip(found, TONES, strict=False):
            tones.setdefault(one.run, tone)
        self._run_count = len(tones)
        below = []
        if over_time:
            drawn = gpu_curves([run for run in runs if run.task_id in tones], self._gpu_view)
            below = [Series(one.name, one.x, one.y, tones[one.run] if len(tones) > 1 else "") for one in drawn]
        self._curves.subject = ", ".join(names)
        self._curves.state = "  ".join(filter(None, self._remarks(len(found) - len(series), has_gpus=bool(below))))
        self._curves.view.show(Sheet(series, below, self._unit, _PERCENT))

    def _remarks(self, left_out: int, *, has_gpus: bool) -> Sequence[str]:
        """What the frame says of curves that aren't there."""
        gpus = str(self._gpu_view) if self._run_count > 1 else ""
        if self._gpu_view is not GpuView.OFF and not has_gpus:
            gpus = "no GPU was measured" if self._unit is Unit.TIME_S else "GPUs: over time (x)"
        return f"{left_out} more aren't drawn" if left_out > 0 else "", gpus

    def action_gpus(self) -> None:
        """Show the GPUs under the curves, which are then over time; what is shown of them comes round to nothing again."""
        if self._gpu_view is not GpuView.OFF and self._unit is not Unit.TIME_S:
            self._unit = Unit.TIME_S
        else:
            self._gpu_view = self._gpu_view.after(several=self._run_count > 1)
            self._unit = Unit.TIME_S if self._gpu_view is not GpuView.OFF else self._unit
        self._request()

    @on(LiveTable.RowHighlighted, "#metric-table")
    @on(LiveTable.RowsMarked, "#metric-table")
    def _draw_chosen(self) -> None:
        if self._has_chosen:
            self._request()

    @on(LiveTable.RowSelected, "#metric-table")
    def _go_to_curves(self) -> None:
        self.action_pane(self._curves.number)

    @on(CurveView.UnitWanted)
    def _change_unit(self, event: CurveView.UnitWanted) -> None:
        event.stop()
        self._unit = event.unit
        self._request()
