"""A page of text that can be read, scrolled and copied: specs, properties."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from opsconsole_console import format as fmt
from opsconsole_console.screen.part.facts import fact, wrapped
from opsconsole_console.screen.part.key_bar import KeyBar
from opsconsole_console.screen.part.line_view import BLANK, Line, LineView
from opsconsole_console.screen.part.shell_access import shell
from opsconsole_console.screen.part.spec_text import spec_lines
from opsconsole_console.widget.steady_screen import SteadyScreen
from opsconsole_console.widget.words import Dialog
from opsconsole_protocol.api import JobDetail, WorkerRow


class TextScreen(SteadyScreen, ModalScreen[None]):
    """`lines` makes the page for a width in cells; `copied` is what `y` puts into the clipboard, called `what`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "app.pop_screen", "Back", id="text.back"),
        Binding("y", "copy", "Copy", id="text.copy"),
        Binding("j,down", "scroll(1)", "Down", show=False, id="text.down"),
        Binding("k,up", "scroll(-1)", "Up", show=False, id="text.up"),
    ]

    def __init__(self, title: str, lines: Callable[[int], Sequence[Line]], copied: str, what: str) -> None:
        super().__init__()
        self._title = title
        self._make = lines
        self._copied = copied
        self._what = what
        self._line_view = LineView()

    def compose(self) -> ComposeResult:
        with Dialog(self._title, classes="large"), VerticalScroll():
            yield self._line_view
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()

    def on_resize(self) -> None:
        self._line_view.show(self._make(max(40, self.size.width - 14)))

    def action_copy(self) -> None:
        shell(self).copy(self._copied, self._what)

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)


def spec_screen(detail: JobDetail) -> TextScreen:
    """A job's whole spec; `y` copies it as JSON."""
    text = msgspec.json.format(msgspec.json.encode(detail.spec), indent=2).decode()
    title = f"{detail.job.name}  {detail.job.id}"
    return TextScreen(title, lambda cells: spec_lines(detail.spec, cells), text, "the spec as JSON")


def properties_screen(worker: WorkerRow) -> TextScreen:
    """All that a worker says about itself."""

    def lines(cells: int) -> list[Line]:
        head = [
            fact("id", worker.id),
            fact("status", f"{worker.status}, {worker.connection}"),
            fact("tags", " ".join(worker.tags) or fmt.NOTHING),
            BLANK,
        ]
        rows = sorted(_flat("", worker.properties))
        room = max((len(key) for key, _ in rows), default=0)
        return head + [line for key, value in rows for line in wrapped(value, cells, first=f"{key:>{room}}  ")]

    text = msgspec.json.format(msgspec.json.encode(worker), indent=2).decode()
    return TextScreen(f"Worker {worker.name}", lines, text, "the worker as JSON")


def _flat(head: str, value: Any) -> list[tuple[str, str]]:
    """Nested properties as dotted keys, as filters write them."""
    if isinstance(value, dict):
        return [
            row for key, inner in value.items() for row in _flat(f"{head}.{key}" if head else str(key), inner)
        ]  # fmt: skip
    if isinstance(value, (list, tuple)):
        return [(head, ", ".join(str(one) for one in value))]
    return [(head, fmt.NOTHING if value is None else str(value))]
