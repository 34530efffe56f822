"""The console comes up again as it was left. Hard use, triage."""

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from opsconsole_console.model.failure import Seen
from opsconsole_console.screen.main.header import Header
from opsconsole_console.service.console_state import ConsoleState, StateFile, state_path
from tests.console.app import recorded
from tests.console.app.source import RecordedSource
from tests.console.app.stage import stage


async def test_panes_filters_order_theme_and_what_was_seen_are_there_again(tmp_path: Path) -> None:
    path = tmp_path / "console" / "lab.json"
    source = RecordedSource()
    async with stage(source, (160, 45), state_file=StateFile(path)) as there:
        main = there.app.main
        there.job("51c")
        await there.press("l")
        main.job_pane.set_filter("project=pose", inverted=True)
        main.job_pane.table.sort_by("name", reverse=True)
        main.worker_pane.set_filter("tags=train")
        await there.line("theme opsconsole-light")
        row = source.fleet.jobs["42f0k9x2mq"]
        source.change_jobs(replace(row, state="failed", finished_at_ms=recorded.NOW_MS))
        await there.press("2", "z")
        await there.app.action_quit()
    again = RecordedSource()
    row = again.snapshot.jobs[0]
    later = replace(row, state="failed", finished_at_ms=recorded.NOW_MS + 5)
    again.snapshot = replace(again.snapshot, jobs=(later, *again.snapshot.jobs[1:]))
    async with stage(again, (160, 45), state_file=StateFile(path)) as there:
        main = there.app.main
        await there.until(lambda: main.job_pane.zoomed)
        assert (main.job_pane.filter.text, main.job_pane.filter.inverted) == ("project=pose", True)
        assert (main.job_pane.table.sorted_by, main.job_pane.table.reverse) == ("name", True)
        assert main.worker_pane.filter.text == "tags=train"
        assert [pane.target.job_id for pane in main.log_grid.panes] == ["51c7hh3d0v"]
        assert there.app.theme == "opsconsole-light"
        assert there.has_focus(main.job_pane.table)
        assert "✗ 1 new" in there.app.query_one(Header).text, "it failed while nobody was there"


async def test_it_is_kept_while_it_runs_and_only_where_something_changed(tmp_path: Path) -> None:
    path = tmp_path / "lab.json"
    async with stage(RecordedSource(), state_file=StateFile(path)) as there:
        there.app.main.job_pane.set_filter("fold")
        await there.until(path.exists)
        await there.until(lambda: b"fold" in path.read_bytes())
        before = path.stat().st_ino
        there.app._tick()
        await there.settle()
        assert path.stat().st_ino == before
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b'{"logs": 3}', b"[" * 50_000, b""])
def test_a_damaged_file_is_put_aside_with_a_word(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "lab.json"
    path.write_bytes(content)
    path.chmod(0o600)
    state_file = StateFile(path)
    assert state_file.state == ConsoleState()
    assert str(path.with_suffix(".damaged")) in state_file.problem
    assert path.with_suffix(".damaged").read_bytes() == content
    state_file.write(ConsoleState(pane=1))
    assert StateFile(path).state == ConsoleState(pane=1)


def test_a_file_of_a_newer_version_is_understood_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "lab.json"
    path.write_text('{"pane": 1, "seen": {"to_ms": 5, "more": 1}, "floating_windows": [1, 2]}')
    path.chmod(0o600)
    assert StateFile(path).state == ConsoleState(pane=1, seen=Seen(5))


def test_a_pipe_in_its_place_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "lab.json"
    os.mkfifo(path, 0o600)
    assert "damaged" in StateFile(path).problem
    assert not path.exists()


def test_where_it_cant_even_be_put_aside_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "can't be put aside" in StateFile(tmp_path / "file" / "lab.json").problem


async def test_where_it_cant_be_written_the_console_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with stage(RecordedSource(), state_file=StateFile(tmp_path / "file" / "lab.json")) as there:
        there.app.main.job_pane.set_filter("fold")
        await there.until(lambda: there.toasts)
        there.app._tick()
        await there.settle()
        assert len([toast for toast in there.toasts if "can't be written" in toast]) == 1


async def test_a_theme_asked_for_or_configured_anew_wins_over_the_one_chosen_before(tmp_path: Path) -> None:
    path = tmp_path / "lab.json"
    for configured, asked, theme in (
        ("opsconsole-dusk", None, "opsconsole-light"),
        ("opsconsole-paper", None, "opsconsole-paper"),
        ("opsconsole-dusk", "opsconsole-contrast", "opsconsole-contrast"),
    ):
        StateFile(path).write(ConsoleState(theme="opsconsole-light", theme_over="opsconsole-dusk"))
        async with stage(
            RecordedSource(), state_file=StateFile(path), theme=asked, theme_configured=configured
        ) as there:
            assert there.app.theme == theme


def test_every_coordinator_has_a_file_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    names = ("wss://lab:7373", "wss://lab:7374", "/data/lab", "/data/../lab", "x" * 500)
    paths = {state_path(name) for name in names}
    assert len(paths) == len(names)
    assert all(path.parent == tmp_path / "opsconsole" / "console" and len(path.name) < 80 for path in paths)
