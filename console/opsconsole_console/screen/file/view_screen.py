"""One file, looked into without fetching it: text and logs in pieces, tables, trees, images, and the first bytes of the rest."""

from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from opsconsole.fleet import Change
from opsconsole_console import format as fmt
from opsconsole_console.model.file_image import half_blocks, image_facts
from opsconsole_console.model.file_kind import ContentKind, broken_promise, decode, kind_of
from opsconsole_console.model.file_spot import FileSpot
from opsconsole_console.model.file_table import ShownTable, read_delimited, read_json_lines
from opsconsole_console.model.file_tree import json_fault, json_lines
from opsconsole_console.screen.file.content_lines import (
    binary_lines,
    note_line,
    picture_lines,
    table_lines,
    text_lines,
    tree_lines,
)
from opsconsole_console.screen.part.detail_screen import DetailScreen
from opsconsole_console.screen.part.key_bar import KeyBar
from opsconsole_console.screen.part.shell_access import run_exclusive, shell
from opsconsole_console.service import rendering
from opsconsole_console.service.file_source import FileSource
from opsconsole_console.widget.cell import Cell
from opsconsole_console.widget.line_body import LineBody
from opsconsole_console.widget.pane import Pane
from opsconsole_protocol.error import InvalidRequest, OpsconsoleError
from opsconsole_protocol.file_listing import FILE_PART_BYTES_MAX, FilePart

TEXT_BYTES_MAX = 16 << 20
"""How much of one file's text is kept in memory; what is behind is reached by its end only."""
_IMAGE_HEADING_LINES = 2
STRUCTURED_BYTES_MAX = 4 * FILE_PART_BYTES_MAX
"""How much of a table or a tree is read."""


class ViewScreen(DetailScreen):
    """More of a text is fetched as one comes to its end; `G` goes to the last lines of any file."""

    AUTO_FOCUS = "#view-body"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "x", "as_text", "As text or bytes", id="view.as_text", tooltip="What is shown as a table or tree, plainly"
        ),
        Binding("y", "copy", "Copy path", id="view.copy"),
        Binding("ctrl+r", "reload", "Look again", show=False, id="view.reload"),
    ]

    def __init__(self, files: FileSource, spot: FileSpot, path: bytes) -> None:
        super().__init__()
        self._files = files
        self._spot = spot
        self._file_path = path
        self._file_name = path.rpartition(b"/")[2].decode("utf-8", "replace")
        self._body = LineBody(id="view-body")
        self._pane = Pane(self._body, number=1, title="File", subject=self._file_name, id="view")
        self._pane.add_class("-chosen")
        self._kind = ContentKind.EMPTY
        self._is_plain = False
        self._shown_bytes = 0
        """Up to where the file is shown from its beginning."""
        self._file_bytes = 0
        self._whole_path = ""
        self._begun = b""
        """The beginning of a line whose end is in the next piece."""
        self._is_at_end = False
        """The file's end is shown: nothing follows."""
        self._is_fetching = False

    def compose(self) -> ComposeResult:
        yield self._pane
        yield KeyBar()

    def on_mount(self) -> None:
        self.action_reload()

    def apply(self, change: Change) -> None:
        """Look again after a lost connection."""
        if change.reset and not self._shown_bytes:
            self.action_reload()

    # -- the beginning --------------------------------------------------------------------------------------------

    def action_reload(self) -> None:
        self._is_fetching = False
        run_exclusive(self, self._open, "view")

    async def _open(self) -> None:
        try:
            data, part = await self._files.head(self._spot, self._file_path, FILE_PART_BYTES_MAX)
            self._kind = kind_of(self._file_name, data)
            if not self._is_plain and self._kind in _STRUCTURED and part.size > len(data):
                data, part = await self._files.head(self._spot, self._file_path, STRUCTURED_BYTES_MAX)
        except OpsconsoleError as error:
            self._body.show([note_line(error.message)])
            return
        self._whole_path = part.path
        self._show(data, part)
        if self._kind in {ContentKind.IMAGE, ContentKind.PARQUET}:
            await self._show_rendered(data, part)

    async def _show_rendered(self, data: bytes, part: FilePart) -> None:
        """Show an image or a Parquet file as what it is, where the libraries for it are installed."""
        try:
            if self._kind is ContentKind.IMAGE:
                lines, heading = await self._picture(data, part), None
            else:
                lines, heading = await self._parquet(part)
        except OpsconsoleError as error:
            lines, heading = [note_line(error.message), note_line("")], None
        if self._kind is ContentKind.IMAGE:
            lines = [*self._image_lines(data), *lines]
        self._body.show(lines, heading)
        self._is_at_end = True

    async def _picture(self, data: bytes, part: FilePart) -> list[Cell]:
        if not rendering.can_show_images():
            return [
                note_line("to see it here: pip install 'opsconsole[view]'"),
                note_line(""),
                *binary_lines(data[:4096]),
            ]
        if part.size > rendering.RENDERED_BYTES_MAX:
            raise InvalidRequest(f"it has {fmt.size(part.size)}: get it, and look at it on this machine")
        if len(data) < part.size:
            data, _ = await self._files.head(self._spot, self._file_path, part.size)
        room = self._body.size
        found = await rendering.pixels_of(data, max(10, room.width), max(10, 2 * (room.height - _IMAGE_HEADING_LINES)))
        return picture_lines(half_blocks(found.data, found.width, found.height))

    async def _parquet(self, part: FilePart) -> tuple[list[Cell], Cell | None]:
        if not rendering.can_read_parquet():
            return [note_line("to see what is in it: pip install 'opsconsole[view]'")], None
        if part.size <= rendering.RENDERED_BYTES_MAX:
            data, _ = await self._files.head(self._spot, self._file_path, part.size)
        else:
            offset = part.size - rendering.TAIL_BYTES
            data = await self._files.tail(self._spot, self._file_path, offset)
        head = await rendering.parquet_head(data, part.size)
        self._pane.state = f"Parquet  {head.num_rows:,} rows  {head.num_columns:,} columns"
        heading, lines = table_lines(head.table)
        if head.table.is_cut and head.has_rows:
            lines.append(note_line(_MORE))
        return lines, heading

    def _show(self, data: bytes, part: FilePart) -> None:
        self._file_bytes, self._shown_bytes, self._begun = part.size, len(data), b""
        is_whole = len(data) >= part.size
        self._is_at_end = is_whole
        heading, lines = None, None
        if not self._is_plain:
            heading, lines = self._structured(data, is_whole=is_whole)
        if lines is None:
            if self._kind in {ContentKind.BINARY, ContentKind.IMAGE, ContentKind.PARQUET}:
                lines = binary_lines(data)
            else:
                lines = self._text(data, is_last=is_whole)
            if promise := broken_promise(self._file_name, self._kind):
                lines = [note_line(promise), *lines]
        self._body.show(lines, heading)
        self._show_state(part)

    def _structured(self, data: bytes, *, is_whole: bool) -> tuple[Cell | None, list[Cell] | None]:
        """The heading and the lines of a table or tree; nothing where it is none after all."""
        match self._kind:
            case ContentKind.EMPTY:
                return None, [note_line("the file is empty")]
            case ContentKind.CSV | ContentKind.TSV:
                sign = "\t" if self._kind is ContentKind.TSV else ""
                return _table(read_delimited(decode(data), delimiter=sign, complete=is_whole))
            case ContentKind.JSON_LINES:
                return _table(read_json_lines(decode(data), complete=is_whole))
            case ContentKind.JSON:
                found, more = json_lines(decode(data))
                fault = json_fault(decode(data)) if is_whole else ""
                return None, [
                    *_fault_lines(fault),
                    *tree_lines(found),
                    *([note_line(_MORE)] if more or not is_whole else []),
                ]
            case ContentKind.IMAGE:
                return None, self._image_lines(data)
        return None, None

    def _image_lines(self, data: bytes) -> list[Cell]:
        facts = image_facts(data)
        if facts is None:
            return []
        size = f", {facts.width:,} × {facts.height:,} pixels" if facts.width else ""
        return [note_line(f"{facts.format}{size}"), note_line("")]

    def _show_state(self, part: FilePart) -> None:
        date = fmt.stamp(part.mtime_ms)[:16] if part.mtime_ms > 0 else ""
        kind = "" if self._kind is ContentKind.EMPTY else self._kind.value
        self._pane.subject = "  ".join(word for word in (self._file_name, fmt.size(part.size), date) if word)
        self._pane.state = f"{kind} as it is" if self._is_plain and self._kind in _STRUCTURED else kind

    # -- more of it -----------------------------------------------------------------------------------------------

    def _text(self, data: bytes, *, is_last: bool) -> list[Cell]:
        """The lines of a piece after those before it; a line that may go on waits for the next piece."""
        data = self._begun + data
        whole, end, self._begun = data.rpartition(b"\n")
        if is_last or not end or len(self._begun) > FILE_PART_BYTES_MAX:
            whole, end, self._begun = data, b"", b""
        return text_lines(decode(whole + end))

    @property
    def _is_paged(self) -> bool:
        plain = self._kind is ContentKind.TEXT or self._is_plain
        return plain or self._kind is ContentKind.BINARY

    @on(LineBody.NearEnd)
    def _fetch_more(self, event: LineBody.NearEnd) -> None:
        event.stop()
        if self._is_paged and not self._is_at_end and not self._is_fetching and self._shown_bytes < TEXT_BYTES_MAX:
            self._is_fetching = True
            run_exclusive(self, partial(self._append, to_end=False), "view")

    @on(LineBody.ToEnd)
    def _fetch_end(self, event: LineBody.ToEnd) -> None:
        event.stop()
        if self._is_paged and not self._is_at_end:
            self._is_fetching = True
            run_exclusive(self, partial(self._append, to_end=True), "view")

    async def _append(self, *, to_end: bool) -> None:
        """Show the next piece, or leave out what is between and show the last one."""
        gap = self._file_bytes - FILE_PART_BYTES_MAX - self._shown_bytes if to_end else 0
        offset = self._shown_bytes + max(0, gap)
        try:
            part = await self._files.part(self._spot, self._file_path, offset)
        except OpsconsoleError as error:
            shell(self).say(error.message, "warning")
            return
        finally:
            self._is_fetching = False
        self._file_bytes = max(self._file_bytes, part.size)
        self._is_at_end = offset + len(part.data) >= self._file_bytes or not part.data
        lines: list[Cell] = []
        if gap > 0:
            lines += [*self._text(b"", is_last=True), note_line(f"… {fmt.size(gap)} left out …")]
        if self._kind is ContentKind.TEXT or self._kind in _TEXTUAL:
            lines += self._text(part.data, is_last=self._is_at_end)
        else:
            lines += binary_lines(part.data, offset)
        self._shown_bytes = offset + len(part.data)
        self._body.append(lines)
        if to_end:
            self._body.action_bottom()

    # -- actions --------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what is shown as something else can be shown as it is."""
        if action == "as_text" and self._kind not in _STRUCTURED:
            return False
        return super().check_action(action, parameters)

    def action_as_text(self) -> None:
        self._is_plain = not self._is_plain
        self.action_reload()

    def action_copy(self) -> None:
        if self._whole_path:
            shell(self).copy(self._whole_path, "the path")


_TEXTUAL = frozenset({ContentKind.CSV, ContentKind.TSV, ContentKind.JSON, ContentKind.JSON_LINES})
_STRUCTURED = _TEXTUAL
_MORE = "… there is more: g fetches the file, x shows it as it is"


def _table(table: ShownTable | None) -> tuple[Cell | None, list[Cell] | None]:
    if table is None:
        return None, None
    heading, rows = table_lines(table)
    return heading, [*_fault_lines(table.fault), *rows, *([note_line(_MORE)] if table.is_cut else [])]


def _fault_lines(fault: str) -> list[Cell]:
    return [note_line(fault)] if fault else []
