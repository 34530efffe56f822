"""A text to type, with its label: as data, and as a widget."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from textual.app import ComposeResult
from textual.containers import Horizontal

from opsconsole_console.widget.words import Caption, TextBox

_ODD = re.compile("[^A-Za-z0-9_]")


class Field(NamedTuple):
    """One text to type. `name` is the draft's attribute; `hint` stands in the empty box."""

    name: str
    label: str
    hint: str = ""


class FieldBox(Horizontal):
    """A label and its box."""

    DEFAULT_CSS = """
    FieldBox { height: 1; width: 1fr; }
    FieldBox > Label { width: 9; text-align: right; padding: 0 1 0 0; }
    FieldBox > Input { width: 1fr; border: none; height: 1; padding: 0 1; }
    """

    def __init__(self, field: Field, value: str, suggestions: Iterable[str] = ()) -> None:
        super().__init__()
        self.field = field
        self.input = TextBox(
            value,
            placeholder=field.hint,
            id="field-" + widget_id(field.name),
            suggestions=suggestions,
            select_on_focus=False,
        )

    def compose(self) -> ComposeResult:
        yield Caption(self.field.label)
        yield self.input


def widget_id(name: str) -> str:
    """A field's name as Textual wants ids: a template's parameter may be called anything."""
    group, dot, rest = name.partition(".")
    return group + "-" * len(dot) + _ODD.sub(lambda sign: f"-{ord(sign[0]):x}-", rest)
