"""What tasks have reported, as a table and as curves."""

from opsconsole_console.screen.metrics.metric_pane import MetricPane
from opsconsole_console.screen.metrics.metrics_screen import CURVES_MAX
from opsconsole_console.widget.curve.chart import TONES
from opsconsole_console.widget.curve.curve_view import CurveView
from opsconsole_console.widget.curve.scale import Unit
from opsconsole_protocol import api
from opsconsole_protocol.error import Unavailable
from tests.console.app.source import RecordedSource
from tests.console.app.stage import SMALL, Stage, stage


def view(there: Stage) -> CurveView:
    return there.app.screen.query_one(CurveView)


def drawn(there: Stage) -> list[str]:
    """The curves, by their names."""
    return [one.name for one in view(there).sheet.series]


async def metrics(there: Stage, job: str) -> MetricPane:
    """The screen of a job, its first curve drawn."""
    there.job(job)
    await there.press("u")
    await there.until(lambda: drawn(there), "a curve")
    return there.app.screen.query_one(MetricPane)


async def test_the_loss_is_looked_at_first_and_the_cursor_chooses_another(source: RecordedSource) -> None:
    async with stage(source) as there:
        pane = await metrics(there, "42f")
        assert pane.table.shown_ids == ["loss", "accuracy", "lr"]
        assert drawn(there) == ["loss"]
        await there.press("down")
        await there.until(lambda: drawn(there) == ["accuracy"])
        await there.press("space")
        pane.table.move_to("lr")
        await there.press("space")
        await there.until(lambda: drawn(there) == ["accuracy", "lr"])


async def test_the_tasks_of_a_sweep_have_a_curve_each_named_by_what_differs(source: RecordedSource) -> None:
    async with stage(source) as there:
        await metrics(there, "51c")
        assert drawn(there) == ["seed=0", "seed=1", "seed=2"]
        for _ in range(3):
            await there.press("space")
        await there.until(lambda: len(drawn(there)) == CURVES_MAX)
        assert "1 more aren't drawn" in there.text()


async def test_from_compared_runs_the_curves_are_shown_at_once_on_a_small_screen_too(source: RecordedSource) -> None:
    """A table of metrics was shown in their place, and nothing there said how to get to the curves."""
    async with stage(source, SMALL) as there:
        await metrics(there, "51c")
        assert "⏎ Curves" in there.text()
        await there.press("escape")
        await there.line("compare 51c")
        await there.until(lambda: "LOSS" in there.text())
        await there.press("u")
        await there.until(lambda: there.has_focus(view(there)) and drawn(there), "the curves")


async def test_over_time_it_counts_from_the_first_point(source: RecordedSource) -> None:
    async with stage(source) as there:
        await metrics(there, "42f")
        await there.press("enter")
        assert there.has_focus(view(there))
        await there.press("x")
        await there.until(lambda: view(there).sheet.unit is Unit.TIME_S)
        assert view(there).sheet.series[0].x[0] == 0
        await there.press("escape")
        assert there.screen_name == "MainScreen"


async def test_what_can_not_be_read_is_said_in_the_table(source: RecordedSource) -> None:
    source.refuse = (api.ReadMetrics, Unavailable("what 42f reported can't be read: Input/output error"))
    async with stage(source) as there:
        await there.line("metrics 42f")
        await there.until(lambda: "Input/output error" in there.text())


def below(there: Stage) -> list[str]:
    """What is drawn under the curves."""
    return [one.name for one in view(there).sheet.below]


async def test_gpus_are_shown_under_the_curves_on_the_same_time_axis(source: RecordedSource) -> None:
    async with stage(source, SMALL) as there:
        await metrics(there, "42f")
        assert not any(one.gpus for one in source.asked(api.ReadMetrics) if isinstance(one, api.ReadMetrics))
        await there.press("u")
        await there.until(lambda: below(there))
        assert view(there).sheet.unit is Unit.TIME_S
        assert below(there) == ["GPU use, %", "GPU memory, % of 80G"]
        assert view(there).sheet.below_limits == (0, 100)
        assert view(there).sheet.below[0].x[0] == 0
        assert all(0 <= one.x[0] < one.x[-1] <= view(there).sheet.series[0].x[-1] for one in view(there).sheet.below)
        await there.press("2", "x")
        await there.until(lambda: "GPUs: over time (x)" in there.text())
        assert not below(there)
        await there.press("u")
        await there.until(lambda: below(there))
        assert "GPU use, %" in there.text()
        await there.press("u")
        await there.until(lambda: not below(there))


async def test_of_several_runs_one_thing_is_shown_of_their_gpus_in_the_tones_of_their_curves(
    source: RecordedSource,
) -> None:
    async with stage(source) as there:
        await metrics(there, "51c")
        await there.press("u")
        await there.until(lambda: below(there))
        assert below(there) == ["seed=0", "seed=1", "seed=2"]
        assert [one.tone for one in view(there).sheet.below] == list(TONES[:3])
        assert "GPU use, %" in there.text()
        await there.press("u")
        await there.until(lambda: "GPU memory, %" in there.text())
        await there.press("u")
        await there.until(lambda: not below(there))
