"""The question before something is destroyed."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button

from opsconsole_console.widget.steady_screen import SteadyScreen
from opsconsole_console.widget.words import Choice, Words


class ConfirmScreen(SteadyScreen, ModalScreen[bool]):
    """Returns True for yes. The safe answer has the focus; `y` and `n` answer too."""

    AUTO_FOCUS = "#no"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes", id="confirm.yes"),
        Binding("n,escape,q", "answer(False)", "No", id="confirm.no"),
        Binding("left,right,h,l", "app.focus_next", "Other answer", show=False, id="confirm.other"),
    ]

    def __init__(self, question: str, detail: str, yes: str) -> None:
        super().__init__()
        self._question = question
        self._detail = detail
        self._yes = yes

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog question"):
            yield Words(self._question, classes="question--title")
            for line in self._detail.splitlines():  # each is cleaned by itself: within one, a new line is data
                yield Words(line, classes="question--detail")
            with Horizontal(classes="buttons"):
                yield Choice(f"{self._yes}  y", id="yes", variant="error")
                yield Choice("Keep it  n", id="no")

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)

    @on(Button.Pressed)
    def _dismiss_with_answer(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")
