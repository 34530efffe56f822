"""A table whose rows may say one long thing instead of their last columns."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from opsconsole_console.widget.cell import Cell, fit
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.live_table import LiveTable

IdT = TypeVar("IdT", bound=str)
RowT = TypeVar("RowT")


class BelowTable(LiveTable[IdT, RowT]):
    """A table that can say how near its cursor is to the end."""

    @property
    def rows_below(self) -> int:
        """Rows after the one under the cursor."""
        return self.shown - 1 - self._cursor


class WideRowTable(BelowTable[IdT, RowT]):
    """`wide_cell` gives what a row says from its column `wide_from` to its end, or None for a row in columns."""

    def __init__(
        self,
        columns: Sequence[Column[RowT]],
        *,
        wide_cell: Callable[[RowT], Cell | None],
        wide_from: Callable[[RowT], str],
        empty: str = "",
        flush_hz: float | None = None,
        id: str | None = None,  # noqa: A002 - Textual's name
    ) -> None:
        super().__init__(columns, empty=empty, flush_hz=flush_hz, id=id)
        self._wide_cell = wide_cell
        self._wide_from = wide_from

    def _row_strip(self, row_id: IdT) -> Strip:
        strip = super()._row_strip(row_id)
        row = self.row(row_id)
        content = None if row is None else self._wide_cell(row)
        if row is None or content is None:
            return strip
        left = self._left_of(self._wide_from(row))
        if left is None:
            return strip
        cells = strip.cell_length
        base = _style_at(strip, left, self.palette.base)
        spans = fit(content.spans, max(0, cells - left - 1))
        segments = [Segment(text, self.palette.style(tone, base)) for text, tone in spans]
        return Strip([*strip.crop(0, left), *segments, Segment(" ", base)], cells)

    def _left_of(self, key: str) -> int | None:
        for slot in self._row_strips.slots:
            if self.columns[slot.column].key == key:
                return slot.left
        return None


def _style_at(strip: Strip, left: int, fallback: Style) -> Style:
    """The background that a row has there: the cursor's, a mark's or none; not the colour of one cell's text."""
    for segment in strip.crop(left - 1, left):
        if segment.style is not None:
            return Style(bgcolor=segment.style.bgcolor, bold=segment.style.bold, color=fallback.color)
    return fallback
