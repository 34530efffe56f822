"""Every screen of the console and how it is opened, for tests that hold all of them to one promise."""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable

from textual.screen import Screen

from opsconsole_console import screen as screens
from opsconsole_console.model.file_spot import FileSpot
from opsconsole_console.screen.fault.fault_screen import FaultScreen
from opsconsole_console.screen.file.view_screen import ViewScreen
from opsconsole_console.screen.part.text_prompt import TextPrompt
from opsconsole_console.service.file_source import FileSource
from opsconsole_protocol.stream.message import FileRoot, RootKind
from tests.console.app.stage import Stage

Open = Callable[[Stage], Awaitable[None]]


def _line(text: str) -> Open:
    async def open_it(there: Stage) -> None:
        await there.line(text)

    return open_it


def _keys(*keys: str) -> Open:
    async def open_it(there: Stage) -> None:
        there.job("42f")
        there.app.main.job_pane.table.focus()
        await there.press(*keys)

    return open_it


async def _properties(there: Stage) -> None:
    there.worker("gpu-a")
    await there.press("d")


async def _file(there: Stage) -> None:
    spot = FileSpot(worker="gpu-a", root=FileRoot(kind=RootKind.MOUNT, mount="input"))
    await there.app.push_screen(ViewScreen(FileSource(there.source), spot, b"points.csv"))


async def _prompt(there: Stage) -> None:
    await there.app.push_screen(TextPrompt("What is it called?"))


async def _fault(there: Stage) -> None:
    await there.app.push_screen(FaultScreen("it can't be painted"))


OPENED: dict[str, tuple[str, Open]] = {
    "job": ("JobScreen", _line("show 42f")),
    "worker": ("WorkerScreen", _line("worker gpu-a")),
    "events": ("EventScreen", _line("events")),
    "why": ("WhyScreen", _line("why 6a0")),
    "graph": ("GraphScreen", _line("graph 6a0")),
    "why it failed": ("EndedScreen", _line("why c0p")),
    "describe": ("TextScreen", _line("describe 42f")),
    "properties": ("TextScreen", _properties),
    "invitation": ("InviteScreen", _line("invite")),
    "new job": ("NewJobScreen", _keys("n")),
    "again": ("NewJobScreen", _keys("e")),
    "help": ("HelpScreen", _keys("question_mark")),
    "command line": ("CommandScreen", _keys("colon")),
    "metrics": ("MetricsScreen", _line("metrics 42f")),
    "compare": ("CompareScreen", _line("compare 51c")),
    "sweep": ("SweepScreen", _line("sweep 51c")),
    "files": ("FileScreen", _line("mounts gpu-a")),
    "a job's files": ("FileScreen", _line("files 42f")),
    "a file": ("ViewScreen", _file),
    "transfers": ("TransferScreen", _line("transfers")),
    "people": ("PeopleScreen", _line("people")),
    "reservations": ("ReservationScreen", _line("reserve")),
    "templates": ("TemplateScreen", _line("templates")),
    "usage": ("UsageScreen", _line("usage")),
    "prompt": ("TextPrompt", _prompt),
    "fault": ("FaultScreen", _fault),
    "question": ("ConfirmScreen", _keys("c")),
}
"""What is opened, its class, and how, from the first screen."""


def screen_classes() -> set[str]:
    """Every class of a screen that the console has, but for those that only others are made of."""
    found: set[str] = set()
    for module in pkgutil.walk_packages(screens.__path__, f"{screens.__name__}."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, type) and issubclass(value, Screen) and value.__module__ == module.name:
                found.add(name)
    return found - {"MainScreen", "AskingScreen", "DetailScreen"}


async def open_screen(there: Stage, name: str) -> None:
    """Open one of them, and wait until it is there."""
    kind, open_it = OPENED[name]
    await open_it(there)
    await there.until(lambda: there.screen_name == kind, f"the {kind}")
