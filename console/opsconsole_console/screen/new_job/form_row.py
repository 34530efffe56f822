"""One or two labelled boxes in a line, with what is wrong with them below."""

from collections.abc import Iterable, Mapping, Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from opsconsole_console.screen.part.field_box import Field, FieldBox
from opsconsole_console.widget.words import Words


class FormRow(Vertical):
    """A line of the form; as high as it has something to complain about."""

    DEFAULT_CSS = """
    FormRow { height: auto; }
    FormRow > Horizontal { height: 1; }
    FormRow > Static { height: auto; display: none; padding: 0 0 0 9; color: $error; }
    FormRow.-wrong > Static { display: block; }
    """

    def __init__(
        self,
        fields: Sequence[Field],
        values: Mapping[str, str],
        suggestions: Mapping[str, Iterable[str]] | None = None,
        *,
        id: str | None = None,  # noqa: A002 - Textual's name
    ) -> None:
        super().__init__(id=id)
        known = suggestions or {}
        self.boxes = [FieldBox(field, values.get(field.name, ""), known.get(field.name, ())) for field in fields]
        self._complaint = Words()

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield from self.boxes
        yield self._complaint

    def complain(self, errors: Mapping[str, str]) -> None:
        """Show what is wrong with these boxes; nothing where all is right."""
        wrong = [(box, errors[box.field.name]) for box in self.boxes if box.field.name in errors]
        self.set_class(bool(wrong), "-wrong")
        for box in self.boxes:
            box.set_class(box.field.name in errors, "-wrong")
        if wrong:
            several = len(self.boxes) > 1
            self._complaint.say("; ".join(f"{box.field.label}: {text}" if several else text for box, text in wrong))
