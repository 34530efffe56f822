"""A pane with a table that can be filtered and sorted from the keyboard."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from opsconsole_console.model.coverage import NOTHING_YET, Coverage, empty_text
from opsconsole_console.screen.part.filter_bar import FilterBar
from opsconsole_console.screen.part.shell_access import shell
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_console.widget.pane import Pane
from opsconsole_protocol import filter as filters
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.filter import Filter
from opsconsole_protocol.requirement import Requirement, checked, is_number

RowT = TypeVar("RowT")
_ROWS_ASKED_MAX = 200


def sort_bindings(group: str, hotkeys: Mapping[str, str]) -> list[BindingType]:
    """`shift` and a letter sort by the column whose title has that letter underlined."""
    return [
        Binding(letter, f"sort('{key}')", f"Sort by {key}", show=False, id=f"{group}.sort.{key}")
        for key, letter in hotkeys.items()
    ]


class TablePane(Pane, Generic[RowT]):
    """What every table pane has: `/` filter, `!` invert, escape to undo, sorting, its columns fitted to its width."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/", id="table.filter"),
        Binding("exclamation_mark", "invert", "Invert filter", show=False, key_display="!", id="table.invert"),
        Binding("escape", "back", "Undo", show=False, id="table.back"),
    ]

    def __init__(self, *, number: int, title: str, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(number=number, title=title, id=id)
        self.filter = Filter()
        self._unreadable = ""
        """What is wrong with the line that is being typed."""
        self.table: LiveTable[str, RowT] = self.make_table()
        self.coverage = NOTHING_YET
        self._update_empty_text()
        self._columns_for = 0

    @abstractmethod
    def make_table(self) -> LiveTable[str, RowT]:
        """The table, empty."""

    @abstractmethod
    def columns(self, width: int) -> Sequence[Column[RowT]]:
        """The table's columns at a width in cells."""

    @abstractmethod
    def properties(self, row: RowT) -> Mapping[str, Any]:
        """What filter conditions look at."""

    @abstractmethod
    def haystack(self, row: RowT) -> str:
        """What free text is looked for in, lower case."""

    def read_filter(self, text: str, *, inverted: bool) -> Filter:
        """What the filter line says. Raises InvalidRequest where it can't be read."""
        return filters.parse(text, inverted=inverted, check=self._checked)

    @property
    def fields(self) -> Sequence[str]:
        """What conditions can name, as far as the rows at hand tell."""
        return sorted({name for properties in self._at_hand() for name in properties})

    def _checked(self, one: Requirement) -> Requirement:
        """The same, unless it compares with a word what is a number in all rows at hand."""
        return checked(one, (one.key,)) if is_number(one.key, self._at_hand()) else one

    def _at_hand(self) -> Iterator[Mapping[str, Any]]:
        rows = map(self.table.row, self.table.shown_ids[:_ROWS_ASKED_MAX])
        return (self.properties(row) for row in rows if row is not None)

    def compose(self) -> ComposeResult:
        yield self.table
        yield FilterBar(placeholder=self.filter_hint)

    nothing: ClassVar[str] = ""
    """What is said where there is no row at all."""

    filter_hint: ClassVar[str] = "words, key=value, key>=number, key~regex, !without"

    # -- filter ---------------------------------------------------------------------------------------------------

    def set_filter(self, text: str, *, inverted: bool | None = None) -> None:
        """Show only what the line lets through. Raises InvalidRequest where it can't be read."""
        inverted = self.filter.inverted if inverted is None else inverted
        self.filter = self.read_filter(text, inverted=inverted)
        self._unreadable = ""
        self.table.set_filter(self.filter.predicate(self.properties, self.haystack))
        self._update_empty_text()
        self.show_state()

    def set_coverage(self, coverage: Coverage) -> None:
        """Say how much of what could be shown is here; what an empty table says depends on it."""
        if coverage != self.coverage:
            self.coverage = coverage
            self._update_empty_text()
            if self.is_mounted:
                self.show_state()

    def _update_empty_text(self) -> None:
        self.table.set_empty(empty_text(self.coverage, nothing=self.nothing, filtered=not self.filter.empty))

    def show_state(self) -> None:
        """Say in the frame what is filtered, marked and sorted."""
        parts = [self.filter.label] if not self.filter.empty else []
        marked = len(self.table.marked)
        if marked:
            parts.insert(0, f"{marked:,} marked")
        if not self.filter.empty:
            parts.append(self.count_text())
        self.state = self._unreadable or "  ".join(parts)
        self.refresh_bindings()

    def count_text(self) -> str:
        """How many rows the filter shows, of how many."""
        return f"{self.table.shown:,} of {self.table.total:,}" + ("…" if self.coverage.looking else "")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Let escape bubble up where there is nothing to undo here."""
        if action == "back":
            return self.zoomed or bool(self.table.some_marked(1)) or not self.filter.empty
        return super().check_action(action, parameters)

    def action_filter(self) -> None:
        self.query_one(FilterBar).ask(self.filter.text)

    def action_invert(self) -> None:
        if self.filter.empty:
            shell(self).say("there is no filter to invert: type one with /", "warning")
            return
        self.set_filter(self.filter.text, inverted=not self.filter.inverted)

    def action_back(self) -> None:
        if self.zoomed:
            self.zoom(False)
        elif self.table.marked:
            self.table.clear_marks()
        elif not self.filter.empty:
            self.set_filter("", inverted=False)

    def action_sort(self, key: str) -> None:
        if any(column.key == key for column in self.table.columns):
            self.table.sort_by(key)

    @on(FilterBar.Typed)
    def _filter_typed(self, event: FilterBar.Typed) -> None:
        event.stop()
        try:
            self.set_filter(event.text)
        except InvalidRequest as error:
            self._unreadable = "" if event.final else error.message
            self.show_state()
            if event.final:
                shell(self).say(error.message, "warning")
        if event.final:
            self.table.focus()

    @on(LiveTable.RowsMarked)
    def _show_marks(self) -> None:
        self.show_state()

    # -- width ----------------------------------------------------------------------------------------------------

    def on_resize(self) -> None:
        self.fit_columns()

    def fit_columns(self, *, anew: bool = False) -> None:
        """Give the table the columns for the pane's width; `anew` also where it has them already."""
        width = self.size.width
        if width and (anew or width != self._columns_for):
            self._columns_for = width
            self.table.set_columns(self.columns(width))
