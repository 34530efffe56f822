"""The table of a file browser."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

from textual.binding import Binding, BindingType

from opsconsole_console import format as fmt
from opsconsole_console.model.file_spot import FileRow
from opsconsole_console.screen.part.table_pane import TablePane, sort_bindings
from opsconsole_console.widget.cell import Cell, cell
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_protocol.file_listing import FileKind

HOTKEYS = {"name": "N", "size": "S", "date": "D"}


class FileTable(LiveTable[str, FileRow]):
    """`g` is for getting here, and not the way to the top. It is offered where there is something to get."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("g", "screen.get", "Get", id="files.get")]
    can_get = False

    def offers(self, action: str) -> bool | None:
        """Whether the footer shows a key for this action now; None: as the binding says."""
        return self.can_get if action == "screen.get" else None


class FilePane(TablePane[FileRow]):
    """Folders come first, unless it is sorted by something else."""

    nothing = "Nothing is in here"
    BINDINGS: ClassVar[list[BindingType]] = [*sort_bindings("files", HOTKEYS)]

    def __init__(self, *, number: int, title: str, id: str) -> None:  # noqa: A002 - Textual's name
        self._make_columns: MakeColumns = file_columns
        super().__init__(number=number, title=title, id=id)

    def make_table(self) -> LiveTable[str, FileRow]:
        return LiveTable(self.columns(80), flush_hz=None, id=f"{self.id}-table")

    def columns(self, width: int) -> Sequence[Column[FileRow]]:  # noqa: ARG002 - the same at every width
        return self._make_columns()

    def fill(self, rows: Sequence[FileRow]) -> None:
        """Show these lines, with the columns that they need."""
        make_columns = columns_for(rows)
        if make_columns is not self._make_columns:
            self._make_columns = make_columns
            self.fit_columns(anew=True)
        self.table.set_rows({row.id: row for row in rows})

    def properties(self, row: FileRow) -> Mapping[str, Any]:
        return {"name": row.text, "size": row.size, "kind": str(row.leads_to or row.kind)}

    def haystack(self, row: FileRow) -> str:
        return f"{row.text} {row.note}".casefold()

    @property
    def chosen(self) -> list[FileRow]:
        """The marked rows, or else the one under the cursor."""
        rows = [self.table.row(row_id) for row_id in self.table.marked] or [self.table.cursor_row]
        return [row for row in rows if row is not None]


class FarPane(FilePane):
    """Of a worker or a job: what is marked can be fetched."""

    def make_table(self) -> LiveTable[str, FileRow]:
        return FileTable(self.columns(80), flush_hz=None, id=f"{self.id}-table")

    def let_get(self, can_get: bool) -> None:
        """Say whether something can be fetched from what is shown."""
        if isinstance(self.table, FileTable):
            self.table.can_get = can_get


MakeColumns: TypeAlias = Callable[[], Sequence[Column[FileRow]]]


def columns_for(rows: Sequence[FileRow]) -> MakeColumns:
    """Which columns lines need: of mounts and a job's folders only what they are, of most files nothing of the kind."""
    if rows and all(row.root is not None for row in rows):
        return root_columns
    return noted_columns if any(row.note for row in rows) else file_columns


def file_columns() -> Sequence[Column[FileRow]]:
    """Name, size, date and permissions."""
    return (
        *_common_columns(),
        Column("mode", "MODE", lambda row: "" if row.root else row.mode_words, 10, priority=3, tone="text-muted"),
    )


def noted_columns() -> Sequence[Column[FileRow]]:
    """Name, size, date, and where it lies or why it isn't there."""
    return (*_common_columns(), _note_column(3))


def root_columns() -> Sequence[Column[FileRow]]:
    """Name, and what it is."""
    return (_name_column(1), _note_column(3))


def _common_columns() -> Sequence[Column[FileRow]]:
    return (
        _name_column(3),
        Column("size", "SIZE", _size, 8, align="right", priority=8, descending=True, hotkey="S",
               sort_key=lambda row: row.size),
        Column("date", "DATE", _date, 16, priority=7, descending=True, hotkey="D", tone="text-muted",
               sort_key=lambda row: row.mtime_ms),
    )  # fmt: skip


def _name_column(flex: int) -> Column[FileRow]:
    return Column("name", "NAME", _name, 20, flex=flex, priority=9, hotkey="N", named=True,
                  sort_key=lambda row: (not row.is_folder, row.name))  # fmt: skip


def _note_column(flex: int) -> Column[FileRow]:
    return Column("note", "", lambda row: row.note, 16, flex=flex, priority=6, tone="text-muted", named=True)


def _name(row: FileRow) -> Cell:
    name = row.text + "/" * row.is_folder
    if row.away:
        return cell(name, "text-disabled")
    if row.kind is FileKind.FOLDER:
        return cell(name, "bold primary")
    if row.kind is FileKind.LINK and not row.note:
        lead = {None: "leads out, or nowhere", FileKind.FOLDER: "→ a folder"}.get(row.leads_to, "→ a file")
        return cell(row.text, "primary" if row.is_folder else "") + cell(f"  {lead}", "text-muted")
    return cell(name, "primary" if row.is_folder else "" if row.is_file else "text-disabled")


def _size(row: FileRow) -> str:
    if row.is_file or (row.is_folder and row.size):
        return fmt.size(row.size)
    return ""


def _date(row: FileRow) -> str:
    return fmt.stamp(row.mtime_ms)[:16] if row.mtime_ms > 0 else ""
