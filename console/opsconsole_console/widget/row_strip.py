"""The painted rows of a table, kept until their row, their state or the theme changes."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.style import Style
from textual.strip import Strip

from opsconsole_console.visible import clean
from opsconsole_console.widget.cell import crop, width
from opsconsole_console.widget.column import Column, arrange
from opsconsole_console.widget.palette import Palette
from opsconsole_console.widget.row_painter import RowPainter

_STRIPS_MAX = 4_096
_BAR, _MARK = "▌", "◆"


class Look(NamedTuple):
    """Styles of a table's parts in the present theme."""

    base: Style
    header: Style
    header_sorted: Style
    cursor: Style
    cursor_bar: Style
    marked: Style
    mark: Style
    empty: Style
    selection: Style

    @classmethod
    def of(cls, component: Callable[[str], Style], base: Style, selection: Style) -> "Look":
        """Styles from component classes (`header` is `live-table--header`)."""

        def style(part: str) -> Style:
            return component(f"live-table--{part}")

        return cls(
            base=base,
            header=style("header"),
            header_sorted=style("header-sorted"),
            cursor=style("cursor"),
            cursor_bar=style("cursor-bar"),
            marked=style("marked"),
            mark=Style(color=style("mark").color),
            empty=style("empty"),
            selection=selection,
        )


class RowStrips:
    """Strips for one set of columns at one width in one look; a new one is made when any of these changes."""

    def __init__(
        self, columns: Sequence[Column[Any]], cells: int, look: Look, palette: Palette, console: Console
    ) -> None:
        self.look = look
        self.cells = cells
        self.slots = arrange(columns, cells)
        self._painter = RowPainter(columns, self.slots, palette, console)
        self._strips: dict[str, tuple[bool, bool, Strip]] = {}

    def row(self, row_id: str, row: Any, *, is_cursor: bool, is_marked: bool) -> Strip:
        """A row in exactly the table's width."""
        kept = self._strips.get(row_id)
        if kept is not None and kept[0] is is_cursor and kept[1] is is_marked:
            return kept[2]
        if len(self._strips) >= _STRIPS_MAX:
            self._strips.clear()
        look = self.look
        style = look.cursor if is_cursor else look.marked if is_marked else look.base
        gutter = (_MARK, look.mark) if is_marked else (_BAR, look.cursor_bar) if is_cursor else (" ", "")
        strip = self._painter.row(row, gutter, style).crop_extend(0, self.cells, style)
        self._strips[row_id] = (is_cursor, is_marked, strip)
        return strip

    def header(self, sorted_by: str | None, *, reverse: bool) -> Strip:
        """The titles."""
        look = self.look
        strip = self._painter.header(look.header, look.header_sorted, sorted_by, reverse=reverse)
        return strip.crop_extend(0, self.cells, look.header)

    def message(self, text: str, line: int, lines: int) -> Strip:
        """Line `line` of `lines` with `text` in their middle."""
        parts = text.splitlines()
        index = line - max(0, (lines - len(parts)) // 2)
        if not 0 <= index < len(parts):
            return Strip.blank(self.cells, self.look.base)
        part = crop(clean(parts[index]), self.cells)
        strip = self._painter.label(" " * ((self.cells - width(part)) // 2) + part, self.look.empty)
        return strip.crop_extend(0, self.cells, self.look.base)

    def forget(self, row_ids: Iterable[str]) -> None:
        """These rows changed."""
        pop = self._strips.pop
        for row_id in row_ids:
            pop(row_id, None)

    def clear(self) -> None:
        """All rows changed."""
        self._strips.clear()
