"""What a program loads, seen in a process of its own: start-up stays fast, and hosts need no terminal library."""

import subprocess
import sys

import pytest


def loaded_by(statement: str) -> set[str]:
    """The modules that a statement loads in a fresh interpreter."""
    program = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        (
            "import opsconsole_agent.runtime",
            {
                "textual",
                "rich",
                "starlette",
                "uvicorn",
                "aiosqlite",
                "opsconsole_console",
                "opsconsole_agent.failure.explanation",
            },
        ),
        (
            "import opsconsole_coordinator.runtime",
            {"textual", "rich", "pynvml", "opsconsole_console", "opsconsole_agent"},
        ),
        ("import opsconsole", {"textual", "websockets", "asyncio", "msgspec"}),
        (
            "from opsconsole_console.cli import build_parser; build_parser([])",
            {"textual", "starlette", "websockets", "sqlite3"},
        ),
        (
            "import opsconsole_console.app.app, opsconsole_console.service.live_source",
            {
                "opsconsole.fleet_link",
                "opsconsole_console.screen.part.log_pane",
                "opsconsole_console.screen.job.job_screen",
                "opsconsole_console.screen.new_job.new_job_screen",
                "opsconsole_coordinator",
                "websockets",
            },
        ),
    ],
)
def test_nothing_heavy_is_loaded(statement: str, unwanted: set[str]) -> None:
    assert not loaded_by(statement) & unwanted


def test_the_cores_load_neither_loop_nor_database() -> None:
    loaded = loaded_by("import opsconsole_coordinator.core.reactor, opsconsole_coordinator.core.view")
    assert not loaded & {"asyncio", "sqlite3", "socket", "websockets"}
