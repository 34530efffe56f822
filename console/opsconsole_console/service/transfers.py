"""The console's transfers: files put on workers and fetched from them, one board of them for the whole console."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from opsconsole_console.model.clock import Clock
from opsconsole_console.model.transfer_words import as_it_is, end_words, replace_question
from opsconsole_console.service.operations import OperatorDialog
from opsconsole_console.service.source import FleetSource
from opsconsole_protocol.api import WorkerRow
from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.stream.message import FileRoot

if TYPE_CHECKING:
    from opsconsole.transfer.download import Brought
    from opsconsole.transfer.pending import PendingFetch, PendingGet, PendingOffer
    from opsconsole.transfer.row import TransferRow

_AGAIN_S = 5.0
_NAMED_MAX = 4


class Begun(Protocol):
    """A transfer that was started."""

    @property
    def row(self) -> "TransferRow":
        """How it stands."""

    async def wait(self) -> "TransferRow":
        """How it ended."""


class Board(Protocol):
    """What the console needs of the client's `TransferBoard`."""

    @property
    def rows(self) -> "tuple[TransferRow, ...]":
        """Those under way and those that have ended here, the newest first."""

    def put(self, files: Sequence[Path], worker: WorkerRow, folder: str = "", *, replace: bool = False) -> Begun:
        """Bring files of this machine into a folder of a worker."""

    @property
    def brought(self) -> "Mapping[str, Brought]":
        """What was brought, by the ids of transfers."""

    def get_files(
        self, worker: str, root: FileRoot, folder: bytes, patterns: Sequence[str], to: Path, *, force: bool = False
    ) -> Begun:
        """Bring what matches in a folder of a worker to below a folder of this machine."""

    def cancel(self, id: str) -> None:  # noqa: A002 - the client's name
        """End one that is under way."""

    async def history(self, limit: int = 200) -> "list[TransferRow]":
        """What was transferred from this machine before, the newest first."""

    async def pending_offers(self) -> "list[PendingOffer]":
        """Files that queued jobs want from here."""

    async def pending_fetches(self) -> "list[PendingFetch]":
        """Results that are to be brought here."""

    async def interrupted_gets(self) -> "list[PendingGet]":
        """What somebody was getting when the process was killed."""

    async def forget(self, id: str) -> None:  # noqa: A002 - the client's name
        """Let go of an offer, or of what is to be brought."""

    async def run(self) -> None:
        """Send what is wanted from here and bring what is pending, until cancelled."""

    async def close(self) -> None:
        """Cancel what is under way."""


MakeBoard: TypeAlias = Callable[[FleetSource, "Callable[[TransferRow], None]"], Board]


def make_board(source: FleetSource, on_change: "Callable[[TransferRow], None]") -> Board:
    """The client's board. Its modules are loaded now, and not with the console."""
    from opsconsole.transfer.board import TransferBoard

    return TransferBoard(source, on_change=on_change)


class Transfers:
    """Says in a toast how each transfer ended. Made before there is a loop; its board is made when it is first used."""

    def __init__(
        self,
        source: FleetSource,
        dialog: OperatorDialog,
        make: MakeBoard,
        clock: Clock,
    ) -> None:
        self._source = source
        self._dialog = dialog
        self._make = make
        self._clock = clock
        self._board: Board | None = None
        self._told: set[str] = set()
        self._changes = 0
        self._moved: dict[str, tuple[int, int]] = {}
        """How much of each one that is under way had come when it last got further, and when that was."""

    @property
    def board(self) -> Board:
        """The board. Only to be asked for on the console's loop."""
        if self._board is None:
            self._board = self._make(self._source, self._note)
        return self._board

    @property
    def rows(self) -> "tuple[TransferRow, ...]":
        """Those of this console, the newest first."""
        now_ms = self._clock()
        return () if self._board is None else tuple(self._as_it_is(row, now_ms) for row in self._board.rows)

    @property
    def changes(self) -> tuple[int, int]:
        """Other than before when something has changed: a transfer, or how many of them have come to a halt."""
        return self._changes, sum(row.rate_bytes_s == 0 for row in self.under_way)

    def _as_it_is(self, row: "TransferRow", now_ms: int) -> "TransferRow":
        _, since_ms = self._moved.get(row.id, (0, now_ms))
        return as_it_is(row, (now_ms - since_ms) / 1_000)

    @property
    def under_way(self) -> "list[TransferRow]":
        """Those that haven't ended, and don't only wait for somebody who is away."""
        return [row for row in self.rows if row.is_under_way]

    def put(self, files: Sequence[Path], worker: WorkerRow, folder: str) -> None:
        """Begin to bring files of this machine to a worker. Raises OpsconsoleError."""
        self.board.put(files, worker, folder)
        self._changes += 1

    async def get_files(self, worker: str, root: FileRoot, folder: bytes, patterns: Sequence[str], to: Path) -> None:
        """Bring files of a worker to a folder of this machine, and then ask about those that are there and differ."""
        begun = self.board.get_files(worker, root, folder, patterns, to)
        self._changes += 1
        row = await begun.wait()
        brought = self.board.brought.get(row.id)
        if brought is None:
            return
        for line in (*brought.missing, *brought.left_out):
            self._dialog.say(f"not brought: {line}", "warning")
        differing = [os.fsdecode(path) for path in brought.differing]
        if differing and await self._dialog.confirm(
            replace_question(differing, str(to)), ", ".join(differing[:_NAMED_MAX]), "Replace"
        ):
            self.board.get_files(worker, root, folder, patterns, to, force=True)
            self._changes += 1

    async def run(self) -> None:
        """Go on with what is pending, through lost connections too, until cancelled."""
        while True:
            try:
                await self.board.run()
            except OpsconsoleError:
                await asyncio.sleep(_AGAIN_S)  # the first line says that the coordinator isn't reached

    async def close(self) -> None:
        """Cancel what is under way; it is gone on with where it stopped when it is asked for again."""
        if self._board is not None:
            await self._board.close()

    def _note(self, row: "TransferRow") -> None:
        self._changes += 1
        if row.is_over:
            self._moved.pop(row.id, None)
        elif self._moved.get(row.id, (-1, 0))[0] != row.bytes_done:
            self._moved[row.id] = (row.bytes_done, self._clock())
        if row.is_over and row.id not in self._told:
            self._told.add(row.id)
            self._dialog.say(f"{row.title}: {end_words(row)}", "error" if row.error else "information")
