"""Timers that begin late: Textual drops some and never lets go of the loop in others, so nothing of ours may depend on it."""

import asyncio
from time import monotonic

import pytest
from textual import _time
from textual.notifications import Notification
from textual.widgets._toast import Toast

from tests.console.app.source import RecordedSource
from tests.console.app.stage import stage
from tests.console.widget.fleet import log_lines
from tests.console.widget.test_log_view import SIZE, LogApp
from tests.waiting import until


@pytest.mark.timeout(20)
async def test_a_toast_that_ends_as_it_is_shown(source: RecordedSource, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage(source) as there:
        for left_s in (-5.8e-05, 0.0, 1e-9):
            with monkeypatch.context() as ending:
                ending.setattr(Notification, "has_expired", False)  # when it was looked at
                ending.setattr(Notification, "time_left", left_s)  # when its toast was made
                there.app.say(f"late by {left_s}")
                await until(lambda: there.app.screen.query(Toast), what="the toast")
            await there.until(lambda: not there.app.screen.query(Toast), what="its end")


async def test_a_view_whose_timer_is_held_up_is_painted_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[asyncio.Task[object], int] = {}

    def held_up() -> float:
        """The clock; between the first time that a timer looks at it and the second, half a second goes by."""
        task = asyncio.current_task()
        assert task is not None
        asked[task] = asked.get(task, 0) + 1
        return monotonic() + (0.5 if asked[task] > 1 else 0.0)

    app = LogApp(flush_hz=1_000)
    async with app.run_test(size=SIZE):
        monkeypatch.setattr(_time, "get_time", held_up)
        for start in (0, 30):
            app.view.feed(log_lines(30, start=start))
            await until(lambda last=start + 29: app.steps()[-1:] == [last], what="the lines")  # type: ignore[misc]
