"""A table's rows and header as strips."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.strip import Strip

from opsconsole_console.visible import clean
from opsconsole_console.widget.cell import Cell, Span, crop, fit, shorten, width
from opsconsole_console.widget.column import CellContent, Column, Slot
from opsconsole_console.widget.palette import Palette

_UP, _DOWN = "↑", "↓"


class RowPainter:
    """Paints for one arrangement of columns, in one palette."""

    def __init__(
        self, columns: Sequence[Column[Any]], slots: Sequence[Slot], palette: Palette, console: Console
    ) -> None:
        self._columns = [(columns[slot.column], slot) for slot in slots]
        self._palette = palette
        self._console = console

    def row(self, row: Any, gutter: Span, base: Style) -> Strip:
        """A row, uncropped: the gutter's sign and every column in its slot."""
        line = _Line(self._palette, base)
        line.add(*gutter)
        for column, slot in self._columns:
            line.skip_to(slot.left)
            content = column.render(row)
            if column.named:
                content = Cell(tuple(shorten(self._spans(content), slot.width)))
            if type(content) is str:
                text = clean(content)
                taken = width(text)
                if taken > slot.width:
                    text = crop(text, slot.width)
                    taken = width(text)
                if column.align == "right":
                    line.skip_to(slot.left + slot.width - taken)
                line.add(text, column.tone, taken)
            else:
                for text, tone in fit(self._spans(content), slot.width, column.align):
                    line.add(text, tone or column.tone)
        return line.strip()

    def header(self, base: Style, active: Style, sorted_by: str | None, *, reverse: bool) -> Strip:
        """The titles; the one sorted by carries an arrow and the `active` style."""
        line = _Line(self._palette, base)
        for column, slot in self._columns:
            line.skip_to(slot.left)
            title = clean(column.title)
            is_active = column.key == sorted_by
            if is_active:
                title = crop(title, slot.width - 1) + (_DOWN if reverse else _UP)
            title = crop(title, slot.width)
            if column.align == "right":
                line.skip_to(slot.left + slot.width - width(title))
            for text, tone in _underlined(title, column.hotkey):
                line.add_styled(text, (active if is_active else base) + Style.parse(tone))
        return line.strip()

    def label(self, text: str, style: Style) -> Strip:
        """Plain text in one style."""
        line = _Line(self._palette, style)
        line.add(text)
        return line.strip()

    def _spans(self, content: CellContent) -> Sequence[Span]:
        if isinstance(content, Cell):
            return content.spans
        if isinstance(content, Text):
            return [(segment.text, segment.style or "") for segment in content.render(self._console)]
        return ((str(content), ""),)


class _Line:
    """Segments being gathered; neighbours of one style become one segment."""

    __slots__ = ("_base", "_length", "_palette", "_pending", "_segments", "_style")

    def __init__(self, palette: Palette, base: Style) -> None:
        self._palette = palette
        self._base = base
        self._segments: list[Segment] = []
        self._pending: list[str] = []
        self._style = base
        self._length = 0

    def add(self, text: str, tone: str | Style = "", taken: int | None = None) -> None:
        self.add_styled(text, self._palette.style(tone, self._base) if tone else self._base, taken)

    def add_styled(self, text: str, style: Style, taken: int | None = None) -> None:
        if not text:
            return
        if style is not self._style:
            self._flush()
            self._style = style
        self._pending.append(text)
        self._length += width(text) if taken is None else taken

    def skip_to(self, cells: int) -> None:
        if cells > self._length:
            self.add_styled(" " * (cells - self._length), self._base, cells - self._length)

    def strip(self) -> Strip:
        self._flush()
        return Strip(self._segments, self._length)

    def _flush(self) -> None:
        if self._pending:
            self._segments.append(Segment("".join(self._pending), self._style))
            self._pending.clear()


def _underlined(title: str, hotkey: str) -> list[tuple[str, str]]:
    """The title in pieces, its hotkey underlined where it has that letter."""
    place = title.lower().find(hotkey.lower()) if hotkey else -1
    if place < 0:
        return [(title, "")]
    end = place + len(hotkey)
    return [(title[:place], ""), (title[place:end], "underline"), (title[end:], "")]
