"""The table of routes: whatever names a screen names one that is there, and every one of them opens."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import opsconsole_console
from opsconsole_console.app.route import ROUTES
from opsconsole_console.model.command import KINDS
from tests.console.app import recorded
from tests.console.app.source import RecordedSource
from tests.console.app.stage import stage

PACKAGE = Path(opsconsole_console.__file__).parent
SUBJECTS = {"worker": recorded.worker_id("gpu-d"), "properties": recorded.worker_id("gpu-d"), "events": ""}
JOB = "42f0k9x2mq"


def opened(path: Path) -> Iterator[str]:
    """The routes that a file opens by name."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="open" | "open_found_job", value=owner),
                args=[ast.Constant(value=str(route)), *_],
            ) if ast.unparse(owner).endswith("navigation") or path.name == "navigation.py":
                yield route


def named() -> set[str]:
    """The routes that code opens by name, and those of commands."""
    return {route for path in PACKAGE.rglob("*.py") for route in opened(path)} | {
        kind.route for kind in KINDS if kind.route
    }


def test_whatever_names_a_screen_names_one_that_is_there() -> None:
    assert named() == set(ROUTES), "on the right what nobody opens, on the left what isn't there"


@pytest.mark.parametrize("route", ROUTES)
async def test_each_opens(source: RecordedSource, route: str) -> None:
    async with stage(source) as there:
        there.app.navigation.open(route, SUBJECTS.get(route, JOB))
        await there.until(lambda: there.screen_name != "MainScreen", route)


async def test_a_subject_that_is_gone_opens_nothing(source: RecordedSource) -> None:
    async with stage(source) as there:
        there.app.navigation.open("properties", "gone")
        await there.settle()
        assert there.screen_name == "MainScreen"
