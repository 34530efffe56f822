"""A question that is answered with a line of text."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from opsconsole_console.widget.words import TextBox, Words


class TextPrompt(ModalScreen[str]):
    """Returns the text that was entered, or an empty one."""

    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "leave", "Back", id="prompt.back")]

    def __init__(self, question: str, text: str = "") -> None:
        super().__init__()
        self._question = question
        self._box = TextBox(text, id="prompt")

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog question"):
            yield Words(self._question, classes="question--title")
            yield self._box

    def action_leave(self) -> None:
        self.dismiss("")

    @on(Input.Submitted)
    def _dismiss_with_text(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip())
