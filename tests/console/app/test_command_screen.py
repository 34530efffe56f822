"""The command line, the palette, themes and leaving."""

from functools import partial

import pytest
from rich.terminal_theme import TerminalTheme
from textual.widgets import Select

from opsconsole_console import theme as themes
from opsconsole_console.screen.command import command_screen
from opsconsole_console.screen.command.command_screen import CommandScreen
from opsconsole_protocol.api import Act, Invite, SetWorker
from tests.console.app import recorded
from tests.console.app.source import RecordedSource
from tests.console.app.stage import Stage, stage


def is_on(there: Stage, screen: str) -> bool:
    """Whether this screen is on top."""
    return there.screen_name == screen


@pytest.fixture(autouse=True)
def _no_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_screen, "_history", [])


async def test_a_command_is_typed_completed_and_done(source: RecordedSource) -> None:
    async with stage(source) as there:
        await there.press("colon")
        assert there.screen_name == "CommandScreen"
        await there.type("pau")
        await there.press("tab")
        await there.type("42f")
        await there.press("enter")
        await there.until(lambda: source.asked(Act))
        assert source.asked(Act) == [Act(verb="pause", ids=("42f0k9x2mq",))]
        assert there.screen_name == "MainScreen"


async def test_the_likeliest_completion_is_taken_with_enter(source: RecordedSource) -> None:
    async with stage(source) as there:
        await there.press("colon")
        await there.type("even")
        await there.press("enter")
        await there.until(lambda: there.screen_name == "EventScreen")


async def test_history_comes_back_with_up(source: RecordedSource) -> None:
    async with stage(source) as there:
        await there.press("colon")
        await there.type("jobs project=pose")
        await there.press("enter")
        assert there.app.main.job_pane.filter.text == "project=pose"
        await there.press("colon", "up")
        screen = there.app.screen
        assert isinstance(screen, CommandScreen)
        assert screen.query_one("Input").value == "jobs project=pose"  # type: ignore[attr-defined]
        await there.press("escape")
        assert there.screen_name == "MainScreen"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("pause k", "could be any of 10 jobs"),
        ("pause nothing", "there is no job 'nothing'"),
        ("drain nobody", "there is no worker 'nobody'"),
        ("paws 42f", "did you mean pause"),
        ("theme nope", "there is no theme 'nope'"),
        ("jobs name~[", "regular expression"),
    ],
)
async def test_what_cant_be_done_is_said(source: RecordedSource, line: str, said: str) -> None:
    async with stage(source) as there:
        there.app.command_line.run(line)
        await there.settle()
        assert said in there.toasts[-1]


async def test_lines_lead_everywhere(source: RecordedSource) -> None:
    async with stage(source) as there:
        for line, screen in (
            ("show train-lr3", "JobScreen"),
            ("worker gpu-a", "WorkerScreen"),
            ("why 6a0", "WhyScreen"),
            ("graph 6a0", "GraphScreen"),
            ("describe 42f", "TextScreen"),
            ("again 42f", "NewJobScreen"),
            ("new", "NewJobScreen"),
            ("help", "HelpScreen"),
            ("events", "EventScreen"),
        ):
            there.app.command_line.run(line)
            await there.until(partial(is_on, there, screen), line)
            await there.press("escape")
        there.app.command_line.run("workers gpu_memory_mb>=40000 tags=train")
        await there.settle()
        assert there.app.main.worker_pane.table.shown == 5
        there.app.command_line.run("project cells")
        await there.settle()
        assert there.app.main.job_pane.filter.text == "project=cells"
        there.app.command_line.run("drain gpu-a")
        await there.until(lambda: source.asked(SetWorker))
        there.app.command_line.run("logs 42f")
        await there.settle()
        assert there.app.main.log_grid.opened == 1


async def test_an_invitation_is_shown_and_copied(source: RecordedSource) -> None:
    async with stage(source) as there:
        there.app.command_line.run("invite")
        await there.until(lambda: there.screen_name == "InviteScreen")
        assert not source.asked(Invite), "a secret is made when somebody says so"
        await there.press("enter")
        await there.until(lambda: source.asked(Invite))
        assert source.asked(Invite) == [Invite()]
        await there.until(lambda: "opsconsole agent --join 'wss://" in there.text())
        assert "listens on this machine only" not in there.text()
        await there.press("y")
        assert there.app.clipboard == f"opsconsole agent --join '{recorded.JOIN_LINE}'"
        secret = recorded.JOIN_LINE.rpartition(".")[2]
        assert not [said for said in there.toasts if secret in said]
        there.app.screen.query_one("#role", Select).value = "operator"
        await there.settle()
        assert secret not in there.text(), "it was for somebody else"
        there.app.screen.query_one("#field-uses").focus()
        await there.press("backspace", "3", "ctrl+s")
        await there.until(lambda: "opsconsole --connect 'wss://" in there.text())
        assert source.asked(Invite)[-1] == Invite(role="operator", uses=3)
        assert "It works 3 times, for 1h" in there.text()


async def test_an_invitation_that_no_other_host_can_use_says_so(source: RecordedSource) -> None:
    source.join_line = f"ws://127.0.0.1:7373#-.{recorded.JOIN_LINE.partition('.k3')[2].join(('k3', ''))}"
    async with stage(source, (80, 24)) as there:
        there.app.command_line.run("invite")
        await there.until(lambda: there.screen_name == "InviteScreen")
        await there.press("enter")
        await there.until(lambda: "listens on this machine only" in there.text())
        assert "--listen 0.0.0.0:7373" in there.text()


async def test_themes_change_at_once(source: RecordedSource) -> None:
    async with stage(source, theme="opsconsole-light") as there:
        assert there.app.theme == "opsconsole-light"
        there.app.command_line.run("theme opsconsole-contrast")
        await there.settle()
        assert there.app.theme == "opsconsole-contrast"


@pytest.mark.parametrize(
    ("theme", "ansi"), [("opsconsole-dark", themes.ANSI_DARK), ("opsconsole-light", themes.ANSI_LIGHT)]
)
async def test_a_programs_colours_are_those_that_can_be_read(
    source: RecordedSource, theme: str, ansi: TerminalTheme
) -> None:
    """`test_theme` measures the contrast of these; the console showed logs in Textual's own."""
    async with stage(source, theme=theme) as there:
        assert there.app.ansi_theme is ansi


async def test_an_unknown_theme_is_said_and_the_default_stays(source: RecordedSource) -> None:
    async with stage(source, theme="neon") as there:
        assert there.app.theme == "opsconsole-dark"
        assert "there is no theme 'neon'" in there.toasts[0]


async def test_the_palette_offers_jobs_by_name(source: RecordedSource) -> None:
    async with stage(source) as there:
        await there.press("ctrl+p")
        await there.type("train-lr3")
        await there.until(lambda: "train-lr3 42f0" in there.text())
        await there.press("enter")
        await there.until(lambda: there.screen_name == "JobScreen")


async def test_leaving_says_what_goes_on_running(source: RecordedSource) -> None:
    async with stage(source, quit_note=lambda: "14 tasks go on running") as there:
        await there.press("q")
        await there.until(lambda: there.app._exit)
        assert there.app.return_value == 0
        assert "14 tasks go on running" in str(there.app._exit_renderables)
