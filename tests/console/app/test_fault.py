"""A mistake of the console's own is noted and said; it ends nothing (hard use 45, and 1: one bad name ended a fleet).

Faults are planted in a handler, an action, a timer, a worker, the composing of a screen, its import and its painting.
"""

import inspect
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace
from textual.strip import Strip

from opsconsole.fleet import Change
from opsconsole_console.screen.job.job_screen import JobScreen
from opsconsole_console.screen.main.job_pane import JobPane
from opsconsole_console.screen.part.line_view import LineView
from opsconsole_console.service.fault_log import FILE_NAME, FaultLog
from opsconsole_console.widget.live_table import LiveTable
from tests.console.app.source import RecordedSource
from tests.console.app.stage import Stage, stage


def fail(*_: object, **__: object) -> None:
    """What is planted."""
    raise KeyError("planted")


async def fail_later(*_: object) -> None:
    """The same where it is awaited."""
    fail()


async def noted(there: Stage, folder: Path) -> str:
    """What stands in the file, once the mistake was said."""
    await there.until(lambda: any("the console made a mistake (KeyError)" in said for said in there.toasts))
    assert (folder / FILE_NAME).stat().st_mode & 0o077 == 0
    return (folder / FILE_NAME).read_text()


async def works(there: Stage) -> None:
    """The console still does what keys say."""
    there.app.main.job_pane.table.focus()
    there.job("42f")
    await there.press("d")
    await there.until(lambda: there.screen_name == "TextScreen", "the spec")
    await there.press("q")
    assert there.screen_name == "MainScreen"
    assert not there.app._exit


@pytest.mark.parametrize(
    ("kind", "name"),
    [(LiveTable, "action_move"), (JobPane, "apply"), (JobScreen, "compose"),
     (JobScreen, "on_mount"), (JobScreen, "_fetch_detail"), (JobScreen, "_show_facts")],
)  # fmt: skip
async def test_it_is_noted_and_the_console_goes_on(
    source: RecordedSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type, name: str
) -> None:
    async with stage(source, paints_always=True, state_dir=tmp_path) as there:
        with monkeypatch.context() as planted:
            planted.setattr(kind, name, fail_later if inspect.iscoroutinefunction(getattr(kind, name)) else fail)
            await there.press("down")
            source.change_jobs(replace(source.snapshot.jobs[0], priority=77))
            await there.press("enter")
            text = await noted(there, tmp_path)
        assert "planted" in text
        assert "Traceback" in text
        if there.screen_name != "MainScreen":
            await there.press("q")
        await works(there)


async def test_a_decorated_handler_too(source: RecordedSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage(source, paints_always=True, state_dir=tmp_path) as there:
        with monkeypatch.context() as planted:
            planted.setattr("opsconsole_console.screen.main.main_screen.shell", fail)
            await there.press("enter")
            await noted(there, tmp_path)
        await works(there)


async def test_a_screen_that_can_not_be_painted_is_taken_away(
    source: RecordedSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = LineView.render_line

    def broken(view: LineView, y: int) -> Strip:
        if view.id == "job-facts":
            raise KeyError("planted")
        return whole(view, y)

    async with stage(source, paints_always=True, state_dir=tmp_path) as there:
        monkeypatch.setattr(LineView, "render_line", broken)
        there.job("42f")
        await there.press("enter")
        await noted(there, tmp_path)
        await there.until(lambda: there.screen_name == "MainScreen")
        await works(there)


async def test_the_first_screen_is_covered_and_tried_again(
    source: RecordedSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(source, paints_always=True, state_dir=tmp_path) as there:
        with monkeypatch.context() as planted:
            planted.setattr(LiveTable, "render_line", fail)
            there.app.main.job_pane.table.touch()
            await there.until(lambda: there.screen_name == "FaultScreen")
            assert "enter tries again" in there.text()
        await there.press("enter")
        await there.until(lambda: there.screen_name == "MainScreen")
        await works(there)


async def test_an_upgrade_under_an_open_console_is_said_in_a_word(
    source: RecordedSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(source, paints_always=True, state_dir=tmp_path) as there:
        with monkeypatch.context() as planted:
            planted.setitem(sys.modules, "opsconsole_console.screen.new_job.new_job_screen", None)
            await there.press("n")
            await there.until(lambda: any("restart the console" in said for said in there.toasts))
        assert "ModuleNotFoundError" in (tmp_path / FILE_NAME).read_text()
        await works(there)


def test_the_same_mistake_is_told_once_a_minute(tmp_path: Path) -> None:
    said: list[str] = []
    now = 0.0
    fault_log = FaultLog(tmp_path / "faults.log", said.append, lambda: now)
    for _ in range(3):
        fault_log.note(_raised())
    assert (len(said), fault_log.count) == (1, 3)
    now = 61.0
    fault_log.note(_raised())
    assert len(said) == 2


def test_a_folder_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "file").write_text("")
    FaultLog(tmp_path / "file" / "faults.log", said.append).note(_raised())
    assert "can't be written" in said[0]


def _raised() -> Exception:
    try:
        fail()
    except KeyError as error:
        return error
    raise AssertionError


async def test_a_change_while_the_screens_are_taken_down_paints_nothing(
    source: RecordedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Panes have no screen any more while the app ends: seen once in a thousand ends."""
    async with stage(source) as there:
        app, pane = there.app, there.app.screen.query_one(JobPane)
        cursor = pane.table.cursor_id
        assert cursor is not None
        with monkeypatch.context() as ending:
            ending.setattr(pane, "_parent", None)
            ending.setattr(app, "_running", False)
            app.model.note_change(Change(jobs=frozenset({cursor})))
            app.repaint()
