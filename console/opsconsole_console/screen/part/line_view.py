"""A few lines of toned text: headers, facts, hints. One widget however many cells it shows."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.segment import Segment
from textual.geometry import Size
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget

from opsconsole_console.visible import clean
from opsconsole_console.widget.cell import Cell, Span, cell, fit, width
from opsconsole_console.widget.measured import Measured
from opsconsole_console.widget.palette import Palette
from opsconsole_console.widget.virtual_view import highlighted


class Line(NamedTuple):
    """What stands at the left of a line and what at its right. Where both don't fit, the right gives way."""

    left: Cell
    right: Cell | None = None


BLANK = Line(cell(""))


class LineView(Measured, Widget):
    """Lines of cells, cropped at the edge; as high as it has lines unless a stylesheet says otherwise.

    Its text can be selected with the mouse.
    """

    ALLOW_SELECT = True
    DEFAULT_CSS = "LineView { height: auto; width: 1fr; }"

    def __init__(self, lines: Iterable[Line] = (), *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._lines: tuple[Line, ...] = tuple(lines)
        self._palette: Palette | None = None

    @property
    def lines(self) -> Sequence[Line]:
        """What is shown."""
        return self._lines

    @property
    def text(self) -> str:
        """What is shown, as plain text."""
        return "\n".join(line.left.text + ("  " + line.right.text if line.right else "") for line in self._lines)

    def show(self, lines: Iterable[Line]) -> None:
        """Show other lines; paints only if they differ, lays out only if there are more or fewer."""
        new = tuple(lines)
        if new == self._lines:
            return
        grew = len(new) != len(self._lines)
        self._lines = new
        self.refresh(layout=grew)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002 - Textual's
        return len(self._lines)

    def get_content_width(self, container: Size, viewport: Size) -> int:  # noqa: ARG002 - Textual's
        return max((_line_width(line) for line in self._lines), default=0)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._palette = None

    def render_line(self, y: int) -> Strip:
        cells = self.size.width
        if self._palette is None:
            self._palette = Palette(self.app.theme_variables, self.visual_style.rich_style)
        palette = self._palette
        if not 0 <= y < len(self._lines):
            return Strip.blank(cells, palette.base)
        spans = _fitted(self._lines[y], cells)
        strip = Strip([Segment(text, palette.style(tone)) for text, tone in spans], cells)
        selection = self.text_selection
        if selection is not None and (span := selection.get_span(y)) is not None:
            strip = highlighted(strip, *span, self.screen.get_component_rich_style("screen--selection"))
        return strip.apply_offsets(0, y)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        cells = self.size.width
        shown = ["".join(text for text, _ in _fitted(line, cells)).rstrip() for line in self._lines]
        return selection.extract("\n".join(shown)), "\n"

    def selection_updated(self, selection: Selection | None) -> None:  # noqa: ARG002 - Textual's
        self.refresh()


def _line_width(line: Line) -> int:
    return width(clean(line.left.text)) + (2 + width(clean(line.right.text)) if line.right else 0)


def _fitted(line: Line, cells: int) -> list[Span]:
    if line.right is None:
        return list(fit(line.left.spans, cells))
    left = width(clean(line.left.text))
    right = width(clean(line.right.text))
    if left + 2 + right > cells:
        room = max(0, cells - left - 2)
        if room < 8:
            return list(fit(line.left.spans, cells))
        right = room
    return [*fit(line.left.spans, cells - right), *fit(line.right.spans, right, "right")]
