"""The command line's words."""

import pytest

from opsconsole_console.model import command as commands
from opsconsole_console.model.command import Names
from opsconsole_protocol.error import InvalidRequest

NAMES = Names(
    jobs=[("42f0", "train-lr3  running"), ("51c7", "sweep  running")],
    workers=[("gpu-a", "connected"), ("rtx-01", "connected")],
    themes=["opsconsole-dark", "opsconsole-light"],
    projects=["pose", "cells"],
    values={"state": ("running", "pending"), "project": ("pose", "cells")},
)


def lines(text: str, *, read_only: bool = False) -> list[str]:
    return [completion.line for completion in commands.complete(text, NAMES, read_only=read_only)]


@pytest.mark.parametrize(
    ("line", "name", "argument"),
    [
        (":pause 42f", "pause", "42f"),
        ("jobs project=pose  state=running", "jobs", "project=pose  state=running"),
        ("jobs", "jobs", ""),
        (":q", "quit", ""),
        ("  :theme opsconsole-light ", "theme", "opsconsole-light"),
    ],
)
def test_lines_are_understood(line: str, name: str, argument: str) -> None:
    command = commands.parse(line)
    assert (command.kind.name, command.argument) == (name, argument)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("puase 42f", "did you mean pause"),
        ("zzz", "there is no command 'zzz'"),
        ("pause", "pause what"),
        ("quit now", "takes nothing"),
    ],
)
def test_what_is_wrong_is_said(line: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        commands.parse(line)


def test_a_read_only_console_refuses_verbs_and_doesnt_offer_them() -> None:
    with pytest.raises(InvalidRequest, match="read-only"):
        commands.parse("cancel 42f", read_only=True)
    assert commands.parse("jobs", read_only=True).kind.name == "jobs"
    assert lines("ca", read_only=True) == []
    assert lines("ca") == ["cancel "]


def test_completion_of_commands_and_of_what_they_name() -> None:
    assert lines("dra") == ["drain "]
    assert lines("pause ") == ["pause 42f0", "pause 51c7"]
    assert lines("pause sw") == ["pause 51c7"]
    assert lines("drain rt") == ["drain rtx-01"]
    assert lines("theme opsconsole-l") == ["theme opsconsole-light"]
    assert lines("project c") == ["project cells"]


def test_completion_inside_a_filter() -> None:
    assert "jobs state=" in lines("jobs st")
    assert lines("jobs state=r") == ["jobs state=running"]
    assert lines("jobs project=pose state=p") == ["jobs project=pose state=pending"]
