"""Columns of a table and how they share its width. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from rich.text import Text

from opsconsole_console.widget.cell import Align, Cell

RowT = TypeVar("RowT")
CellContent: TypeAlias = str | Cell | Text

GUTTER_CELLS = 1
_NARROW_CELLS = 60
_MARGIN_CELLS = 1


@dataclass(frozen=True)
class Column(Generic[RowT]):
    """One column.

    `render` gives a row's content; it is only called for rows in sight. `width` is in cells. With `flex` > 0 the column
    gets at least `width` and a share of what is left, up to `width_max`. Where the table is too narrow, the column with
    the lowest `priority` goes first, of equal ones the rightmost; the highest always stays.

    `sort_key` gives a value comparable with those of other rows, or None, which sorts last; without it the column can't
    be sorted by. `descending` columns (newest, biggest) start with the largest. `hotkey` is the letter of the title
    that sorts, underlined in the header; binding it is the app's. `tone` is for content that brings none. Content of a
    `named` column loses its middle where it is too long, since the end of a name or path tells as much as its beginning;
    all other content loses its end.
    """

    key: str
    title: str
    render: Callable[[RowT], CellContent]
    width: int = 8
    flex: int = 0
    width_max: int = 10_000
    align: Align = "left"
    sort_key: Callable[[RowT], Any] | None = None
    priority: int = 5
    descending: bool = False
    hotkey: str = ""
    tone: str = ""
    named: bool = False


class Slot(NamedTuple):
    """A column that is shown: its number, and its place in cells from the row's left edge."""

    column: int
    left: int
    width: int


def arrange(columns: Sequence[Column[Any]], width: int) -> tuple[Slot, ...]:
    """Which columns fit into `width` cells, where and how wide; the gutter on the left is left free.

    At least one column is given even where nothing fits; it is then cut to the width.
    """
    if not columns:
        return ()
    gap = 2
    if width < _NARROW_CELLS:
        gap = 1
    else:
        width -= _MARGIN_CELLS
    shown = list(range(len(columns)))
    while len(shown) > 1 and _needed(columns, shown, gap) > width:
        shown.remove(min(shown, key=lambda index: (columns[index].priority, -index)))
    widths = {index: columns[index].width for index in shown}
    spare = width - _needed(columns, shown, gap)
    if spare < 0:
        widths[shown[0]] = max(1, width - GUTTER_CELLS)
    else:
        _share(columns, shown, widths, spare)
    slots = []
    left = GUTTER_CELLS
    for index in shown:
        slots.append(Slot(index, left, widths[index]))
        left += widths[index] + gap
    return tuple(slots)


def _needed(columns: Sequence[Column[Any]], shown: Sequence[int], gap: int) -> int:
    return GUTTER_CELLS + sum(columns[index].width for index in shown) + gap * (len(shown) - 1)


def _share(columns: Sequence[Column[Any]], shown: Sequence[int], widths: dict[int, int], spare: int) -> None:
    """Give `spare` cells to the flexible columns by weight, until all is given or all are as wide as they may be."""
    while spare > 0:
        growing = [index for index in shown if columns[index].flex and widths[index] < columns[index].width_max]
        if not growing:
            return
        weight = sum(columns[index].flex for index in growing)
        given = 0
        for index in growing:
            share = max(1, spare * columns[index].flex // weight)
            share = min(share, columns[index].width_max - widths[index], spare - given)
            widths[index] += share
            given += share
        spare -= given
