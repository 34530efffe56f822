"""Log panes: opening, following, finding, attempts, tasks, splitting, closing."""

from pathlib import Path

import pytest

from opsconsole_console.screen.part.log_pane import LogPane, is_regex
from opsconsole_protocol.log import LogLine, Source
from tests.console.app import recorded
from tests.console.app.source import RecordedSource
from tests.console.app.stage import Stage, stage


async def opened(there: Stage, job: str = "42f") -> LogPane:
    """A log pane on a job, its lines there."""
    there.job(job)
    await there.press("l")
    pane = there.app.main.log_grid.panes[-1]
    await there.until(lambda: len(pane.view._ring.lines) >= 1_000, "the log")
    return pane


async def test_a_pane_follows_its_task_and_says_whose(source: RecordedSource) -> None:
    async with stage(source) as there:
        pane = await opened(there)
        assert pane.subject == "42f0/task-0  train-lr3  attempt 1  gpu-a"
        assert pane.state == "follow"
        assert there.has_focus(pane.view)
        source.log.say("the newest line")
        await there.until(lambda: len(pane.view._ring.lines) == 1_001)
        pane.view.apply_pending()
        await there.settle()
        assert "the newest line" in there.text()


async def test_the_same_log_isnt_opened_twice_but_can_be_split(source: RecordedSource) -> None:
    async with stage(source) as there:
        await opened(there)
        await there.press("2", "l")
        grid = there.app.main.log_grid
        assert grid.opened == 1
        await there.press("v")
        assert grid.opened == 2
        assert [pane.number for pane in grid.panes] == [3, 4]
        await there.press("x")
        assert grid.opened == 1
        assert there.has_focus(grid.panes[0].view)
        await there.press("x")
        assert grid.opened == 0
        assert there.has_focus(there.app.main.job_pane.table)
        assert not grid.display


async def test_panes_that_dont_fit_wait_unseen(source: RecordedSource) -> None:
    async with stage(source, (80, 24)) as there:
        first = await opened(there)
        await there.press("2")
        there.job("7xk")
        await there.press("l")
        grid = there.app.main.log_grid
        assert grid.opened == 2
        assert not first.display
        assert "1 more hidden" in grid.panes[1].state
        await there.press("3")
        assert first.display
        assert there.has_focus(first.view)


async def test_find_filter_and_invert(source: RecordedSource) -> None:
    async with stage(source) as there:
        pane = await opened(there)
        await there.press("slash")
        await there.type("out of memory")
        await there.press("enter")
        assert not pane.view.following
        assert there.has_focus(pane.view)
        await there.press("n", "N")
        await there.press("escape")
        await there.press("ampersand")
        await there.type("WARNING")
        await there.press("enter")
        await there.until(lambda: pane.view._shown.count == 14, "all of the log's warnings")
        assert pane.state.startswith("WARNING")
        await there.until(lambda: "14 of 3,000" in pane.state, "their number")
        await there.press("exclamation_mark")
        await there.until(lambda: "2,986 of 3,000" in pane.state, "the number of all the others")
        await there.until(lambda: len(pane.view._ring.lines) > 0, "the other lines")
        assert not [line for line in pane.view._ring.lines if "WARNING" in line.data]
        await there.press("escape")
        await there.until(lambda: any("WARNING" in line.data for line in pane.view._ring.lines), "all lines")
        assert pane.view._shown.count == len(pane.view._ring.lines)


async def test_a_task_that_printed_nothing_says_so(source: RecordedSource) -> None:
    """Hard use 12: an empty pane leaves open whether something is still to come."""
    source.log.lines.clear()
    async with stage(source) as there:
        there.job("42f")
        await there.press("l")
        pane = there.app.main.log_grid.panes[-1]
        source.log.state = "failed"
        source.log.finish()
        await there.until(lambda: pane.state == "failed", "the end")
        await there.until(lambda: "it printed nothing " in there.text(), "a word")
        assert "printed nothing so far" not in there.text()


async def test_what_isnt_there_is_said(source: RecordedSource) -> None:
    async with stage(source) as there:
        await opened(there)
        await there.press("slash")
        await there.type("no such [thing")
        await there.press("enter")
        await there.until(lambda: there.toasts and "is not in the log" in there.toasts[-1], "a word")


async def test_escape_undoes_and_then_goes_back_to_the_table_it_came_from(source: RecordedSource) -> None:
    """The kind: escape is back everywhere (hard use 26, triage), also where no screen lies above another."""
    async with stage(source) as there:
        pane = await opened(there)
        await there.press("ampersand")
        await there.type("loss")
        await there.press("enter")
        await there.until(lambda: "loss ·" in pane.state)
        await there.press("escape")
        await there.until(lambda: "loss ·" not in pane.state)
        assert pane.view.has_focus
        await there.press("escape")
        await there.until(lambda: there.app.main.job_pane.table.has_focus)
        await there.press("1", "3", "escape")
        await there.until(lambda: there.app.main.worker_pane.table.has_focus)


async def test_attempts_and_tasks_before_and_after(source: RecordedSource) -> None:
    async with stage(source) as there:
        pane = await opened(there)
        await there.until(lambda: "a Attempt before" in there.text())
        await there.press("a")
        await there.until(lambda: source.log_requests[-1].attempt == 0)
        await there.until(lambda: "attempt" not in pane.subject)
        await there.until(lambda: "Attempt before" not in there.text(), "no earlier one is offered")
        await there.press("a")
        assert there.toasts[-1] == "this is the first attempt"
        await there.press("full_stop")
        assert "has one task" in there.toasts[-1]
        await there.press("2")
        sweep = await opened(there, "51c")
        assert sweep.subject.startswith("51c7/task-11")
        await there.press("full_stop")
        await there.until(lambda: sweep.subject.startswith("51c7/task-12"))
        await there.press("comma")
        await there.until(lambda: sweep.subject.startswith("51c7/task-11"))


async def test_scrolling_up_stops_following_and_fetches_history(source: RecordedSource) -> None:
    async with stage(source) as there:
        pane = await opened(there)
        pane.view.jump(0)
        await there.until(lambda: len(pane.view._ring.lines) == 2_000, "history")
        assert not pane.view.following
        assert "behind" in pane.state
        source.log.say("later")
        await there.settle()
        assert not pane.view.following
        await there.press("G")
        assert pane.view.following


async def test_a_log_that_ended_says_how(source: RecordedSource) -> None:
    source.log.finish()
    async with stage(source) as there:
        pane = await opened(there)
        await there.until(lambda: "succeeded" in pane.state)


async def test_saving_and_copying(source: RecordedSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with stage(source) as there:
        await opened(there)
        await there.press("S")
        await there.press("enter")
        saved = tmp_path / "42f0.log"
        assert len(saved.read_text(encoding="utf-8").splitlines()) == 1_000
        assert "saved 1,000 lines" in there.toasts[-1]
        await there.press("S")
        await there.type("/no/such/folder")
        await there.press("enter")
        assert "can't write" in there.toasts[-1]
        said = len(there.toasts)
        await there.press("S")
        await there.press("escape")
        assert len(there.toasts) == said, "taken back"
        await there.press("y")
        assert "epoch 39 done" in there.app.clipboard


async def test_logs_of_a_worker_are_those_of_its_tasks(source: RecordedSource) -> None:
    async with stage(source) as there:
        there.worker("gpu-d")
        await there.press("l")
        await there.until(lambda: there.app.main.log_grid.opened == 4)
        assert {pane.target.job_id for pane in there.app.main.log_grid.panes} == {"51c7hh3d0v"}
        there.worker("gpu-b")
        there.worker("rtx-03")
        await there.press("l")
        await there.until(lambda: any("nothing runs on rtx-03" in toast for toast in there.toasts))


def test_what_is_no_expression_is_searched_for_as_it_stands() -> None:
    assert is_regex("epoch \\d+")
    assert not is_regex("[")


class TestALargeLog:
    """What isn't loaded can be reached, found and counted (hard use 10). The kind: a pane that takes what it holds for all."""

    LINES = 60_000

    @pytest.fixture
    def source(self, source: RecordedSource) -> RecordedSource:
        """A log of which the pane holds a sixtieth; every 300th line says `needle`."""
        source.log.lines = [
            LogLine(number, Source.STDOUT, f"line {number}{' needle' * (number % 300 == 0)}", recorded.NOW_MS)
            for number in range(self.LINES)
        ]
        return source

    async def test_the_first_line_and_the_end_are_one_press_away(self, source: RecordedSource) -> None:
        async with stage(source) as there:
            pane = await opened(there)
            assert pane.border_subtitle == "lines 59,001–60,000 of 60,000"
            await there.press("g")
            await there.until(lambda: pane.view.kept_range[0] == 0, "the first line")
            await there.until(lambda: pane.view.top_line == 0, "it in sight")
            assert not pane.view.following
            await there.press("G")
            await there.until(lambda: pane.view.kept_range == (59_000, 59_999), "the end")
            assert pane.view.following
            source.log.say("later")
            await there.until(lambda: pane.view.kept_range[1] == self.LINES, "what comes")

    async def test_all_hits_are_counted_and_walked_through(self, source: RecordedSource) -> None:
        async with stage(source) as there:
            pane = await opened(there)
            await there.press("slash")
            await there.type("needle")
            await there.press("enter")
            await there.until(lambda: "200 hits" in pane.state, "the count")
            assert pane.view.current_line == 59_700
            seen = [59_700]
            for _ in range(5):
                await there.press("N")
                await there.until(lambda: pane.view.current_line != seen[-1], "the hit before")
                seen.append(pane.view.current_line or 0)
            assert seen == [59_700, 59_400, 59_100, 58_800, 58_500, 58_200]
            await there.press("g")
            await there.until(lambda: pane.view.top_line == 0, "the first line")
            await there.press("n")
            await there.until(lambda: pane.view.current_line in {0, 300}, "a hit at the top")
            await there.press("escape")
            assert "hits" not in pane.state

    async def test_a_filter_is_over_all_of_it(self, source: RecordedSource) -> None:
        async with stage(source) as there:
            pane = await opened(there)
            await there.press("ampersand")
            await there.type("needle")
            await there.press("enter")
            await there.until(lambda: "200 of 60,000" in pane.state, "the count")
            await there.until(lambda: len(pane.view._ring.lines) == 200, "every hit")
            await there.press("escape")
            await there.until(lambda: len(pane.view._ring.lines) == 1_000, "the end of the log")
            assert "of 60,000" not in pane.state
