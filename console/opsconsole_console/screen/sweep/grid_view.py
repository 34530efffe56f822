"""The grid of a sweep: its cells, a cursor that goes from cell to cell, and marks."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip

from opsconsole_console.model.sweep_grid import CellFact, Grid, Place
from opsconsole_console.visible import clean
from opsconsole_console.widget.cell import Cell, cell, crop, fit, width
from opsconsole_console.widget.sign import sign
from opsconsole_console.widget.virtual_view import VirtualView

_HEADER_LINES = 1
_LABEL_CELLS_MAX = 24
_CELL_CELLS_MIN, _CELL_CELLS_MAX = 6, 18
_GAP = 1


class GridView(VirtualView):
    """A line for each row of the grid; columns that have no room come into sight with the cursor."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"grid--cursor", "grid--marked", "grid--label"}
    DEFAULT_CSS = """
    GridView {
        background: $surface;
        color: $foreground;
        & > .grid--label { color: $foreground 60%; text-style: bold; }
        & > .grid--marked { background: $accent 25%; }
        & > .grid--cursor { background: $primary 20%; }
        &:focus > .grid--cursor { background: $primary 40%; text-style: bold; }
    }
    """
    # fmt: off
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1,0)", "Down", show=False, id="grid.down"),
        Binding("up,k", "move(-1,0)", "Up", show=False, id="grid.up"),
        Binding("right", "move(0,1)", "Right", show=False, id="grid.right"),
        Binding("left", "move(0,-1)", "Left", show=False, id="grid.left"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="grid.page_down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="grid.page_up"),
        Binding("home,g", "edge(-1)", "First", show=False, id="grid.first"),
        Binding("end,G", "edge(1)", "Last", show=False, id="grid.last"),
        Binding("space", "mark", "Mark", tooltip="Mark the cell, or take its mark off", id="grid.mark"),
        Binding("a", "mark_all", "Mark all", show=False, tooltip="All cells, or none", id="grid.mark_all"),
        Binding("escape", "undo", "Undo", show=False, tooltip="Take off the marks, then the filter", id="grid.undo"),
    ]
    # fmt: on

    class Moved(Message):
        """The cursor is on another cell, or other cells are marked."""

    class Unfiltered(Message):
        """Nobody wants only some tasks any more."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(flush_hz=None, id=id, classes=None)
        self._grid = Grid()
        self._facts: Mapping[Place, CellFact] = {}
        self._cursor: Place = (0, 0)
        self._first_column = 0
        self._label_cells = self._cell_cells = 1
        self._empty = ""
        self.marked: set[Place] = set()
        self.is_filtered = False

    @property
    def cursor(self) -> Place:
        """The cell under the cursor."""
        return self._cursor

    @property
    def chosen(self) -> list[Place]:
        """The marked cells in order, or else the one under the cursor."""
        return sorted(self.marked) or [self._cursor]

    def show(self, grid: Grid, facts: Mapping[Place, CellFact]) -> None:
        """Show a grid. The cursor and the marks stay with the values that they are on."""
        if (grid.down, grid.across) == (self._grid.down, self._grid.across):
            self.marked = {place for one in self.marked if (place := _moved(one, self._grid, grid)) is not None}
            cursor = _moved(self._cursor, self._grid, grid) or self._cursor
        else:
            self.marked, cursor, self._first_column = set(), (0, 0), 0
        self._grid, self._facts = grid, facts
        self._cursor = _within(cursor, grid)
        self._measure()
        self.resize_content(len(grid.rows) + _HEADER_LINES)
        self._keep_in_sight()
        self.refresh_view()

    def say(self, text: str) -> None:
        """What stands where there is nothing to show."""
        self._empty = text
        self.refresh_view()

    def clear_marks(self) -> None:
        """Take off all marks."""
        self.marked.clear()
        self._changed()

    # -- painting -------------------------------------------------------------------------------------------------

    def _measure(self) -> None:
        grid = self._grid
        corner = f"{grid.down} \\ {grid.across}" if grid.across else grid.down
        self._label_cells = min(_LABEL_CELLS_MAX, max(width(clean(one)) for one in (corner, *grid.rows)))
        texts = [*grid.columns, *(f"{sign(fact.state).glyph} {fact.text}" for fact in self._facts.values())]
        widest = max((width(clean(one)) for one in texts), default=0)
        self._cell_cells = min(_CELL_CELLS_MAX, max(_CELL_CELLS_MIN, widest))

    @property
    def _columns_in_sight(self) -> int:
        room = self.view_size.width - self._label_cells - _GAP
        return max(1, room // (self._cell_cells + _GAP))

    def render_line(self, y: int) -> Strip:
        cells = self.view_size.width
        if not self._grid.rows:
            return self._strip([(cell(self._empty, "text-muted") if y == 0 else cell(""), cells, "")], cells)
        row = y - _HEADER_LINES + self.scroll_offset.y
        if y >= _HEADER_LINES and row >= len(self._grid.rows):
            return Strip.blank(cells, self.palette.base)
        grid = self._grid
        last = self._first_column + self._columns_in_sight
        columns = range(self._first_column, min(last, len(grid.columns)))
        if y < _HEADER_LINES:
            corner = f"{grid.down} \\ {grid.across}" if grid.across else grid.down
            parts = [(cell(corner), self._label_cells, "grid--label")]
            parts += [(cell(grid.columns[column]), self._cell_cells, "grid--label") for column in columns]
        else:
            parts = [(cell(grid.rows[row]), self._label_cells, "grid--label")]
            parts += [
                (self._content((row, column)), self._cell_cells, self._class((row, column))) for column in columns
            ]
        return self._strip(parts, cells)

    def _strip(self, parts: Sequence[tuple[Cell, int, str]], cells: int) -> Strip:
        base = self.palette.base
        segments: list[Segment] = []
        taken = 0
        for content, wanted, name in parts:
            style = self.get_component_rich_style(name) if name else base
            fitted = fit([(clean(text), tone) for text, tone in content.spans], min(wanted, max(0, cells - taken)))
            segments += [Segment(text, self.palette.style(tone, style)) for text, tone in fitted]
            segments.append(Segment(" " * _GAP, base))
            taken += wanted + _GAP
        return Strip(segments).adjust_cell_length(cells, base)

    def _class(self, place: Place) -> str:
        if place == self._cursor:
            return "grid--cursor"
        return "grid--marked" if place in self.marked else ""

    def _content(self, place: Place) -> Cell:
        fact = self._facts.get(place)
        if fact is None:
            return cell("·", "text-muted")
        shown = sign(fact.state)
        mark = "•" if place in self.marked else " "
        return Cell(((shown.glyph, shown.tone), (mark, "accent"), (crop(fact.text, self._cell_cells - 2), "")))

    # -- moving and marking ---------------------------------------------------------------------------------------

    def _keep_in_sight(self) -> None:
        row, column = self._cursor
        self._first_column = min(self._first_column, column)
        self._first_column = max(self._first_column, column - self._columns_in_sight + 1, 0)
        lines = max(1, self.view_size.height - _HEADER_LINES)
        if row < self.scroll_offset.y:
            self.jump(row)
        elif row >= self.scroll_offset.y + lines:
            self.jump(row - lines + 1)

    def _changed(self) -> None:
        self._keep_in_sight()
        self.refresh_view()
        self.post_message(self.Moved())

    def on_resize(self) -> None:
        self._keep_in_sight()

    def action_move(self, rows: int, columns: int) -> None:
        row, column = self._cursor
        self._cursor = _within((row + rows, column + columns), self._grid)
        self._changed()

    def action_page(self, pages: int) -> None:
        self.action_move(pages * max(1, self.view_size.height - _HEADER_LINES), 0)

    def action_edge(self, end: int) -> None:
        self.action_move(end * len(self._grid.rows), 0)

    def action_mark(self) -> None:
        if self._cursor in self._facts:
            self.marked ^= {self._cursor}
            self._changed()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Let escape bubble up where there is nothing to undo here."""
        if action == "undo":
            return bool(self.marked) or self.is_filtered
        return super().check_action(action, parameters)

    def action_undo(self) -> None:
        if self.marked:
            self.clear_marks()
        else:
            self.post_message(self.Unfiltered())

    def action_mark_all(self) -> None:
        self.marked = set() if self.marked == set(self._facts) else set(self._facts)
        self._changed()


def _within(place: Place, grid: Grid) -> Place:
    row, column = place
    return max(0, min(row, len(grid.rows) - 1)), max(0, min(column, len(grid.columns) - 1))


def _moved(place: Place, before: Grid, now: Grid) -> Place | None:
    """Where the values of a place are now."""
    row, column = place
    if row >= len(before.rows) or column >= len(before.columns):
        return None
    try:
        return now.rows.index(before.rows[row]), now.columns.index(before.columns[column])
    except ValueError:
        return None
