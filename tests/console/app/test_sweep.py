"""A sweep as a grid in the console, and what is done to some of its tasks."""

from opsconsole_console.screen.metrics.metrics_screen import MetricsScreen
from opsconsole_console.screen.sweep.grid_view import GridView
from opsconsole_protocol import api
from tests.console.app.source import RecordedSource
from tests.console.app.stage import SMALL, Stage, stage

SWEEP = "51c7hh3d0v"
POINTS = tuple(
    {"lr": lr, "wd": wd, "seed": seed}
    for lr in ("1e-3", "0.01", "0.1")
    for wd in ("0", "1e-4", "0.1")
    for seed in ("1", "2")
)


async def opened(there: Stage) -> GridView:
    there.source.points = POINTS
    there.job("51c")
    await there.press("s")
    await there.until(lambda: there.screen_name == "SweepScreen" and "18 tasks" in there.text(), "the grid")
    return there.app.screen.query_one(GridView)


def tasks(*indices: int) -> tuple[str, ...]:
    return tuple(f"{SWEEP}/task-{index}" for index in indices)


async def test_two_parameters_span_the_grid_and_others_are_grouped(source: RecordedSource) -> None:
    async with stage(source, SMALL) as there:
        await opened(there)
        assert "lr \\ wd" in there.text()
        assert "each cell: all of seed" in there.text()
        assert "task-0 and 1 more  lr=1e-3 wd=0 seed=1" in there.text()
        await there.press("x")
        assert "wd \\ lr" in there.text()
        await there.press("x", "m", "o")
        assert "lr \\ seed" in there.text()
        assert "each cell: all of wd" in there.text()
        assert "least accuracy" in there.text()


async def test_a_verb_is_for_the_marked_cells_or_for_the_one_under_the_cursor(source: RecordedSource) -> None:
    async with stage(source, SMALL) as there:
        view = await opened(there)
        await there.press("down", "right", "r")
        await there.until(lambda: source.asked(api.Act))
        assert source.asked(api.Act)[-1] == api.Act(verb="retry", ids=tasks(8, 9))
        await there.press("space", "left", "space")
        assert "2 marked" in there.text()
        await there.press("c", "y")
        await there.until(lambda: len(source.asked(api.Act)) == 2)
        assert source.asked(api.Act)[-1] == api.Act(verb="cancel", ids=tasks(6, 7, 8, 9))
        await there.until(lambda: not view.marked, "the marks are taken off what something was done with")
        await there.press("home", "plus")
        await there.until(lambda: source.asked(api.SetPriority))
        assert source.asked(api.SetPriority) == [api.SetPriority(id=f"{SWEEP}/1", priority=1, relative=True)], (
            "task-0 has ended"
        )


async def test_only_some_tasks_are_shown_by_the_words_that_the_command_line_takes(source: RecordedSource) -> None:
    async with stage(source, SMALL) as there:
        view = await opened(there)
        await there.press("slash")
        await there.type("lr<0.1 state=failed")
        await there.press("enter")
        await there.until(lambda: "only lr<0.1 state=failed" in there.text())
        assert "3 tasks" in there.text()
        await there.press("a", "u")
        await there.until(lambda: isinstance(there.app.screen, MetricsScreen))
        await there.press("escape")
        await there.until(lambda: there.screen_name == "SweepScreen")
        assert len(view.marked) == 3
        await there.press("escape", "escape")
        assert "18 tasks" in there.text()
        await there.press("slash")
        await there.type("faild")
        await there.press("enter")
        await there.until(lambda: "says no tasks" in there.text())


async def test_a_grid_that_is_wider_than_the_screen_follows_the_cursor(source: RecordedSource) -> None:
    async with stage(source, SMALL) as there:
        source.points = tuple({"a": str(a), "b": str(b)} for a in range(30) for b in range(30))
        there.job("51c")
        await there.press("s")
        await there.until(lambda: "900 tasks" in there.text())
        await there.press("end", *["right"] * 29)
        assert "a=29 b=29" in there.text()
        line = next(line for line in there.text().splitlines() if line.startswith("│a"))
        assert line.split()[-2] == "29", line


async def test_what_has_no_parameters_says_so(source: RecordedSource) -> None:
    async with stage(source, SMALL) as there:
        source.points = ({}, {})
        await there.line("sweep 51c")
        await there.until(lambda: "none of its tasks has a parameter" in there.text())
        await there.press("c", "plus", "space", "u")
        assert there.screen_name == "SweepScreen"


async def test_values_of_any_text_are_data(source: RecordedSource) -> None:
    async with stage(source, SMALL) as there:
        source.points = tuple(
            {"a": f"\x1b[31m[red]{number}\n" + "w" * 200, "b\t": "模型" * number} for number in range(3)
        )
        await there.line("sweep 51c")
        await there.until(lambda: "3 tasks" in there.text())
        assert "[red]" in there.text()
        assert not set("\x1b\t") & set(there.text())
        assert all(strip.cell_length == SMALL[0] for strip in there.strips())
