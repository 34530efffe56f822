"""In place of the first screen when that can't be painted: the console goes on, and what runs in it."""

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from opsconsole_console.widget.steady_screen import SteadyScreen
from opsconsole_console.widget.words import Dialog, Words


class FaultScreen(SteadyScreen, Screen[Any]):
    """Covers the whole terminal, so that nothing of what fails is painted."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "app.pop_screen", "Try again", id="fault.back"),
    ]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        with Dialog("A mistake of the console's own", classes="large"):
            yield Words(self._text)
            yield Words("What runs goes on. enter tries again; ctrl+q leaves the console.", classes="after")
