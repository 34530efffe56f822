"""What others wrote is data on every screen (hard use 1, 2): never markup, an action, an escape, or an end of the console."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.command import CommandPalette
from textual.content import Content
from textual.widgets import Input, OptionList, Select

from opsconsole_console.screen.command import command_screen
from opsconsole_console.screen.job.task_pane import TaskPane
from opsconsole_console.screen.new_job import new_job_screen
from opsconsole_console.screen.new_job.candidate_table import CandidateTable
from opsconsole_console.screen.part.event_pane import EventPane
from opsconsole_console.visible import clean
from opsconsole_protocol import api
from opsconsole_protocol.error import Conflict
from tests.console.app import recorded
from tests.console.app.source import RecordedSource
from tests.console.app.stage import Stage, stage
from tests.hostile_text import PACKED, TABLE, acting, flooded, poisoned

Visit = Callable[[Stage, str], Awaitable[None]]


class HostileSource(RecordedSource):
    """The recorded fleet with `text` before everything that somebody chose."""

    def __init__(self, text: str) -> None:
        super().__init__(snapshot=poisoned(recorded.snapshot(), text))
        self._text = text
        self.log.lines[-200:] = [poisoned(line, text) for line in self.log.lines[-200:]]

    async def request(self, request: api.AnyRequest) -> api.AnyAnswer:
        answer = await super().request(request)
        if isinstance(answer, api.LogAnswer):
            return answer
        return poisoned(answer, self._text)


@pytest.fixture(autouse=True)
def _steady(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_screen, "_history", [])
    monkeypatch.setattr(new_job_screen, "ASK_AGAIN_S", 3_600)


@pytest.fixture
def markup(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that Textual reads as markup."""
    seen: list[str] = []
    read = Content.from_markup.__func__  # type: ignore[attr-defined]

    def noted(cls: type[Content], text: str | Content, /, **variables: object) -> Content:
        if isinstance(text, str):
            seen.append(text)
        return read(cls, text, **variables)  # type: ignore[no-any-return]

    monkeypatch.setattr(Content, "from_markup", classmethod(noted))
    return seen


async def fleet(there: Stage, text: str) -> None:
    """The lists, with a filter typed over each."""
    for pane in ("1", "2"):
        await there.press(pane, "slash")
        box = there.app.focused
        assert isinstance(box, Input)
        box.value = f"name~{text[:80]}"
        await there.press("enter")
        await there.press("escape")


async def logs(there: Stage, text: str) -> None:
    there.job("42f")
    await there.press("l")
    await there.until(lambda: there.app.main.log_grid.panes and there.app.main.log_grid.panes[0].subject)
    await there.press("slash")
    await there.type(text[:80].replace("\n", ""))
    await there.press("enter")


async def job(there: Stage, text: str) -> None:
    await there.line("show 51c")
    await there.until(lambda: there.app.screen.query_one(TaskPane).table.total == 32)
    await there.line("show c0p")
    await there.until(lambda: there.app.screen.query_one(TaskPane).table.total == 1)


async def worker(there: Stage, text: str) -> None:
    there.app.navigation.open("worker", recorded.worker_id("gpu-d"))
    await there.until(lambda: there.screen_name == "WorkerScreen")


async def describe_job(there: Stage, text: str) -> None:
    await there.line("describe 42f")
    await there.until(lambda: there.screen_name == "TextScreen")
    assert clean(text)[:40].rstrip() in there.text()


async def describe_worker(there: Stage, text: str) -> None:
    there.app.navigation.open("properties", recorded.worker_id("gpu-d"))
    await there.until(lambda: there.screen_name == "TextScreen")


async def why(there: Stage, text: str) -> None:
    await there.line("why 6a0")
    await there.until(
        lambda: "workers could take it" in there.text() or there.app.screen.query_one("#why-table").display
    )


async def events(there: Stage, text: str) -> None:
    await there.line("events")
    await there.until(lambda: there.app.screen.query_one(EventPane).table.total >= 200)


async def new_job(there: Stage, text: str) -> None:
    await there.press("n")
    screen = there.app.screen
    await there.until(lambda: screen.query_one(CandidateTable).total)
    await there.until(lambda: screen.query("#template"))
    select = screen.query_one("#template", Select)
    select.value = text + "train"
    await there.until(lambda: screen.query(".parameter"))
    select.focus()
    await there.press("enter")
    await there.until(lambda: screen.query_one(OptionList).display)
    await there.press("escape")


async def again(there: Stage, text: str) -> None:
    await there.line("again 42f")
    await there.until(lambda: there.screen_name == "NewJobScreen")
    assert text + "train-lr3" in [box.value for box in there.app.screen.query(Input)]


async def palette(there: Stage, text: str) -> None:
    await there.press("ctrl+p")
    await there.until(lambda: isinstance(there.app.screen, CommandPalette))
    await there.type("Job")
    await there.until(lambda: there.app.screen.query_one(OptionList).option_count)


async def command(there: Stage, text: str) -> None:
    await there.press("colon")
    await there.type("show ")
    await there.type(text[:80].replace("\n", ""))
    await there.press("enter")


async def confirm(there: Stage, text: str) -> None:
    there.job("42f")
    await there.press("c")
    assert clean(text)[:30].rstrip() in there.text()


async def toast(there: Stage, text: str) -> None:
    there.app.say(f"submitted {text}", "error")
    there.app.copy(text, text[:20])

    async def refused() -> None:
        raise Conflict(text)

    there.app.do(refused)
    there.source.lose(text)
    await there.settle()
    there.source.regain()


VISITS: tuple[Visit, ...] = (
    fleet, job, worker, describe_job, describe_worker, why, events, new_job, again, palette, command, confirm, logs, toast,
)  # fmt: skip


def check(there: Stage, text: str, markup: list[str], where: str) -> None:
    """What is on the screen is data."""
    assert there.app.is_running, where
    for strip in there.strips():
        assert not acting(strip.text), (where, strip.text)
        assert not flooded(strip.text), where
        for segment in strip:
            assert not segment.control, where
            assert segment.style is None or "@click" not in segment.style.meta, where
    assert not [one for one in markup if text[:12] in one], where


@pytest.mark.parametrize("text", PACKED.values(), ids=PACKED)
async def test_every_screen_shows_it_as_it_is(text: str, markup: list[str]) -> None:
    source = HostileSource(text)
    async with stage(source) as there:
        check(there, text, markup, "main")
        for visit in VISITS:
            await visit(there, text)
            check(there, text, markup, visit.__name__)
            there.app.screen.focus()
            while there.app.screen is not there.app.main:
                there.app.pop_screen()
                await there.settle()


async def test_a_click_on_a_title_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    text = TABLE["action"]
    left: list[Any] = []
    async with stage(HostileSource(text)) as there:
        monkeypatch.setattr(there.app, "exit", lambda *args, **_: left.append(args))
        await describe_job(there, text)
        rows = [(y, line.index("click me")) for y, line in enumerate(there.text().splitlines()) if "click me" in line]
        assert rows
        for y, x in rows:
            await there.pilot.click(offset=(x + 2, y))
        assert not left
