"""The jobs before and after a job, on a screen."""

from opsconsole_protocol.api import AskGraph
from tests.console.app.source import RecordedSource
from tests.console.app.stage import stage
from tests.console.app.test_picture import chain


async def test_the_graph_is_a_tree_with_the_cursor_on_the_job_and_enter_opens_one(source: RecordedSource) -> None:
    source.needs |= chain()
    async with stage(source, (80, 24)) as there:
        there.job("6a0")
        await there.press("b")
        await there.until(lambda: "6 jobs before and after it" in there.text())
        text = there.text()
        for drawn in ("preprocess", "├─ sweep", "└─ eval", "fold-0", "└─ train-lr3", "nightly-eval"):
            assert drawn in text, drawn
        assert source.asked(AskGraph)[0] == AskGraph(id="6a0rj8w5te")
        await there.press("up", "enter")
        await there.until(lambda: there.screen_name == "JobScreen")
        await there.press("escape")
        assert there.screen_name == "GraphScreen"
        await there.press("escape")
        assert there.screen_name == "MainScreen"


async def test_a_job_alone_says_so(source: RecordedSource) -> None:
    async with stage(source) as there:
        await there.line("graph 42f")
        await there.until(lambda: "it waits for no job, and none waits for it" in there.text())
