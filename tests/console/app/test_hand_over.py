"""The key for a shell in a task: the terminal goes to a command of ours, and comes back."""

import contextlib
import os
import sys
from collections.abc import Iterator

import pytest

from opsconsole.target import Target
from opsconsole_console.app import app
from opsconsole_console.app.hand_over import hand_over, shell_command
from tests.console.app.source import RecordedSource
from tests.console.app.stage import stage


class Suspended:
    """An app whose terminal can be handed over."""

    def __init__(self) -> None:
        self.story: list[str] = []

    @contextlib.contextmanager
    def suspend(self) -> Iterator[None]:
        self.story.append("handed over")
        yield
        self.story.append("taken back")


def test_the_token_is_on_no_command_line() -> None:
    argv, environ = shell_command(
        Target("wss://lab:7373", "s3cret", "ab" * 32), "7k3m9q2w4t/task-1", {"HOME": "/home/ana"}
    )
    assert argv[1:] == [
        "-m",
        "opsconsole_console",
        "shell",
        "--connect",
        f"wss://lab:7373#{'ab' * 32}",
        "7k3m9q2w4t/task-1",
    ]
    assert environ == {"HOME": "/home/ana", "OPSCONSOLE_TOKEN": "s3cret"}
    assert shell_command(Target("ws://127.0.0.1:1", "t"), "7k", {})[0][-2] == "ws://127.0.0.1:1"


def test_what_the_command_says_at_last_is_told_when_the_terminal_is_back() -> None:
    suspended = Suspended()
    script = "import sys; sys.stderr.write('first\\nopsconsole: the task has ended\\n'); sys.exit(3)"
    assert hand_over(suspended, [sys.executable, "-c", script], os.environ) == "the task has ended"  # type: ignore[arg-type]
    assert hand_over(suspended, [sys.executable, "-c", ""], os.environ) == ""  # type: ignore[arg-type]
    assert suspended.story == ["handed over", "taken back"] * 2


async def test_the_key_opens_a_shell_in_the_job_under_the_cursor(
    source: RecordedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[list[str]] = []

    def give(_: object, argv: list[str], environ: dict[str, str]) -> str:
        given.append(argv)
        assert environ["OPSCONSOLE_TOKEN"] == "token"
        return "42f0k9x2mq has ended"

    async with stage(source) as there:
        there.job("42f")
        await there.press("i")
        await there.until(lambda: there.toasts)
        assert there.toasts == ["this terminal can't be handed over: use opsconsole shell"]
        monkeypatch.setattr(app, "hand_over", give)
        await there.press("i")
        await there.until(lambda: given)
        assert given[0][-1] == "42f0k9x2mq"
        await there.until(lambda: there.toasts[-1] == "42f0k9x2mq has ended")


async def test_who_may_only_look_has_no_such_key() -> None:
    async with stage(RecordedSource(role="viewer")) as there:
        there.job("42f")
        await there.press("i")
        assert there.toasts == []
