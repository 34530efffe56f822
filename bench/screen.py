"""What opening each screen of the console costs, on the recorded fleet in a terminal of 160×45.

Counted is processor time, from the key or the command to the first paint of the screen. The first time a screen is opened, its
modules are loaded and its style sheets are read; later times are without that. Each screen has a process of its own.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from tests.console.app.every_screen import OPENED
from tests.console.app.source import RecordedSource
from tests.console.app.stage import stage
from tests.waiting import until
from textual.app import App, ComposeResult
from textual.screen import ModalScreen
from textual.widgets import Input

from bench.row import Row

SIZE = (160, 45)
TIMES = 5
BARE = "bare"
BAR_MS = {"new job": 350, "again": 350}
_BAR_MS = 200


def run(base: Path) -> Iterator[Row]:
    """Yield a row for each screen, the most expensive first."""
    del base  # nothing is written
    bare = _opened_in_a_process(BARE)
    method = f"first paint, the median of {TIMES} openings but the first; the first one has to load its modules"
    yield Row("screen", "a bare Textual dialog with one box", f"{bare['later_ms']:.0f} ms", method)
    found = {name: _opened_in_a_process(name) for name in OPENED}
    for name, one in sorted(found.items(), key=lambda item: -item[1]["later_ms"]):
        value = f"{one['later_ms']:.0f} ms, first {one['first_ms']:.0f}"
        bar = BAR_MS.get(name, _BAR_MS)
        yield Row(
            "screen", f"{name} ({one['widgets']} widgets)", value, method, one["later_ms"] / bare["later_ms"], "bare",
            f"≤ {bar} ms", one["later_ms"] <= bar,
        )  # fmt: skip


def _opened_in_a_process(name: str) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.screen", name]
    done = subprocess.run(command, check=True, capture_output=True, env=os.environ | {"TEXTUAL_ANIMATIONS": "none"})
    found: dict[str, float] = json.loads(done.stdout)
    return found


class _Paint:
    """Notes how much processor time this process had used when a kind of screen was first painted."""

    def __init__(self, app: App[Any], kind: str) -> None:
        self._kind = kind
        self._display = app._display  # noqa: SLF001
        self.at_s = 0.0
        app._display = self._note  # type: ignore[method-assign, assignment]  # noqa: SLF001

    def is_there(self) -> bool:
        """Whether it was painted."""
        return self.at_s > 0

    def _note(self, screen: Any, update: Any) -> None:
        self._display(screen, update)
        if not self.is_there() and update is not None and type(screen).__name__ == self._kind:
            self.at_s = time.process_time()


class _Dialog(ModalScreen[None]):
    def compose(self) -> ComposeResult:
        yield Input()


async def _measure(app: App[Any], kind: str, open_it: Callable[[], Awaitable[object]]) -> dict[str, float]:
    taken: list[float] = []
    widgets = 0
    for _ in range(TIMES):
        await asyncio.sleep(0.3)  # what a screen leaves to do when it is closed
        paint = _Paint(app, kind)
        before_s = time.process_time()
        await open_it()
        await until(paint.is_there, what=f"the first paint of {kind}")
        taken.append(1e3 * (paint.at_s - before_s))
        await asyncio.sleep(0.3)
        widgets = len(app.screen.query("*"))
        app.pop_screen()
    return {"first_ms": taken[0], "later_ms": statistics.median(taken[1:]), "widgets": widgets}


async def _measure_screen(name: str) -> dict[str, float]:
    if name == BARE:
        bare: App[None] = App()
        async with bare.run_test(size=SIZE):
            return await _measure(bare, _Dialog.__name__, lambda: bare.push_screen(_Dialog()))
    kind, open_it = OPENED[name]
    async with stage(RecordedSource(), SIZE, paints_always=True) as there:
        return await _measure(there.app, kind, lambda: open_it(there))


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_measure_screen(sys.argv[1]))))
