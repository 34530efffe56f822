"""Why a job failed: in words, with the log where it tells of it, and what to do next. Hard use, triage."""

import pytest

from opsconsole_console.screen.part.task_log import TaskLog
from opsconsole_protocol.api import Act
from tests.console.app.source import RecordedSource
from tests.console.app.stage import SMALL, stage


@pytest.mark.parametrize("size", [SMALL, (160, 45)])
async def test_a_failed_jobs_why_shows_its_log_at_the_failure_and_what_to_do(
    source: RecordedSource, size: tuple[int, int]
) -> None:
    source.log.say("Traceback (most recent call last):", "ValueError: loss is NaN", *["cleaning up"] * 50)
    source.log.state = "failed"
    source.log.finish()
    async with stage(source, size) as there:
        there.job("c0p")
        await there.press("w")
        log = there.app.screen.query_one(TaskLog)
        await there.until(lambda: "ValueError: loss is NaN" in log.view.text_in_view())
        text = there.text()
        for said in ("ran out of GPU memory", "on gpu-d, after 57m", "r retry", "e again", "l logs"):
            assert said in text
        await there.press("r")
        await there.until(lambda: source.asked(Act))
        assert source.asked(Act) == [Act(verb="retry", ids=("c0p3x7d4ne",))]
        await there.until(lambda: there.screen_name == "MainScreen")
        await there.press("w", "e")
        await there.until(lambda: there.screen_name == "NewJobScreen")


async def test_a_read_only_console_offers_only_to_look() -> None:
    async with stage(RecordedSource(), read_only=True) as there:
        there.job("c0p")
        await there.press("w")
        await there.until(lambda: "on gpu-d" in there.text())
        assert "l logs" in there.text()
        assert "r retry" not in there.text()
        assert "e again" not in there.text()
