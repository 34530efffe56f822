"""What holds on every screen, whichever comes next: the way back, and whether what is shown is so.

Hard use 26: `q` quit on two screens. Hard use 25: a dead coordinator showed as "No tasks" and "running".
"""

from typing import Any

import pytest
from textual.widgets import Input

from opsconsole_console.screen.part.contact_line import ContactLine
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_protocol import api
from tests.console.app.every_screen import OPENED, open_screen, screen_classes
from tests.console.app.source import RecordedSource
from tests.console.app.stage import SMALL, stage

EMPTY_PROMISES = ("No workers yet", "No jobs yet", "No tasks", "Nothing runs here", "Nothing happened yet", "Nobody yet",
                  "None is open")  # fmt: skip


def test_no_screen_is_left_out() -> None:
    assert screen_classes() == {kind for kind, _ in OPENED.values()}


@pytest.mark.parametrize("key", ["q", "escape"])
async def test_q_is_back_as_escape_is_and_no_letter_that_sorts_takes_a_key(source: RecordedSource, key: str) -> None:
    """`T` sorted workers by their heat, and tasks and events too, where help said that it opens transfers."""
    async with stage(source) as there:
        assert not [taken for table in there.app.screen.query(LiveTable) for taken in taken_by_sorting(table)]
        for name in OPENED:
            await open_screen(there, name)
            for table in there.app.screen.query(LiveTable):
                assert not taken_by_sorting(table), name
            if isinstance(there.app.focused, Input):
                there.app.screen.set_focus(None)  # in a box it is a letter
            await there.press(key)
            assert there.screen_name == "MainScreen", name
            assert there.app.return_value is None, name
        assert not source.asked(api.Act)


async def test_q_is_back_though_a_keymap_took_it_from_the_screen(source: RecordedSource) -> None:
    async with stage(source, keymap={"detail.back": "x"}) as there:
        await open_screen(there, "job")
        await there.press("q")
        assert there.screen_name == "MainScreen"
        assert there.app.return_value is None


async def test_transfers_open_from_workers_jobs_and_tasks(source: RecordedSource) -> None:
    async with stage(source) as there:
        for keys in (["1"], ["2"], ["2", "enter"]):
            await there.press(*keys, "T")
            assert there.screen_name == "TransferScreen", keys
            await there.press("q")


@pytest.mark.parametrize("name", OPENED)
async def test_a_lost_coordinator_is_said_once_and_nothing_seems_to_run_on(source: RecordedSource, name: str) -> None:
    async with stage(source) as there:
        await open_screen(there, name)
        before = len(there.toasts)
        source.lose("the network is unreachable", retry_ms=4_000)
        await there.settle()
        assert len(there.toasts) == before + 1
        assert "not reached" in there.toasts[-1]
        there.app.clear_notifications()
        await there.settle()
        said = first_line(there.text())
        assert "lab-coordinator not reached for 0s, trying again in 4 s" in said
        assert "shown as of 11:04:11" in said
        shown = there.text().splitlines()[1:]
        source.clock.now_ms += 3_000
        there.app._tick()
        await there.settle()
        assert "trying again in 1 s" in first_line(there.text())
        assert there.text().splitlines()[1:] == shown
        assert len(there.toasts) == before + 1
        source.regain()
        await there.settle()
        assert "not reached" not in there.text()
        assert not there.app.screen.has_class("-stale")


async def test_a_screen_that_is_opened_without_a_coordinator_says_so(source: RecordedSource) -> None:
    async with stage(source) as there:
        source.lose("the network is unreachable", retry_ms=4_000)
        await there.settle()
        there.app.clear_notifications()
        before = len(there.toasts)
        for name in ("job", "worker", "events", "why", "new job", "command line", "help", "invitation"):
            await open_screen(there, name)
            await there.settle()
            assert "trying again in 4 s" in first_line(there.text()), name
            assert not [text for text in EMPTY_PROMISES if text in there.text()], name
            there.app.screen.set_focus(None)
            await there.press("q")
        assert len(there.toasts) == before
        await open_screen(there, "job")
        source.regain()
        tasks = there.app.screen.query_one("#task-table", LiveTable)
        await there.until(lambda: tasks.total)
        there.app.clear_notifications()
        await there.settle()
        assert "not reached" not in there.text()


async def test_one_that_was_never_reached_has_no_empty_fleet() -> None:
    source = RecordedSource()
    source.unreachable = "can't reach wss://10.77.0.1:7373: connection refused"
    async with stage(source, SMALL) as there:
        assert "not reached" in first_line(there.text())
        assert "connection refused" in there.text()
        assert not [text for text in EMPTY_PROMISES if text in there.text()]
        source.regain()
        await there.until(lambda: there.app.main.job_pane.table.total)
        assert not there.app.screen.query_one(ContactLine).has_class("-lost")


async def test_an_empty_fleet_is_one_that_was_heard_of() -> None:
    snapshot = api.Snapshot(seq=1, coordinator="lab-coordinator", workers=(), jobs=(), events=(), jobs_total=0)
    async with stage(RecordedSource(snapshot=snapshot), SMALL) as there:
        assert "No jobs yet" in there.text()


def taken_by_sorting(table: LiveTable[Any, Any]) -> list[str]:
    """The keys that sort this table and mean something else on the way from it to the app."""
    bound: dict[str, list[str]] = {}
    for node in table.ancestors_with_self:
        for key, bindings in node._bindings.key_to_bindings.items():
            bound.setdefault(key, []).extend(binding.action for binding in bindings)
    return [
        key for key, actions in bound.items() if len(actions) > 1 and any(one.startswith("sort(") for one in actions)
    ]


def first_line(text: str) -> str:
    """The first line of a screen."""
    return text.splitlines()[0]
