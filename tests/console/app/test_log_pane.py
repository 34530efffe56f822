"""Log panes: opening, following, finding, attempts, tasks, splitting, closing."""

from pathlib import Path

import pytest

from opsconsole_console.screen.main.log_pane import LogPane, is_regex
from tests.console.app.source import RecordedSource
from tests.console.app.stage import Stage, stage


async def opened(there: Stage, job: str = "42f") -> LogPane:
    """A log pane on a job, its lines there."""
    there.job(job)
    await there.press("l")
    pane = there.app.main.log_deck.panes[-1]
    await there.until(lambda: pane.view.line_count >= 1_000, "the log")
    return pane


async def test_a_pane_follows_its_task_and_says_whose(source: RecordedSource) -> None:
    async with stage(source) as there:
        pane = await opened(there)
        assert pane.subject == "42f0/task-0  train-lr3  attempt 1  gpu-a"
        assert pane.state == "follow"
        assert there.has_focus(pane.view)
        source.log.say("the newest line")
        await there.until(lambda: pane.view.line_count == 1_001)
        pane.view.apply_pending()
        await there.settle()
        assert "the newest line" in there.text()


async def test_the_same_log_isnt_opened_twice_but_can_be_split(source: RecordedSource) -> None:
    async with stage(source) as there:
        await opened(there)
        await there.press("2", "l")
        deck = there.app.main.log_deck
        assert deck.opened == 1
        await there.press("v")
        assert deck.opened == 2
        assert [pane.number for pane in deck.panes] == [3, 4]
        await there.press("x")
        assert deck.opened == 1
        assert there.has_focus(deck.panes[0].view)
        await there.press("x")
        assert deck.opened == 0
        assert there.has_focus(there.app.main.job_pane.table)
        assert not deck.display


async def test_panes_that_dont_fit_wait_unseen(source: RecordedSource) -> None:
    async with stage(source, (80, 24)) as there:
        first = await opened(there)
        await there.press("2")
        there.job("7xk")
        await there.press("l")
        deck = there.app.main.log_deck
        assert deck.opened == 2
        assert not first.display
        assert "1 more hidden" in deck.panes[1].state
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
        assert 0 < pane.view.seen_count < 10
        seen = pane.view.seen_count
        assert pane.state.startswith("WARNING")
        await there.press("exclamation_mark")
        assert pane.view.seen_count == pane.view.line_count - seen
        await there.press("escape")
        assert pane.view.seen_count == pane.view.line_count


async def test_what_isnt_there_is_said(source: RecordedSource) -> None:
    async with stage(source) as there:
        await opened(there)
        await there.press("slash")
        await there.type("no such [thing")
        await there.press("enter")
        assert "is not in the lines at hand" in there.toasts[-1]


async def test_attempts_and_tasks_before_and_after(source: RecordedSource) -> None:
    async with stage(source) as there:
        pane = await opened(there)
        await there.press("a")
        await there.until(lambda: source.log_requests[-1].attempt == 0)
        await there.until(lambda: "attempt" not in pane.subject)
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
        await there.press("g")
        await there.until(lambda: pane.view.line_count == 2_000, "history")
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
        await there.until(lambda: there.app.main.log_deck.opened == 4)
        assert {pane.target.job_id for pane in there.app.main.log_deck.panes} == {"51c7hh3d0v"}
        there.worker("gpu-b")
        there.worker("rtx-03")
        await there.press("l")
        await there.until(lambda: any("nothing runs on rtx-03" in toast for toast in there.toasts))


def test_what_is_no_expression_is_searched_for_as_it_stands() -> None:
    assert is_regex("epoch \\d+")
    assert not is_regex("[")
