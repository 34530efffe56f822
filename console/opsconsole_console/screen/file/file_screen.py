"""A file browser: a worker's mounts, or a job's folders."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from opsconsole.fleet import Change
from opsconsole_console.model.coverage import ALL, NOTHING_YET, Coverage, Extent
from opsconsole_console.model.file_spot import FileRow, FileSpot, count_words, job_rows, mount_rows
from opsconsole_console.model.model import Model
from opsconsole_console.screen.file.file_pane import FarPane
from opsconsole_console.screen.file.local_pane import LocalPane
from opsconsole_console.screen.file.view_screen import ViewScreen
from opsconsole_console.screen.part.detail_screen import DetailScreen
from opsconsole_console.screen.part.facts import broken_lines
from opsconsole_console.screen.part.key_bar import KeyBar
from opsconsole_console.screen.part.line_view import Line, LineView
from opsconsole_console.screen.part.shell_access import run_exclusive, shell
from opsconsole_console.screen.part.text_prompt import TextPrompt
from opsconsole_console.screen.part.transfer_cell import transfer_line
from opsconsole_console.service.file_source import FileSource
from opsconsole_console.service.job_folder import JobFolders, is_job_folder
from opsconsole_console.service.local_folder import destination
from opsconsole_console.service.source import FleetSource
from opsconsole_console.widget.cell import cell
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_protocol.content.glob import literal
from opsconsole_protocol.error import InvalidRequest, OpsconsoleError
from opsconsole_protocol.file_listing import FilePage, FileSort
from opsconsole_protocol.mount import Mount, find_mount, mounts_of
from opsconsole_protocol.stream.message import PATTERNS_MAX, FileRoot

_MOVING_LOOK_S = 0.25
_MOVING_MAX = 4
_NOTE_LINES_MAX = 4
_SORTS = {"name": FileSort.NAME, "size": FileSort.SIZE, "date": FileSort.TIME}


class FileScreen(DetailScreen):
    """Enter opens, escape goes back: to the folder above, and from where it began to the screen before.

    With `choose`, Enter on a file calls that with the file's name as an input, and closes the browser.
    """

    AUTO_FOCUS = "#files-table"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="files.back"),
        Binding("q", "app.pop_screen", "Close", show=False, id="files.close"),
        Binding("backspace,left", "up", "Up", tooltip="To the folder above", id="files.up"),
        Binding("f", "search", "Find below", id="files.search"),
        Binding("p", "put", "Put", tooltip="Send files of this machine here", id="files.put"),
        Binding("y", "copy", "Copy path", id="files.copy"),
        Binding("t", "transfers", "Transfers", show=False, id="files.transfers"),
        Binding("ctrl+r", "reload", "Look again", show=False, id="files.reload"),
    ]

    def __init__(
        self, model: Model, source: FleetSource, spot: FileSpot, choose: Callable[[str], object] | None = None
    ) -> None:
        super().__init__()
        self._model = model
        self._files = FileSource(source)
        self._job_folders = JobFolders(source, self._files, model.worker_named)
        self._spot = self._first = spot
        self._choose = choose
        self._pattern = ""
        self._worker = spot.worker
        """The name of the worker that has what is shown."""
        self._path = ""
        self._sort = (FileSort.NAME, False)
        self._is_all_here = True
        self._pane = FarPane(number=1, title="Choose an input" if choose else "Files", id="files")
        self._pane.add_class("-chosen")
        self._local = LocalPane()
        self._local.display = False
        self._note = ""
        """What is to be known of the folder that is shown."""
        self._about = LineView(id="files-about")
        self._moving = LineView(id="files-moving")
        self._moving_seen: tuple[int, int] | None = None
        self._moving_ids: frozenset[str] = frozenset()

    def compose(self) -> ComposeResult:
        with Container(classes="detail-body"):
            yield self._pane
            yield self._local
        yield self._about
        yield self._moving
        yield KeyBar()

    def on_mount(self) -> None:
        self._reload()
        self.set_interval(_MOVING_LOOK_S, self._show_moving)

    def apply(self, change: Change) -> None:
        """Look again after a lost connection."""
        if change.reset:
            self._reload()

    # -- what is in the folder ------------------------------------------------------------------------------------

    def _go(self, spot: FileSpot, cursor: bytes = b"") -> None:
        """Show another folder, the cursor on the entry of this name."""
        self._spot, self._pattern = spot, ""
        self._pane.table.clear_marks()
        if not self._pane.filter.empty:
            self._pane.set_filter("", inverted=False)
        self._pane.table.set_rows({})
        self._reload(cursor)

    def _reload(self, cursor: bytes = b"") -> None:
        self._pane.set_coverage(NOTHING_YET)
        self._show_subject()
        self._pane.let_get(self._can_get)
        self.refresh_bindings()
        run_exclusive(self, partial(self._fetch, cursor), "files")

    async def _fetch(self, cursor: bytes) -> None:
        spot = self._spot
        try:
            rows, page = await self._entries(spot)
        except OpsconsoleError as error:
            self._pane.table.set_rows({})
            self._pane.set_coverage(Coverage(Extent.ALL))
            cells = max(30, self._pane.size.width - 6)
            self._pane.table.set_empty("\n".join(broken_lines(error.message, cells)))
            self._pane.state = ""
            self._show_note("")
            return
        table = self._pane.table
        self._pane.fill(rows)
        self._path = page.path
        self._show_note(page.note)
        self._is_all_here = not (page.more or page.truncated)
        note = "" if self._is_all_here else "the folder is large: f finds what is below it"
        self._pane.set_coverage(ALL if self._is_all_here else Coverage(Extent.PART, note=note))
        self._show_subject()
        self._pane.subject += f"  {count_words(rows, page, searching=bool(self._pattern))}"
        if cursor:
            table.move_to(cursor.hex())

    async def _entries(self, spot: FileSpot) -> tuple[list[FileRow], FilePage]:
        """The lines of a place. Raises OpsconsoleError."""
        if spot.root is not None:
            sort, descending = self._sort
            if is_job_folder(spot, self._pattern):
                found = await self._job_folders.entries(spot, sort, descending=descending)
            else:
                found = await self._files.entries(spot, sort, descending=descending, pattern=self._pattern)
            self._worker, rows, page = found
            return rows, page
        if spot.job_id:
            return job_rows(spot.job_id), FilePage()
        worker = self._model.worker_named(spot.worker)
        rows = [] if worker is None else mount_rows(worker)
        if not rows:
            raise InvalidRequest(
                f"{spot.worker} has no folders: its agent takes --input-path, --output-path and --mount"
            )
        return rows, FilePage()

    def _show_subject(self) -> None:
        spot = self._spot
        whose = spot.worker or f"{self._model.short_ids.show(spot.job_id)}"
        searched = f"  below it: {self._pattern}" if self._pattern else ""
        self._pane.subject = f"{whose}  {spot.title}{searched}"

    def _show_note(self, note: str) -> None:
        self._note = note
        lines = broken_lines(note, max(30, self.size.width - 4)) if note else []
        self._about.show([Line(cell(f"  {line}", "state-paused")) for line in lines[:_NOTE_LINES_MAX]])

    @property
    def _can_get(self) -> bool:
        """Whether what is shown can be fetched."""
        return self._spot.root is not None and not self._spot.is_task_list and self._choose is None

    @on(LiveTable.Sorted)
    def _sort_far(self, event: LiveTable.Sorted) -> None:
        """Where not all is here, others may come first: they are asked for."""
        event.stop()
        self._sort = (_SORTS.get(event.column or "name", FileSort.NAME), event.reverse)
        if not self._is_all_here:
            self._reload()

    # -- the way ----------------------------------------------------------------------------------------------------

    @on(LiveTable.RowSelected, "#files-table")
    def _open(self, event: LiveTable.RowSelected) -> None:
        event.stop()
        row = self._pane.table.cursor_row
        if row is None:
            return
        if row.away:
            shell(self).say(row.away, "warning")
        elif row.is_folder:
            self._go(self._spot.into(row))
        elif not row.is_file:
            shell(self).say(f"{row.text} is neither a file nor a folder: it is not opened", "warning")
        elif self._choose is not None:
            self._choose_row(row)
        else:
            spot = row.lies_in or self._spot
            self.app.push_screen(ViewScreen(self._files, spot, spot.path_of(row)))

    def _choose_row(self, row: FileRow) -> None:
        if self._choose is None:
            return
        try:
            name = self._spot.input_name(row)
        except InvalidRequest as error:
            shell(self).say(error.message, "warning")
            return
        self.dismiss()
        self._choose(name)

    @property
    def _is_above_nothing(self) -> bool:
        return self._spot == self._first or self._spot.is_top

    async def action_back(self) -> None:
        """Leave the search, or go up, or close the browser where it began."""
        if self._pattern:
            self._go(self._spot)
        elif self._is_above_nothing:
            self.dismiss()
        else:
            self.action_up()

    # -- transfers --------------------------------------------------------------------------------------------------

    def _show_moving(self) -> None:
        """Show what is under way, a line each; and look again where something has arrived."""
        transfers = shell(self).transfers
        if transfers.changes == self._moving_seen:
            return
        self._moving_seen = transfers.changes
        before, self._moving_ids = self._moving_ids, frozenset(row.id for row in transfers.under_way)
        self._show_moving_lines()
        if before - self._moving_ids:
            self.action_reload()
            if self._local.display:
                self._local.show_folder()

    def _show_moving_lines(self) -> None:
        rows = shell(self).transfers.under_way
        shown = rows if len(rows) <= _MOVING_MAX else rows[: _MOVING_MAX - 1]
        lines = [transfer_line(row, self.size.width) for row in shown]
        if more := len(rows) - len(shown):
            lines.append(Line(cell(f"   and {more:,} more: t shows all", "text-muted")))
        self._moving.show(lines)

    def on_resize(self) -> None:
        self._show_moving_lines()
        self._show_note(self._note)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide what can't be done here."""
        if action == "put" and (shell(self).read_only or self._spot.job_id or self._choose is not None):
            return False
        return super().check_action(action, parameters)

    def offers(self, action: str) -> bool | None:
        """Whether the footer shows a key for this action now: not where it would only say what is to be done first."""
        if not self._pane.table.has_focus and action in {"search", "up", "copy"}:
            return False
        match action:
            case "search":
                return self._spot.root is not None and not self._spot.is_task_list
            case "up":
                return not self._spot.is_top
            case "put":
                mount = self._mount
                return mount is not None and mount.writable
        return None

    @property
    def _mount(self) -> Mount | None:
        """The worker's mount that is shown."""
        worker, root = self._model.worker_named(self._spot.worker), self._spot.root
        return None if worker is None or root is None else find_mount(mounts_of(worker.properties), root.mount)

    def action_put(self) -> None:
        """Choose files of this machine, in a pane beside."""
        mount = self._mount
        if mount is None:
            shell(self).say("open the folder that files are to be put into first", "warning")
        elif not mount.writable:
            shell(self).say(
                f"nothing can be put into {mount.label}: its agent doesn't say that it is writable", "warning"
            )
        else:
            self._show_local()

    def _show_local(self) -> None:
        self._local.display = True
        self._local.show_folder()
        self._local.target = f"{self._spot.worker}:{self._spot.title}"
        self.action_pane(self._local.number)

    @on(LocalPane.Put)
    def _put(self, event: LocalPane.Put) -> None:
        event.stop()
        worker, spot = self._model.worker_named(self._spot.worker), self._spot
        if worker is None or spot.root is None:
            return
        folder = f"{spot.root.mount}:{os.fsdecode(spot.folder)}"
        try:
            shell(self).transfers.put(event.paths, worker, folder)
        except OpsconsoleError as error:
            shell(self).say(error.message, "warning")
            return
        self._local.table.clear_marks()
        self._show_moving()

    @on(LocalPane.Left)
    def _hide_local(self) -> None:
        self._local.display = False
        self.action_pane(self._pane.number)

    def action_get(self) -> None:
        """Fetch what is marked, to a folder of this machine that is asked for."""
        rows, spot = self._pane.chosen, self._spot
        if not self._pane.table.has_focus or not rows:
            return
        if away := next((row.away for row in rows if row.away), ""):
            shell(self).say(away, "warning")
            return
        if len(rows) > PATTERNS_MAX:
            shell(self).say(f"at most {PATTERNS_MAX} are fetched at a time: mark fewer, or get their folder", "warning")
            return
        if spot.root is None or spot.is_task_list:
            shell(self).say("open it first, and get what is in it", "warning")
            return
        shell(self).do(partial(self._get, rows, spot, spot.root))

    async def _get(self, rows: list[FileRow], spot: FileSpot, root: FileRoot) -> None:
        what = rows[0].text if len(rows) == 1 else f"{len(rows)} things"
        here = self._local.folder

        async def check(text: str) -> str:
            folder = await asyncio.to_thread(destination, here, text)
            return "" if await asyncio.to_thread(folder.exists) else f"{folder} isn't there yet: Enter makes it"

        answer = await self.app.push_screen_wait(TextPrompt(f"Get {what} to which folder?", str(here), check))
        if not answer:
            return
        folder = await asyncio.to_thread(destination, here, answer)
        self._pane.table.clear_marks()
        places: dict[FileSpot, list[str]] = {}
        for row in rows:
            places.setdefault(row.lies_in or replace(spot, worker=self._worker, root=root), []).append(
                literal(row.name)
            )
        for place, patterns in places.items():
            if place.root is not None:
                await shell(self).transfers.get_files(place.worker, place.root, place.folder, patterns, folder)

    def action_transfers(self) -> None:
        shell(self).navigation.open("transfers")

    def action_up(self) -> None:
        if not self._spot.is_top:
            self._go(self._spot.up(), self._spot.name_above)

    def action_reload(self) -> None:
        row = self._pane.table.cursor_row
        self._reload(b"" if row is None else row.name)

    def action_search(self) -> None:
        if self._spot.root is None or self._spot.is_task_list:
            shell(self).say("open a folder first, to find what is below it", "warning")
            return
        shell(self).do(self._ask_pattern)

    async def _ask_pattern(self) -> None:
        text = await self.app.push_screen_wait(
            TextPrompt(f"Find below {self._spot.title} (a part of the name, or *.pt)", self._pattern)
        )
        if text:
            self._pattern = text
            self._pane.table.set_rows({})
            self._reload()

    def action_copy(self) -> None:
        row = self._pane.table.cursor_row
        if row is None:
            return
        path = row.path or (f"{self._path.rstrip('/')}/{row.text}" if self._path else "")
        if path:
            shell(self).copy(path, "the path")
        else:
            shell(self).say("open it first: its path is on several workers, or not known yet", "warning")
