"""What an agent loads: nothing of a screen, and nothing heavy before it is needed."""

import subprocess
import sys

import pytest


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that are loaded after a statement, in a fresh interpreter."""
    script = f"{statement}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.process
def test_an_agent_never_loads_a_screen_or_a_coordinator() -> None:
    loaded = loaded_by(
        "import opsconsole_agent.runtime, opsconsole_agent.link.coordinator_link, websockets.asyncio.client"
    )
    assert not loaded & {"textual", "rich", "opsconsole_console", "opsconsole_coordinator", "opsconsole", "aiosqlite"}


@pytest.mark.process
def test_the_core_loads_no_loop_socket_or_clock_of_its_own() -> None:
    loaded = loaded_by("import opsconsole_agent.core")
    assert not loaded & {"asyncio", "socket", "sqlite3", "websockets", "psutil", "random"}
