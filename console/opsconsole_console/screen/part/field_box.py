"""A text to type, with its label: as data, and as a widget."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip

from opsconsole_console.visible import signs
from opsconsole_console.widget.cell import cell, fit
from opsconsole_console.widget.palette import Palette
from opsconsole_console.widget.words import TextBox

_ODD = re.compile("[^A-Za-z0-9_]")
_GAP = 1


class Field(NamedTuple):
    """One text to type. `name` is the draft's attribute; `hint` stands in the empty box."""

    name: str
    label: str
    hint: str = ""


class FieldBox(TextBox):
    """A box that draws its label too, into the padding at its left: one widget, since each costs time when a screen is opened.

    What it shows without the focus it draws by itself, in a fifth of the time.
    """

    DEFAULT_CSS = "FieldBox.-textual-compact { width: 1fr; padding: 0 0 0 9; }"

    def __init__(self, field: Field, value: str, suggestions: Iterable[str] = (), *, classes: str = "") -> None:
        super().__init__(
            value,
            placeholder=field.hint,
            id="field-" + widget_id(field.name),
            suggestions=suggestions,
            select_on_focus=False,
            classes=classes,
        )
        self.field = field
        self._is_wrong = False
        self._label: Strip | None = None
        self._palette: Palette | None = None

    def mark_wrong(self, is_wrong: bool) -> None:
        """Show, or no longer, that what stands here is wrong."""
        if is_wrong != self._is_wrong:
            self._is_wrong = is_wrong
            self._label = None
            self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._label = self._palette = None

    def render_line(self, y: int) -> Strip:
        if y or self.has_focus or self.scroll_offset.x:
            return super().render_line(y)
        if self._palette is None:
            self._palette = Palette(self.app.theme_variables, self.rich_style)
        palette, cells = self._palette, self.content_size.width
        shown = cell(signs(self.value)) if self.value else cell(self.placeholder, "text-disabled")
        return Strip([Segment(text, palette.style(tone)) for text, tone in fit(shown.spans, cells)], cells)

    def render_lines(self, crop: Region) -> list[Strip]:
        strips = super().render_lines(crop)
        if crop.y or not strips:
            return strips
        if self._label is None:
            self._label = self._drawn_label()
        left, right = crop.column_span
        edge = self._label.cell_length
        first = Strip.join([self._label.crop(left, min(right, edge)), strips[0].crop(max(0, edge - left))])
        return [first, *strips[1:]]

    def _drawn_label(self) -> Strip:
        below, _ = self.background_colors
        cells = max(0, self.styles.padding.left - _GAP)
        style = Palette(self.app.theme_variables, Style(bgcolor=below.rich_color)).style(
            "error" if self._is_wrong else "text-muted"
        )
        spans = fit(cell(self.field.label).spans, cells, "right")
        strip = Strip([Segment("".join(text for text, _ in spans) + " " * _GAP, style)])
        for line_filter in self.get_line_filters():
            strip = strip.apply_filter(line_filter, below)
        return strip


def widget_id(name: str) -> str:
    """A field's name as Textual wants ids: a template's parameter may be called anything."""
    group, dot, rest = name.partition(".")
    return group + "-" * len(dot) + _ODD.sub(lambda sign: f"-{ord(sign[0]):x}-", rest)
