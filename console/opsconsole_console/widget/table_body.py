"""The body of a table for very many rows that change all the time: it paints the lines in sight from a store."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeVar

from textual.geometry import Region
from textual.message import Message
from textual.selection import Selection
from textual.strip import Strip

from opsconsole_console.widget.cell import ELLIPSIS
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.row_order import RowOrder
from opsconsole_console.widget.row_strip import Look, RowStrips
from opsconsole_console.widget.virtual_view import VirtualView, highlighted

IdT = TypeVar("IdT", bound=str)
RowT = TypeVar("RowT")

HEADER_LINES = 1
_COPIED_ROWS_MAX = 10_000


class _Place(NamedTuple):
    """Where the cursor and the view stood before the order changed."""

    cursor: int
    offset: int
    was_visible: bool
    top: int
    top_id: Any


@dataclass
class _TableMessage(Message):
    table: "TableBody[Any, Any]"

    @property
    def control(self) -> "TableBody[Any, Any]":
        return self.table


class TableBody(VirtualView, Generic[IdT, RowT]):
    """What `LiveTable` is made on: rows, their order, the cursor's place and painting; the keys and marking are there."""

    ALLOW_SELECT = True

    @dataclass
    class RowHighlighted(_TableMessage, namespace="live_table"):
        """The cursor came to another row; None when the table got empty.

        `left` is the row that it came from, where somebody moved it; else the row under it went away, or was the first.
        """

        row_id: str | None
        left: str | None = None

    @dataclass
    class RowSelected(_TableMessage, namespace="live_table"):
        """Enter or a double click on a row."""

        row_id: str

    @dataclass
    class RowsMarked(_TableMessage, namespace="live_table"):
        """Other rows are marked than before; these now, in the order shown."""

        row_ids: list[str]

    @dataclass
    class Sorted(_TableMessage, namespace="live_table"):
        """Sorted by another column, or the other way round; None: as the rows came."""

        column: str | None
        reverse: bool

    def __init__(
        self,
        columns: Sequence[Column[RowT]],
        *,
        empty: str = "",
        flush_hz: float | None = 15.0,
        id: str | None = None,  # noqa: A002 - Textual's name
        classes: str | None = None,
    ) -> None:
        """`empty` is shown where there are no rows, line by line in the middle."""
        super().__init__(flush_hz=flush_hz, id=id, classes=classes)
        self.columns: tuple[Column[RowT], ...] = tuple(columns)
        self.sorted_by: str | None = None
        self.reverse = False
        self._empty = empty
        self._unknown = ""
        self._order: RowOrder[IdT, RowT] = RowOrder()
        self._pending: dict[IdT, RowT] = {}
        self._gone: set[IdT] = set()
        self._cursor = 0
        self._cursor_id: IdT | None = None
        self._home: IdT | None = None
        self._marks: set[IdT] = set()
        self._strips: RowStrips | None = None

    # -- rows -----------------------------------------------------------------------------------------------------

    def set_rows(self, rows: Mapping[IdT, RowT]) -> None:
        """Hold exactly these rows, in this order where nothing is sorted; painted with the next frame."""
        place = self._place()
        self._pending.clear()
        self._gone.clear()
        self._order.replace(rows)
        self._marks &= rows.keys()
        self._strips = None
        self._settle(place)

    def upsert(self, rows: Mapping[IdT, RowT]) -> None:
        """Add or replace rows, with the next flush."""
        self._gone.difference_update(rows)
        self._pending.update(rows)
        self.schedule_flush()

    def discard(self, row_ids: Iterable[IdT]) -> None:
        """Forget rows, with the next flush; unknown ids are ignored."""
        for row_id in row_ids:
            self._pending.pop(row_id, None)
            self._gone.add(row_id)
        self.schedule_flush()

    def apply_pending(self) -> None:
        pending, gone = self._pending, self._gone
        if not pending and not gone:
            return
        self._pending, self._gone = {}, set()
        place = self._place()
        moved = self._order.remove(gone)
        moved = self._order.upsert(pending) or moved
        if self._strips is not None:
            self._strips.forget(pending)
            self._strips.forget(gone)
        if self._marks & gone:
            self._marks -= gone
            self._tell_marks()
        if moved:
            self._settle(place)
        else:
            self._refresh_rows(pending)

    def let_go(self) -> None:
        """Let the row with the cursor go to its place with the next change, and the cursor with it: somebody moves it."""
        self._order.hold(None)

    def touch(self) -> None:
        """Paint every row in sight anew, for content that depends on the time."""
        if self._strips is not None:
            self._strips.clear()
        self.refresh_view()

    def row(self, row_id: IdT) -> RowT | None:
        """A row as of the last flush, shown or not."""
        return self._order.get(row_id)

    @property
    def shown(self) -> int:
        """Rows that pass the filter."""
        return len(self._order)

    @property
    def total(self) -> int:
        """Rows held."""
        return self._order.total

    @property
    def shown_ids(self) -> list[IdT]:
        """The ids of all shown rows from the top."""
        return list(self._order)

    # -- order ----------------------------------------------------------------------------------------------------

    def sort_by(self, key: str | None, *, reverse: bool | None = None) -> None:
        """Sort by a column; again turns it round. `reverse` says which way instead; None as key undoes sorting.

        Raises KeyError for a column that doesn't exist or can't be sorted by.
        """
        if key is None:
            self.sorted_by, self.reverse, sort_key = None, False, None
        else:
            column = next((one for one in self.columns if one.key == key and one.sort_key is not None), None)
            if column is None:
                raise KeyError(key)
            again = self.sorted_by == key
            turned = (not self.reverse) if again else column.descending
            self.reverse = turned if reverse is None else reverse
            self.sorted_by, sort_key = key, column.sort_key
        place = self._place()
        self._order.sort(sort_key, reverse=self.reverse)
        self._settle(place, follow_cursor=True)
        self.post_message(self.Sorted(self, self.sorted_by, self.reverse))

    def set_filter(self, predicate: Callable[[RowT], bool] | None, *, invert: bool = False) -> None:
        """Show only rows that `predicate` accepts (`invert`: refuses); None shows all."""
        place = self._place()
        self._order.filter(predicate, invert=invert)
        self._settle(place, follow_cursor=True)

    def set_columns(self, columns: Sequence[Column[RowT]]) -> None:
        """Show other columns; sorting ends where its column went."""
        self.columns = tuple(columns)
        self._strips = None
        if self.sorted_by is not None and all(column.key != self.sorted_by for column in self.columns):
            self.sort_by(None)
        self.refresh_view()

    # -- cursor and marks -----------------------------------------------------------------------------------------

    @property
    def cursor_id(self) -> IdT | None:
        """The id of the row under the cursor, or None where nothing is shown."""
        return self._cursor_id

    @property
    def cursor_row(self) -> RowT | None:
        """The row under the cursor."""
        return None if self._cursor_id is None else self._order.get(self._cursor_id)

    def move_to(self, row_id: IdT) -> bool:
        """Put the cursor on a row and bring it into sight. Return False where it isn't shown."""
        position = self._order.position(row_id)
        if position is None:
            return False
        self._move_cursor(position)
        return True

    @property
    def marked(self) -> list[IdT]:
        """The marked rows that are shown, from the top. What a filter hides is not acted upon."""
        if not self._marks:
            return []
        return [row_id for row_id in self._order if row_id in self._marks]

    def some_marked(self, limit: int) -> list[IdT]:
        """At most `limit` of the marked rows that are shown, whichever: for what is asked with each key."""
        return list(islice((row_id for row_id in self._marks if row_id in self._order), limit))

    def set_unknown(self, text: str) -> None:
        """Say this where there are no rows, for as long as nobody knows whether there are; empty once it is known."""
        if text != self._unknown:
            self._unknown = text
            if not len(self._order):
                self.refresh_view()

    def set_empty(self, text: str) -> None:
        """Say something else where there are no rows."""
        self._empty = text
        if not len(self._order):
            self.refresh_view()

    # -- painting -------------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        strips = self._row_strips
        if y < HEADER_LINES:
            return strips.header(self.sorted_by, reverse=self.reverse)
        position = y - HEADER_LINES + self.scroll_offset.y
        if position >= len(self._order):
            text = "" if len(self._order) else self._unknown or self._empty
            return strips.message(text, y - HEADER_LINES, self._rows_in_view)
        strip = self._row_strip(self._order.id_at(position))
        selection = self.text_selection
        if selection is not None and (span := selection.get_span(position)) is not None:
            strip = highlighted(strip, *span, strips.look.selection)
        return self.with_offsets(strip, 0, position)

    def _row_strip(self, row_id: IdT) -> Strip:
        is_cursor, is_marked = row_id == self._cursor_id, row_id in self._marks
        return self._row_strips.row(row_id, self._order.get(row_id), is_cursor=is_cursor, is_marked=is_marked)

    @property
    def _row_strips(self) -> RowStrips:
        cells = self.view_size.width
        if self._strips is None or self._strips.cells != cells:
            selection = self.screen.get_component_rich_style("screen--selection")
            look = Look.of(self.get_component_rich_style, self.palette.base, selection)
            self._strips = RowStrips(self.columns, cells, look, self.palette, self.app.console)
        return self._strips

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips = None

    # -- selection ------------------------------------------------------------------------------------------------

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected text; of very many rows the first 10,000."""
        start = 0 if selection.start is None else selection.start.y
        end = len(self._order) if selection.end is None else selection.end.y + 1
        row_ids = self._order.ids_between(start, min(end, start + _COPIED_ROWS_MAX))
        lines = []
        for position, row_id in enumerate(row_ids, start):
            span = selection.get_span(position)
            if span is not None:
                text = self._row_strip(row_id).text
                first, last = span
                lines.append(text[first : None if last == -1 else last].rstrip())
        if end - start > len(row_ids) and len(row_ids) == _COPIED_ROWS_MAX:
            lines.append(ELLIPSIS)
        return "\n".join(lines), "\n"

    def selection_updated(self, selection: Selection | None) -> None:  # noqa: ARG002 - Textual's signature
        self.refresh_view()

    # -- keeping place --------------------------------------------------------------------------------------------

    @property
    def _rows_in_view(self) -> int:
        return max(1, self.view_size.height - HEADER_LINES)

    def _move_cursor(self, position: int) -> None:
        """The cursor's way by hand: clamp, paint both rows, scroll only as far as needed."""
        if not len(self._order):
            return
        position = max(0, min(position, len(self._order) - 1))
        self._home = None
        old, self._cursor = self._cursor, position
        row_id, left = self._order.id_at(position), self._cursor_id
        changed = row_id != left
        self._cursor_id = row_id
        if changed and self._let_go(row_id):
            self.post_message(self.RowHighlighted(self, row_id, left))
            return
        top = self.scroll_offset.y
        self._bring_into_view()
        if top == self.scroll_offset.y:
            self._refresh_lines(old, position)
        if changed:
            self.post_message(self.RowHighlighted(self, row_id, left))

    def _let_go(self, row_id: IdT) -> bool:
        """Hold the row that the cursor came to and return whether the one that it left took its proper place by that."""
        place = self._place()
        if not self._order.hold(row_id):
            return False
        self._settle(place, follow_cursor=True)
        return True

    def _bring_into_view(self) -> None:
        top, rows = self.scroll_offset.y, self._rows_in_view
        if self._cursor < top:
            self.jump(self._cursor)
        elif self._cursor >= top + rows:
            self.jump(self._cursor - rows + 1)

    def _place(self) -> _Place:
        top = self.scroll_offset.y
        offset = self._cursor - top
        top_id = self._order.id_at(top) if top < len(self._order) else None
        return _Place(self._cursor, offset, 0 <= offset < self._rows_in_view, top, top_id)

    def _settle(self, place: _Place, *, follow_cursor: bool = False) -> None:
        """After the order changed: the cursor goes with its row, and what was in sight stays where it was.

        A view at the very top stays there, so that new rows are seen coming. A row that a filter hides gets the cursor
        back when it returns, unless the cursor was moved meanwhile.
        """
        before = self._cursor_id
        self._find_cursor(place.cursor)
        self.resize_content(len(self._order) + HEADER_LINES)
        if place.top > 0:
            if place.was_visible:
                self.jump(self._cursor - place.offset)
            elif place.top_id is not None and (top := self._order.position(place.top_id)) is not None:
                self.jump(top)
        if place.was_visible or follow_cursor:
            self._bring_into_view()
        self.refresh_view()
        if before != self._cursor_id:
            self.post_message(self.RowHighlighted(self, self._cursor_id))

    def _find_cursor(self, fallback: int) -> None:
        order = self._order
        for row_id in (self._home, self._cursor_id):
            if row_id is not None and (position := order.position(row_id)) is not None:
                self._put_cursor(position)
                if row_id == self._home:
                    self._home = None
                return
        if self._home is None and self._cursor_id is not None and order.get(self._cursor_id) is not None:
            self._home = self._cursor_id
        self._put_cursor(max(0, min(fallback, len(order) - 1)))

    def _put_cursor(self, position: int) -> None:
        """The cursor is on the row at this position, and that is held where it is."""
        order = self._order
        self._cursor_id = order.id_at(position) if len(order) else None
        if order.hold(self._cursor_id) and self._cursor_id is not None:
            position = order.position(self._cursor_id) or 0
        self._cursor = position

    # -- frames ---------------------------------------------------------------------------------------------------

    def on_mount(self) -> None:
        self._settle(self._place())
        self.flush()

    def on_resize(self) -> None:
        self._bring_into_view()

    def _refresh_rows(self, row_ids: Iterable[IdT]) -> None:
        top = self.scroll_offset.y
        changed = set(row_ids)
        in_view = enumerate(self._order.ids_between(top, top + self._rows_in_view), top)
        self._refresh_lines(*(position for position, row_id in in_view if row_id in changed))

    def _refresh_lines(self, *positions: int) -> None:
        top, cells = self.scroll_offset.y, self.outer_size.width
        in_view = (p - top for p in positions if top <= p < top + self._rows_in_view)
        regions = [Region(0, y + HEADER_LINES, cells, 1) for y in in_view]
        if regions:
            self.refresh(*regions)

    def _tell_marks(self) -> None:
        self.post_message(self.RowsMarked(self, list[str](self.marked)))
