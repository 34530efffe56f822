"""A table for very many rows that change all the time, its cursor and its marks, from the keyboard and with the mouse."""

from collections.abc import Iterable
from typing import ClassVar, Generic, TypeVar

from textual import events
from textual.binding import Binding, BindingType

from opsconsole_console.widget.table_body import HEADER_LINES, TableBody

IdT = TypeVar("IdT", bound=str)
RowT = TypeVar("RowT")


class LiveTable(TableBody[IdT, RowT], Generic[IdT, RowT]):
    """Rows by id under columns; the cursor and the marks belong to ids, not to lines.

    The row under the cursor keeps its place whatever becomes of it, until the cursor leaves it: it must not jump away
    from under a hand that is about to press a key.

    `set_rows`, `upsert` and `discard` take batches at any rate; what changed and is in sight is painted at most
    `flush_hz` times a second (None: whenever the app calls `flush`). Rows may be any objects, also ones changed in
    place, as long as every change is told by `upsert`. For rows that show passing time, call `touch` once a second.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "live-table--header",
        "live-table--header-sorted",
        "live-table--cursor",
        "live-table--cursor-bar",
        "live-table--marked",
        "live-table--mark",
        "live-table--empty",
    }
    DEFAULT_CSS = """
    LiveTable {
        background: $surface;
        color: $foreground;
        & > .live-table--header { color: $foreground 60%; text-style: bold; }
        & > .live-table--header-sorted { color: $primary; text-style: bold; }
        & > .live-table--cursor { background: $primary 12%; }
        & > .live-table--cursor-bar { color: $primary 60%; background: $primary 12%; }
        & > .live-table--marked { background: $accent 15%; }
        & > .live-table--mark { color: $accent; }
        & > .live-table--empty { color: $foreground 60%; }
        &:focus > .live-table--cursor { background: $primary 28%; text-style: bold; }
        &:focus > .live-table--cursor-bar { color: $primary; background: $primary 28%; }
    }
    """
    # fmt: off
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False, id="table.down"),
        Binding("up,k", "move(-1)", "Up", show=False, id="table.up"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="table.page_down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="table.page_up"),
        Binding("ctrl+d", "page(0.5)", "Half a page down", show=False, id="table.half_page_down"),
        Binding("ctrl+u", "page(-0.5)", "Half a page up", show=False, id="table.half_page_up"),
        Binding("home,g", "top", "First", show=False, id="table.top"),
        Binding("end,G", "bottom", "Last", show=False, id="table.bottom"),
        Binding("space", "mark", "Mark", show=False, tooltip="And go on to the next", id="table.mark"),
        Binding("shift+down", "mark_on(1)", "Mark downward", show=False, id="table.mark_down"),
        Binding("shift+up", "mark_on(-1)", "Mark upward", show=False, id="table.mark_up"),
        Binding("V,ctrl+@", "mark_range", "Mark range", show=False, key_display="V ctrl+space",
                tooltip="From the last mark to here", id="table.mark_range"),
        Binding("asterisk,ctrl+a", "mark_all", "Mark all", show=False, key_display="* ctrl+a",
                tooltip="All that are shown", id="table.mark_all"),
        Binding("tilde", "mark_others", "Mark the others", show=False, key_display="~",
                tooltip="Instead of the marked ones", id="table.mark_others"),
        Binding("enter", "open", "Open", show=False, id="table.open"),
    ]
    # fmt: on

    _marked_last: IdT | None = None
    """Where `mark_range` begins."""

    # -- marks ----------------------------------------------------------------------------------------------------

    def toggle_mark(self, row_id: IdT) -> None:
        """Mark a row, or unmark it."""
        self._marked_last = row_id
        self._set_marks(self._marks ^ {row_id})

    def unmark(self, row_ids: Iterable[IdT]) -> None:
        """Unmark these."""
        self._set_marks(self._marks.difference(row_ids))

    def clear_marks(self) -> None:
        """Unmark everything, hidden rows too."""
        self._set_marks(set())

    def _set_marks(self, marks: set[IdT]) -> None:
        changed = self._marks ^ marks
        if changed:
            self._marks = marks
            self._refresh_rows(changed)
            self._tell_marks()

    # -- actions --------------------------------------------------------------------------------------------------

    def action_move(self, rows: int) -> None:
        self._move_cursor(self._cursor + rows)

    def action_page(self, pages: float) -> None:
        step = max(1, int(self._rows_in_view * abs(pages)) - (abs(pages) >= 1))
        if pages < 0:
            step = -step
        self.jump(self.scroll_offset.y + step)
        self._move_cursor(self._cursor + step)

    def action_top(self) -> None:
        self._move_cursor(0)

    def action_bottom(self) -> None:
        self._move_cursor(len(self._order) - 1)

    def action_mark(self) -> None:
        if self._cursor_id is not None:
            self.toggle_mark(self._cursor_id)
            self.action_move(1)

    def action_mark_on(self, rows: int) -> None:
        """Mark this row, the next one, and so on for as long as the key is held."""
        passed = self._cursor_id
        self.action_move(rows)
        self._marked_last = self._cursor_id
        self._set_marks(self._marks.union(one for one in (passed, self._cursor_id) if one is not None))

    def action_mark_range(self) -> None:
        """Mark from the row marked last to this one; this one alone where there is none."""
        last = None if self._marked_last is None else self._order.position(self._marked_last)
        if self._cursor_id is not None:
            self._mark_between(self._cursor if last is None else last, self._cursor)

    def action_mark_all(self) -> None:
        self._set_marks(self._marks.union(self._order))

    def action_mark_others(self) -> None:
        self._set_marks(self._marks.symmetric_difference(self._order))

    def _mark_between(self, one: int, other: int) -> None:
        self._marked_last = self._cursor_id
        self._set_marks(self._marks.union(self._order.ids_between(min(one, other), max(one, other) + 1)))

    def action_open(self) -> None:
        if self._cursor_id is not None:
            self.post_message(self.RowSelected(self, self._cursor_id))

    def on_click(self, event: events.Click) -> None:
        # Textual's own double click selects all text.
        event.prevent_default()
        offset = event.get_content_offset(self)
        if offset is None:
            return
        event.stop()
        if offset.y < HEADER_LINES:
            self._sort_at(offset.x)
            return
        position = self.scroll_offset.y + offset.y - HEADER_LINES
        if position >= len(self._order):
            return
        self._move_cursor(position)
        if event.ctrl:
            self.toggle_mark(self._order.id_at(position))
        elif event.shift:
            self.action_mark_range()
        elif event.chain == 2:
            self.action_open()

    def _sort_at(self, x: int) -> None:
        for slot in self._row_strips.slots:
            if slot.left <= x < slot.left + slot.width and self.columns[slot.column].sort_key is not None:
                self.sort_by(self.columns[slot.column].key)
