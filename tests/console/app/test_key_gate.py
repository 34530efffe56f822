"""Keys that come in one piece: each does what it would have done alone."""

import asyncio
import shlex
import time

import pytest
from textual.events import Key
from textual.widgets import Input

from opsconsole_console.app import key_gate
from opsconsole_console.screen.new_job.new_job_screen import NewJobScreen
from opsconsole_console.screen.part.filter_bar import FilterBar
from opsconsole_protocol.api import Act
from tests.console.app.source import RecordedSource
from tests.console.app.stage import Stage, stage
from tests.waiting import until


async def burst(there: Stage, text: str) -> None:
    """All keys at once, as a pasted line or a slow link brings them."""
    for sign in text:
        key = {"/": "slash", ":": "colon", "\r": "enter", "?": "question_mark"}.get(sign, sign)
        there.app.post_message(Key(key, sign))
    await asyncio.sleep(0)
    await there.until(lambda: not there.app._key_gate._waiting, "the keys to be taken")


async def test_a_filter_typed_in_one_go_does_nothing_else(source: RecordedSource) -> None:
    async with stage(source) as there:
        await burst(there, "/cpylr")
        box = there.app.main.job_pane.query_one(FilterBar).query_one(Input)
        await there.until(lambda: box.value == "cpylr", "the text")
        assert there.screen_name == "MainScreen"
        assert there.app.main.log_grid.opened == 0
        assert not [request for request in source.requests if isinstance(request, Act)]


async def test_keys_typed_before_the_first_screen_has_its_focus_mean_the_same(
    source: RecordedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of `/name` typed while the console started, the filter got a part, and the other letters acted as keys."""
    monkeypatch.setattr(key_gate, "LOOK_S", 0.01)
    async with stage(source) as there:
        main = there.app.main
        gate = key_gate.KeyGate(there.app, there.app._key_gate._send)
        monkeypatch.setattr(there.app, "_key_gate", gate)
        main.set_focus(None)
        for sign in "/cpw":
            there.app.post_message(Key("slash" if sign == "/" else sign, sign))
        await there.until(lambda: len(gate._waiting) == 4, "the keys to wait")
        main.job_pane.table.focus()
        there.app.call_later(gate.begin)
        box = main.job_pane.query_one(FilterBar).query_one(Input)
        await there.until(lambda: box.value == "cpw", "the text")
        assert there.screen_name == "MainScreen"
        assert not [request for request in source.requests if isinstance(request, Act)]


async def test_keys_keep_their_order_and_their_meaning(source: RecordedSource) -> None:
    async with stage(source) as there:
        await burst(there, "1j2jj/a\r")
        await there.until(lambda: there.has_focus(there.app.main.job_pane.table), "the end of typing")
        await burst(there, "1kj?")
        await there.until(lambda: there.screen_name == "HelpScreen", "the last key's screen")
        assert there.app.main.worker_pane.filter.text == ""
        assert there.app.main.job_pane.filter.text == "a"


async def test_a_key_behind_a_text_waits_for_all_of_it_however_slow_the_machine(
    source: RecordedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl+S came before the last letters on a busy machine: what it found was no command yet, and nothing was submitted."""
    monkeypatch.setattr(key_gate, "LOOK_S", 0.01)
    may_type = asyncio.Event()
    take = Input._on_key

    async def take_slowly(self: Input, event: Key) -> None:
        await may_type.wait()
        await take(self, event)

    async with stage(source) as there:
        await there.press("n")
        form = there.app.screen
        assert isinstance(form, NewJobScreen)
        seen: list[str] = []
        monkeypatch.setattr(Input, "_on_key", take_slowly)
        monkeypatch.setattr(NewJobScreen, "action_submit", lambda self: seen.append(shlex.join(self._checked.command)))
        for key, sign in (("a", "a"), ("space", " "), ("apostrophe", "'"), ("b", "b"), ("apostrophe", "'")):
            there.app.post_message(Key(key, sign))
        there.app.post_message(Key("ctrl+s", None))
        await until(lambda: there.app._key_gate._looks > 3, what="many looks")
        assert len(there.app._key_gate._waiting) == 5
        may_type.set()
        await there.until(lambda: seen, "the key behind the text")
        assert seen == ["a b"]


async def test_a_key_is_lost_with_its_screen_and_not_waited_for(source: RecordedSource) -> None:
    async with stage(source) as there:
        started = time.monotonic()
        await burst(there, "?q?q?q?")
        await there.until(lambda: there.screen_name == "HelpScreen", "the last key's screen")
        assert time.monotonic() - started < key_gate.KEY_WAIT_S


async def test_a_key_that_never_comes_back_holds_nobody_up(
    source: RecordedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_gate, "KEY_WAIT_S", 0.05)
    async with stage(source) as there:
        monkeypatch.setattr(there.app._key_gate, "_follow_key", lambda *_: None)
        await there.press("j")
        for _ in range(3):
            there.app.post_message(Key("question_mark", "?"))
        taken = there.app._key_gate._number + 3
        await there.until(lambda: there.app._key_gate._number == taken, "all keys to be taken")
        await there.until(lambda: there.screen_name == "HelpScreen", "the last key's screen")
