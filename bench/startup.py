"""How long starts take, and what an agent costs that has nothing to do.

Starts are measured as they are after the first one: Python finds every module compiled (see `bench/__main__.py`).
"""

import os
import pty
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.deployment import OPSCONSOLE, Deployment
from bench.process_usage import read_cpu_s, read_memory_mb
from bench.row import Row

REPEATS = 7
IDLE_S = 10.0
_BARE = """
from textual.app import App
from textual.widgets import Static
class Bare(App):
    def compose(self):
        yield Static("Workers")
Bare().run()
"""
_SIGN = b"Workers"
"""The word that both apps show first."""
_PAINT_TIMEOUT_S = 30.0


def run(base: Path) -> Iterator[Row]:
    """Yield rows of starts, then of an idle agent and coordinator."""
    yield _help_row()
    yield from _paint_rows(base)
    yield from _idle_rows(base)


def _help_row() -> Row:
    script = Path(sys.executable).with_name("opsconsole")
    helping = [str(script)] if script.exists() else list(OPSCONSOLE)
    times = [_seconds([*helping, "--help"]) for _ in range(REPEATS + 1)][1:]
    bare = statistics.median(_seconds([sys.executable, "-c", "pass"]) for _ in range(REPEATS))
    ms = statistics.median(times) * 1e3
    method = f"median of {REPEATS}, the whole process; `python -c pass` takes {bare * 1e3:.0f} ms"
    return Row("startup", "opsconsole --help", f"{ms:.0f} ms", method, bar="≤ 150 ms", met=ms <= 150)


def _environ(more: Mapping[str, str]) -> dict[str, str]:
    """What is inherited, without our own settings."""
    return {**{key: value for key, value in os.environ.items() if not key.startswith("OPSCONSOLE_")}, **more}


def _seconds(command: Sequence[str]) -> float:
    began_s = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=_environ({}))
    return time.perf_counter() - began_s


def _paint_rows(base: Path) -> Iterator[Row]:
    """In turns, each in a pseudo-terminal of 160×45, ours with a coordinator of its own on a fresh folder."""
    ours: list[float] = []
    bare: list[float] = []
    for number in range(REPEATS + 1):
        bare.append(_first_paint_s([sys.executable, "-c", _BARE], {}))
        with tempfile.TemporaryDirectory(prefix="opsconsole-bench-", dir=base) as folder:
            environ = {"HOME": folder, "OPSCONSOLE_DATA_DIR": f"{folder}/data-{number}"}
            arguments = ["--no-agent", "--listen", "127.0.0.1:0"]
            ours.append(_first_paint_s([*OPSCONSOLE, *arguments], environ))
    mine, theirs = statistics.median(ours[1:]) * 1e3, statistics.median(bare[1:]) * 1e3
    method = f"median of {REPEATS} each in turns, from exec to the word {_SIGN.decode()} on a pty; coordinator embedded"
    yield Row("startup", "first paint: a bare Textual app", f"{theirs:.0f} ms", method)
    yield Row(
        "startup", "first paint: the console, beyond the bare app", f"{mine - theirs:.0f} ms", method, mine / theirs,
        "the bare app", "≤ 150 ms", mine - theirs <= 150,
    )  # fmt: skip


def _first_paint_s(command: Sequence[str], environ: Mapping[str, str]) -> float:
    began_s = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        size = {"TERM": "xterm-256color", "COLUMNS": "160", "LINES": "45"}
        os.execvpe(command[0], list(command), _environ(size | dict(environ)))  # noqa: S606
    received = b""
    try:
        while _SIGN not in received:
            if time.perf_counter() - began_s > _PAINT_TIMEOUT_S:
                raise TimeoutError(f"{command[0]} painted nothing: {received[-200:]!r}")
            if select.select([terminal], [], [], 0.5)[0]:
                received += os.read(terminal, 65536)
        return time.perf_counter() - began_s
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def _idle_rows(base: Path) -> Iterator[Row]:
    with Deployment(base) as first:
        first.add_agent(2)  # which compiles the modules: what the compiler used stays with the process
    with Deployment(base) as deployment:
        agent = deployment.add_agent(2)
        keeper = next(deployment.keepers())
        time.sleep(3)  # what a start leaves to do
        before_s = read_cpu_s(agent.pid), read_cpu_s(keeper), read_cpu_s(deployment.coordinator.pid)
        time.sleep(IDLE_S)
        after_s = read_cpu_s(agent.pid), read_cpu_s(keeper), read_cpu_s(deployment.coordinator.pid)
        agent_percent, keeper_percent, coordinator_percent = (
            100 * (after - before) / IDLE_S for before, after in zip(before_s, after_s, strict=True)
        )
        memory = read_memory_mb(agent.pid)
        method = f"over {IDLE_S:.0f} s, connected, nothing to do; its keeper has {read_memory_mb(keeper):.0f} MB"
        percent = agent_percent + keeper_percent
        yield Row("startup", "agent, idle: memory", f"{memory:.0f} MB", method, bar="≤ 60 MB", met=memory <= 60)
        yield Row(
            "startup", "agent and keeper, idle: processor", f"{percent:.1f} % of a core", method, bar="≤ 0.5 %",
            met=percent <= 0.5,
        )  # fmt: skip
        memory = read_memory_mb(deployment.coordinator.pid)
        method = f"over {IDLE_S:.0f} s with one agent: {memory:.0f} MB"
        yield Row("startup", "coordinator, idle: processor", f"{coordinator_percent:.1f} % of a core", method)
