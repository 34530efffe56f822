"""Textual's widgets for text, made so that what they show is data: never markup, never an action, never an escape.

Textual reads a `str` as markup almost everywhere: `[@click=app.quit]` in a job's name would act, `[/]` raise. Screens
use the widgets of this file (and `drop_down`) instead of Textual's own; `tests/quality/test_text.py` sees to it.
"""

from collections.abc import Iterable
from typing import Any

from rich.text import Text
from textual.containers import Vertical
from textual.content import Content
from textual.suggester import SuggestFromList
from textual.widget import Widget
from textual.widgets import Button, Input, Label, Static

from opsconsole_console.visible import clean, is_clean, signs
from opsconsole_console.widget.measured import Measured


def plain(text: str) -> Content:
    """Text as it stands, for whatever of Textual's takes content."""
    return Content(clean(text))


class Words(Measured, Static):
    """A paragraph."""

    def __init__(self, text: str = "", *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's
        super().__init__(plain(text), id=id, classes=classes, markup=False)

    def say(self, text: str) -> None:
        """Show another text."""
        self.update(plain(text))


class Caption(Measured, Label):
    """A label before a box, or over some."""

    def __init__(self, text: str, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's
        super().__init__(plain(text), id=id, classes=classes, markup=False)

    def say(self, text: str) -> None:
        """Show another text."""
        self.update(plain(text))


class Choice(Button):
    """A button."""

    def __init__(self, text: str, *, id: str, variant: Any = "default") -> None:  # noqa: A002 - Textual's
        super().__init__(plain(text), id=id, variant=variant, compact=True)


class TextBox(Input):
    """A box to type into. Signs that would act on a terminal are shown as bad ones; its value keeps them."""

    def __init__(
        self, value: str | None = None, *, placeholder: str = "", suggestions: Iterable[str] = (), id: str | None = None,  # noqa: A002 - Textual's
        select_on_focus: bool = True, classes: str | None = None,
    ) -> None:  # fmt: skip
        names = [name for name in suggestions if is_clean(name)]
        super().__init__(
            value,
            placeholder=clean(placeholder),
            suggester=SuggestFromList(names, case_sensitive=False) if names else None,
            id=id,
            classes=f"-valid {classes or ''}",  # Textual gives it that class once it is mounted, and styles it anew
            compact=True,
            select_on_focus=select_on_focus,
        )

    @property
    def _value(self) -> Text:
        return Text(signs(self.value), no_wrap=True, overflow="ignore", end="")


def say_below(widget: Widget, text: str) -> None:
    """Show a text in the lower edge of a widget's frame; an empty one shows nothing."""
    widget.border_subtitle = plain(text) if text else None


class Dialog(Vertical):
    """A framed box in the middle of the screen, its title in the frame."""

    def __init__(self, title: str, *, id: str | None = None, classes: str = "") -> None:  # noqa: A002 - Textual's
        super().__init__(id=id, classes=f"dialog {classes}")
        self.border_title = plain(title)
