"""In place of the first screen when that can't be painted: the console goes on, and what runs in it."""

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen
from textual.widgets import Static


class FaultScreen(Screen[Any]):
    """Covers the whole terminal, so that nothing of what fails is painted."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "app.pop_screen", "Try again", id="fault.back"),
    ]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog large"):
            yield Static(self._text, markup=False)
            yield Static("\nWhat runs goes on. enter tries again; ctrl+q leaves the console.", markup=False)
