"""A question that is answered with a line of text."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import ClassVar, TypeAlias

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from opsconsole_console.screen.part.shell_access import run_exclusive
from opsconsole_console.widget.steady_screen import SteadyScreen
from opsconsole_console.widget.words import TextBox, Words
from opsconsole_protocol.error import OpsconsoleError

Use: TypeAlias = Callable[[str], Awaitable[str]]
"""Takes what was entered. Returns what else somebody should know before it is so, which a second Enter says yes to; empty
where there is nothing. Raises OpsconsoleError for what can't be."""


class TextPrompt(SteadyScreen, ModalScreen[str]):
    """Returns the text that was entered, or an empty one.

    What `use` refuses is said below the text, which stays as it was typed.
    """

    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "leave", "Back", id="prompt.back")]

    def __init__(self, question: str, text: str = "", use: Use | None = None) -> None:
        super().__init__()
        self._question = question
        self._box = TextBox(text, id="prompt")
        self._use = use
        self._said = Words(classes="question--said")
        self._said.display = False
        self._asked = ""
        """The text to which something was said that Enter says yes to."""

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog question"):
            yield Words(self._question, classes="question--title")
            yield self._box
            yield self._said

    def action_leave(self) -> None:
        self.dismiss("")

    @on(Input.Changed)
    def _is_typed_on(self) -> None:
        if self._box.value.strip() != self._asked:
            self._say("")

    @on(Input.Submitted)
    def _take(self, event: Input.Submitted) -> None:
        text = event.value.strip()
        if self._use is None or not text:
            self.dismiss(text)
        else:
            run_exclusive(self, partial(self._try, self._use, text), "prompt")

    async def _try(self, use: Use, text: str) -> None:
        is_agreed = text == self._asked
        try:
            notice = await use(text)
        except OpsconsoleError as error:
            self._say(error.message, is_wrong=True)
            return
        if notice and not is_agreed:
            self._asked = text
            self._say(notice)
        else:
            self.dismiss(text)

    def _say(self, text: str, *, is_wrong: bool = False) -> None:
        if not text or is_wrong:
            self._asked = ""
        self._said.set_class(is_wrong, "-wrong")
        self._said.display = bool(text)
        self._said.say(text)
