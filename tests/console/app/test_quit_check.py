"""Leaving a console that runs the coordinator asks first when others need it (hard use 26)."""

from msgspec.structs import replace

from tests.console.app.source import RecordedSource
from tests.console.app.stage import stage


def own(source: RecordedSource) -> str:
    """The worker that stops with the console."""
    return source.snapshot.workers[0].id


def idle(source: RecordedSource) -> None:
    """No job is left to do, and only the console's own worker is there."""
    one = replace(source.snapshot.workers[0], connection="connected")
    source.snapshot = replace(source.snapshot, workers=(one,), jobs=source.snapshot.jobs[-1:])
    ended = replace(source.snapshot.jobs[0], state="succeeded", finished_at_ms=1, task_counts={"succeeded": 1})
    source.snapshot = replace(source.snapshot, jobs=(ended,))


async def test_it_names_who_would_miss_it_and_stays_unless_told(source: RecordedSource) -> None:
    source.watchers = ("ana", "bo", "ana")
    async with stage(source, own_worker=lambda: own(source)) as there:
        await there.press("q")
        await there.until(lambda: there.screen_name == "ConfirmScreen")
        shown = there.text()
        assert "Stop this coordinator?" in shown
        assert "other consoles: ana, bo" in shown or "other consoles: bo, ana" in shown
        workers = next(line for line in shown.splitlines() if "  workers: " in line)
        assert source.snapshot.workers[1].name in workers
        assert f" {source.snapshot.workers[0].name}," not in workers
        begins = (
            "It runs in this console.",
            "other consoles:",
            "workers:",
            "jobs at work,",
            "jobs that wait,",
            "`opsconsole",
        )
        counted = [sum(begin in line for begin in begins) for line in shown.splitlines()]
        assert sum(counted) == len(begins)
        assert max(counted) == 1, "each on a line of its own"
        await there.press("q")
        assert there.screen_name == "MainScreen"
        assert not there.app._exit
        await there.press("ctrl+c")
        await there.until(lambda: there.screen_name == "ConfirmScreen")
        await there.press("y")
        await there.until(lambda: there.app._exit)
        assert there.app.return_value == 0


async def test_it_leaves_at_once_where_nobody_would_miss_it(source: RecordedSource) -> None:
    idle(source)
    async with stage(source, own_worker=lambda: own(source)) as there:
        await there.press("q")
        await there.until(lambda: there.app._exit)


async def test_one_other_console_is_enough_to_ask(source: RecordedSource) -> None:
    idle(source)
    source.watchers = ("ana", "ana")
    async with stage(source, own_worker=lambda: own(source)) as there:
        await there.press("q")
        await there.until(lambda: there.screen_name == "ConfirmScreen")
        assert "other consoles: ana" in there.text()


async def test_a_view_of_a_coordinator_elsewhere_leaves_at_once(source: RecordedSource) -> None:
    async with stage(source) as there:
        await there.press("q")
        await there.until(lambda: there.app._exit)


async def test_one_whose_coordinator_is_gone_leaves_at_once(source: RecordedSource) -> None:
    async with stage(source, own_worker=lambda: own(source)) as there:
        source.lose()
        await there.settle()
        await there.press("q")
        await there.until(lambda: there.app._exit)


async def test_q_gives_a_zoomed_pane_its_place_back_first(source: RecordedSource) -> None:
    async with stage(source) as there:
        await there.press("z")
        assert there.app.screen.maximized is not None
        await there.press("q")
        assert there.app.screen.maximized is None
        assert not there.app._exit
