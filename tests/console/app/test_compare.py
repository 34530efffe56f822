"""Runs side by side in the console."""

import csv
from pathlib import Path

import pytest
from msgspec.structs import replace

from opsconsole_console.model.comparison import Of
from opsconsole_console.screen.compare import compare_screen
from opsconsole_console.screen.compare.run_pane import RunPane
from opsconsole_console.screen.metrics.metrics_screen import MetricsScreen
from opsconsole_console.service.run_feed import PAGE_RUNS
from opsconsole_console.widget.curve.curve_view import CurveView
from opsconsole_protocol import api
from opsconsole_protocol.error import NotFound
from tests.console.app.source import RecordedSource
from tests.console.app.stage import SMALL, Stage, stage


async def compare(there: Stage, runs: int = 3) -> RunPane:
    """The runs of the sweep, all here."""
    there.job("51c")
    await there.press("v")
    pane = there.app.screen.query_one(RunPane)
    await there.until(lambda: pane.table.total == runs, "the runs")
    return pane


SWEEP = "51c7hh3d0v"


def pages(source: RecordedSource) -> set[int]:
    """From which tasks on metrics were asked for."""
    return {one.tasks_from for one in source.asked(api.ReadMetrics) if isinstance(one, api.ReadMetrics)}


def shown(pane: RunPane) -> list[str]:
    return [row_id.partition("/")[2] for row_id in pane.table.shown_ids]


def titles(pane: RunPane) -> list[str]:
    return [column.title for column in pane.table.columns]


async def test_runs_are_rows_and_what_differs_is_a_column(source: RecordedSource) -> None:
    async with stage(source, SMALL) as there:
        pane = await compare(there)
        assert shown(pane) == ["task-0", "task-1", "task-2"]
        assert titles(pane) == ["RUN", "STATE", "SEED", "LOSS", "ACCURACY", "LR"]
        assert "succeeded" in there.text()
        assert "more: m" not in there.text()
        await there.pilot.resize_terminal(50, 24)
        await there.until(lambda: "2 columns more: m" in there.text())


async def test_sorted_by_any_column_from_the_keyboard_and_by_its_header(source: RecordedSource) -> None:
    async with stage(source) as there:
        pane = await compare(there)
        for _ in range(4):
            await there.press("greater_than_sign")
        assert pane.table.sorted_by == "metric loss"
        assert shown(pane) == ["task-2", "task-1", "task-0"]
        await there.press("r")
        assert shown(pane) == ["task-0", "task-1", "task-2"]
        await there.press("less_than_sign")
        assert pane.table.sorted_by == "parameter seed"
        await there.press("R")
        assert pane.table.sorted_by == "run"
        slot = next(one for one in pane.table._row_strips.slots if titles(pane)[one.column] == "LOSS")
        await there.pilot.click(pane.table, offset=(slot.left + slot.width - 1, 0))
        assert pane.table.sorted_by == "metric loss"


async def test_another_value_of_each_metric_is_sorted_anew(source: RecordedSource) -> None:
    async with stage(source) as there:
        pane = await compare(there)
        pane.table.sort_by("metric loss")
        await there.press("o", "o")
        assert pane.of is Of.GREATEST
        assert "greatest of each metric" in there.text()
        rows = [pane.table.row(row_id) for row_id in pane.table.shown_ids]
        values = [row.metrics["loss"].greatest for row in rows if row is not None]
        assert values == sorted(values)
        assert shown(pane) != ["task-2", "task-1", "task-0"]


async def test_the_chosen_metric_stands_first_and_is_drawn_of_the_marked_runs(source: RecordedSource) -> None:
    async with stage(source) as there:
        pane = await compare(there)
        await there.press("m")
        assert titles(pane)[3:] == ["ACCURACY", "LOSS", "LR"]
        before = len(source.asked(api.ReadMetrics))
        await there.press("space", "space", "u")
        assert isinstance(there.app.screen, MetricsScreen)
        view = there.app.screen.query_one(CurveView)
        await there.until(lambda: view.sheet.series)
        assert [one.name for one in view.sheet.series] == ["seed=0", "seed=1"]
        asked = {one.id for one in source.asked(api.ReadMetrics)[before:]}  # type: ignore[union-attr]
        assert asked - {SWEEP} == {f"{SWEEP}/task-0", f"{SWEEP}/task-1"}, (
            "the page below asks for the whole sweep in between"
        )
        assert "accuracy" in there.text()
        await there.press("escape")
        pane.table.clear_marks()
        await there.press("enter")
        assert isinstance(there.app.screen, MetricsScreen)


async def test_runs_go_on_and_only_pages_where_some_run_are_asked_for(
    source: RecordedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare_screen, "_ASK_AGAIN_S", 0.01)
    monkeypatch.setattr(compare_screen, "_SHARE", 0)
    source.reporting = PAGE_RUNS + 2
    source.enlarge("51c", PAGE_RUNS + 2)
    async with stage(source) as there:
        pane = await compare(there, PAGE_RUNS + 2)
        source.over = set(range(PAGE_RUNS))
        source.change_jobs(
            replace(job := source.fleet.jobs[SWEEP], task_counts={"running": 1, "succeeded": PAGE_RUNS + 1})
        )
        await there.until(lambda: pane.table.row(f"{SWEEP}/task-1").is_over)  # type: ignore[union-attr]
        source.requests.clear()
        source.shift = 1.0
        last = f"{SWEEP}/task-{PAGE_RUNS + 1}"
        await there.until(lambda: pane.table.row(last).metrics["loss"].last > 1)  # type: ignore[union-attr]
        assert pages(source) == {PAGE_RUNS}
        source.requests.clear()
        source.change_jobs(replace(job, task_counts={"running": 2, "succeeded": PAGE_RUNS}))
        await there.until(lambda: pages(source) == {0, PAGE_RUNS}, "all pages, after a retry")


async def test_marked_tasks_of_a_job_are_compared_alone(source: RecordedSource) -> None:
    async with stage(source) as there:
        await there.line("show 51c")
        table = there.app.screen.query_one("#task-table")
        await there.until(lambda: table.total == 32)  # type: ignore[attr-defined]
        table.move_to("1")  # type: ignore[attr-defined]
        table.focus()
        await there.press("space", "space", "v")
        pane = there.app.screen.query_one(RunPane)
        await there.until(lambda: pane.table.total == 2)
        assert shown(pane) == ["task-1", "task-2"]


async def test_what_is_shown_goes_into_a_file_in_its_order(
    source: RecordedSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with stage(source) as there:
        pane = await compare(there)
        pane.table.sort_by("metric loss")
        pane.set_filter("seed>=1")
        await there.press("x")
        await there.press("enter")
        file = tmp_path / "51c7.csv"
        await there.until(file.exists)
        await there.until(lambda: there.toasts)
        lines = list(csv.reader(file.read_text().splitlines()))
        assert lines[0] == ["run", "job", "state", "seed", "loss", "accuracy", "lr"]
        assert [line[0] for line in lines[1:]] == pane.table.shown_ids
        assert len(lines) == 3
        await there.press("x")
        await there.press("enter")
        await there.until(lambda: "already" in there.toasts[-1])


async def test_a_job_that_is_gone_is_said_in_the_table(source: RecordedSource) -> None:
    source.refuse = (api.ReadMetrics, NotFound("there is no 51c7hh3d0v here"))
    async with stage(source) as there:
        there.job("51c")
        await there.press("v")
        await there.until(lambda: "there is no 51c7hh3d0v here" in there.text())


@pytest.mark.parametrize(
    ("typed", "ids"),
    [
        ("51c", [SWEEP]),
        ("51c 51c", [SWEEP]),
        ("51c/task-1 51c/task-2", [f"{SWEEP}/task-1", f"{SWEEP}/task-2"]),
    ],
)
async def test_a_command_takes_several_jobs_and_tasks(source: RecordedSource, typed: str, ids: list[str]) -> None:
    async with stage(source, SMALL) as there:
        there.app.command_line.run(f":compare {typed}")
        await there.until(lambda: isinstance(there.app.screen, compare_screen.CompareScreen), "the runs")
        assert isinstance(there.app.screen, compare_screen.CompareScreen)
        assert list(there.app.screen._ids) == ids


async def test_a_command_takes_a_filter_and_says_where_nothing_matches(source: RecordedSource) -> None:
    async with stage(source, SMALL) as there:
        there.app.command_line.run(":compare project=nobody")
        await there.until(lambda: "no job matches project=nobody" in there.text(), "the reason")
        there.app.command_line.run(f":compare id={SWEEP}")
        await there.until(lambda: isinstance(there.app.screen, compare_screen.CompareScreen), "the runs")
        assert isinstance(there.app.screen, compare_screen.CompareScreen)
        assert list(there.app.screen._ids) == [SWEEP]
