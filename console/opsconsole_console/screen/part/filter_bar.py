"""The line under a table in which its filter is typed."""

from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input

from opsconsole_console.widget.words import Caption, TextBox


class FilterBar(Horizontal):
    """Hidden until `ask`. It posts every keystroke, so that the table filters while one types; escape restores the text before."""

    DEFAULT_CSS = """
    FilterBar {
        height: 1;
        display: none;
        &.-asking { display: block; }
        & > Label { width: auto; padding: 0 1 0 1; }
        & > Input { width: 1fr; border: none; height: 1; padding: 0; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Back", id="filter.cancel"),
    ]

    @dataclass
    class Typed(Message):
        """The text as it stands now; `final` when it shall stay (Enter), or was `taken_back` to the one before (Escape)."""

        text: str
        final: bool
        taken_back: bool = False

    def __init__(self, placeholder: str = "") -> None:
        super().__init__()
        self._placeholder = placeholder
        self._before = ""

    def compose(self) -> ComposeResult:
        yield Caption("/")
        yield TextBox(placeholder=self._placeholder, select_on_focus=False)

    def ask(self, text: str, sign: str = "/") -> None:
        """Open with this text to change, `sign` before it."""
        self.query_one(Caption).say(sign)
        self._before = text
        box = self.query_one(Input)
        self.add_class("-asking")
        with self.prevent(Input.Changed):
            box.value = text
        box.cursor_position = len(text)
        box.focus()

    def action_cancel(self) -> None:
        self._close(self._before, taken_back=True)

    @on(Input.Changed)
    def _post_typed(self, event: Input.Changed) -> None:
        event.stop()
        if self.has_class("-asking"):
            self.post_message(self.Typed(event.value, final=False))

    @on(Input.Submitted)
    def _close_with_text(self, event: Input.Submitted) -> None:
        event.stop()
        self._close(event.value)

    def on_descendant_blur(self) -> None:
        """Hide without a change when the focus goes elsewhere: what was typed stays."""
        if self.has_class("-asking") and self.screen.focused is not self.query_one(Input):
            self.remove_class("-asking")

    def _close(self, text: str, *, taken_back: bool = False) -> None:
        self.remove_class("-asking")
        self.post_message(self.Typed(text, final=True, taken_back=taken_back))
