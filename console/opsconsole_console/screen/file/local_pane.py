"""This machine's files beside a worker's: what is sent is chosen here, and what is fetched comes here."""

import asyncio
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.message import Message

from opsconsole_console.model.coverage import ALL, NOTHING_YET, Coverage, Extent
from opsconsole_console.screen.file.file_pane import FilePane
from opsconsole_console.screen.part.shell_access import run_exclusive
from opsconsole_console.service.local_folder import local_entries
from opsconsole_console.widget.live_table import LiveTable
from opsconsole_protocol.error import InvalidRequest


class LocalPane(FilePane):
    """A folder of this machine; it begins in the one that the console was started in."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "put", "Put there", tooltip="Send what is marked", id="local.put"),
        Binding("backspace,left", "up", "Up", id="local.up"),
        Binding("escape", "leave", "Back", id="local.leave"),
    ]

    @dataclass
    class Put(Message):
        """These are to be sent."""

        paths: list[Path]

    class Left(Message):
        """Nothing is to be sent any more."""

    def __init__(self) -> None:
        super().__init__(number=2, title="Here", id="local")
        self.folder = Path.cwd()
        self.target = ""
        """Where `p` puts files, for people."""

    def show_state(self) -> None:
        super().show_state()
        self.state = "  ".join(part for part in (self.state, f"p puts into {self.target}") if part)

    def show_folder(self, folder: Path | None = None, cursor: bytes = b"") -> None:
        """Show a folder, or the present one anew: then what is marked there stays so, and the cursor where it is."""
        if folder is not None:
            self.folder = folder
            self.table.clear_marks()
            self.table.set_rows({})
        self.subject = str(self.folder)
        self.set_coverage(NOTHING_YET)
        run_exclusive(self, partial(self._fetch, self.folder, cursor), "local")

    async def _fetch(self, folder: Path, cursor: bytes) -> None:
        try:
            rows, more = await asyncio.to_thread(local_entries, folder)
        except InvalidRequest as error:
            self.table.set_rows({})
            self.set_coverage(ALL)
            self.table.set_empty(error.message)
            return
        self.table.set_rows({row.id: row for row in rows})
        self.set_coverage(Coverage(Extent.PART, note="the folder is large: not all of it is shown") if more else ALL)
        if cursor:
            self.table.move_to(cursor.hex())

    @on(LiveTable.RowSelected)
    def _open(self, event: LiveTable.RowSelected) -> None:
        event.stop()
        row = self.table.cursor_row
        if row is not None and row.is_folder:
            self.show_folder(self.folder / os.fsdecode(row.name))
        elif row is not None:
            self.action_put()

    def action_up(self) -> None:
        self.show_folder(self.folder.parent, os.fsencode(self.folder.name))

    def action_put(self) -> None:
        paths = [self.folder / os.fsdecode(row.name) for row in self.chosen]
        if paths:
            self.post_message(self.Put(paths))

    def action_leave(self) -> None:
        self.post_message(self.Left())
