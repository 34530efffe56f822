"""One transfer under way: a thread tells what happens, whoever shows it gets rows."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from opsconsole.transfer import history
from opsconsole.transfer.meter import Meter
from opsconsole.transfer.row import TransferKind, TransferPhase, TransferRow
from opsconsole_protocol.bound import cut
from opsconsole_protocol.content.error import PeerCancelled
from opsconsole_protocol.error import OpsconsoleError, Unavailable
from opsconsole_protocol.stream.error import StreamCancelled

if TYPE_CHECKING:
    from opsconsole_protocol.host.content.session import Progress
    from opsconsole_protocol.host.stream.stream import Stream

OnChange = Callable[[TransferRow], None]
_SHOWN_EVERY_S = 0.12
TRANSFER_TITLE_CHARACTERS_MAX = 200
"""A title names files and folders, whose names may be of any length."""


class Transfer:
    """`row` is how it stands. `on_change` is called with every change of phase, and with progress a few times a second.

    What tells of it may be called from any thread, and so is `on_change`.
    """

    is_patient = False
    """Where somebody is away it waits, and is carried out again."""

    def __init__(
        self,
        kind: TransferKind,
        title: str,
        *,
        peer: str = "",
        job_id: str = "",
        folder: str = "",
        on_change: OnChange | None = None,
    ) -> None:
        self.error: OpsconsoleError | None = None
        """Why it failed."""
        self._row = TransferRow(
            id=secrets.token_hex(4), kind=kind, phase=TransferPhase.SCANNING, title=cut(title, TRANSFER_TITLE_CHARACTERS_MAX), peer=peer, job_id=job_id,
            folder=folder, started_at_ms=time.time_ns() // 1_000_000,
        )  # fmt: skip
        self._lock = threading.Lock()
        self._meter = Meter()
        self._began_s = time.monotonic()
        self._shown_s = 0.0
        self._before = (0, 0, 0, 0)
        """Bytes and files of the parts that are done, how many of the bytes needn't be moved, and how many of those are holes."""
        self._on_change = on_change
        self._task: asyncio.Task[None] | None = None

    @property
    def row(self) -> TransferRow:
        """How it stands."""
        return self._row

    # --- for whoever started it ------------------------------------------------------------------------------------

    def run_as(self, task: asyncio.Task[None]) -> None:
        """The task that carries it out."""
        self._task = task
        task.add_done_callback(self._ended_unbegun)

    def _ended_unbegun(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() and not self._row.is_over:  # before it has taken its first step
            self._is_cancelled()

    def _is_cancelled(self) -> None:
        with contextlib.suppress(asyncio.CancelledError), self.recorded():
            raise asyncio.CancelledError

    def shows(self, on_change: OnChange) -> None:
        """Have its changes shown from now on."""
        self._on_change = on_change

    def cancel(self) -> None:
        """End it. What has arrived stays for the next time."""
        if self._row.phase is TransferPhase.WAITING:
            self._is_cancelled()
        elif self._task is not None:
            self._task.cancel()

    async def wait(self) -> TransferRow:
        """How it ended."""
        if self._task is not None:
            await asyncio.wait((self._task,))
        return self._row

    async def result(self) -> TransferRow:
        """How it ended. Raises the OpsconsoleError with which it failed. When this is cancelled, so is the transfer."""
        try:
            await self.wait()
        except asyncio.CancelledError:
            self.cancel()
            await self.wait()
            raise
        if self.error is not None:
            raise self.error
        return self._row

    @contextlib.contextmanager
    def recorded(self, *, if_moved: bool = False) -> Iterator[None]:
        """Within, it is carried out. However that ends, and whoever has ended it, it is over then and in the history.

        `if_moved`: in the history only where a stream stood. One that waits isn't over.
        """
        try:
            yield
        except BaseException as error:
            self.ends(error)
            raise
        else:
            self.ends()
        finally:
            if self._row.is_over and (self._row.way is not None or not if_moved):
                history.add(self._row)

    def begins_again(self) -> None:
        """It has waited and is carried out once more."""
        self.error = None
        self._began_s = time.monotonic()
        self._change(phase=TransferPhase.CONNECTING)

    # --- for whoever carries it out --------------------------------------------------------------------------------

    def is_about(self, title: str = "", *, peer: str = "", job_id: str = "") -> None:
        """Now it is known what it is about."""
        row = self._row
        self._change(
            title=cut(title, TRANSFER_TITLE_CHARACTERS_MAX) or row.title,
            peer=peer or row.peer,
            job_id=job_id or row.job_id,
        )

    def says(self, note: str) -> None:
        """The way and why, or what is waited for, in one line."""
        self._change(note=note)

    def enters(self, phase: TransferPhase) -> None:
        """It has come to another phase."""
        if phase is not self._row.phase:
            self._change(phase=phase)

    def takes(self, stream: Stream) -> None:
        """A stream stands."""
        self._change(way=stream.way, engine=stream.engine, phase=TransferPhase.MOVING)

    def scanned(self, bytes_done: int, bytes_total: int) -> None:
        """Note how much of what there is has been read, before anything moves."""
        self._count(bytes_done, bytes_total, 0, 0, 0, 0)

    def is_looked_for(self, note: str, bytes_done: int, bytes_total: int) -> None:
        """The other end reads what it has, before it can say what there is to be moved."""
        if self._row.phase is not TransferPhase.SCANNING:
            self._change(phase=TransferPhase.SCANNING, note=note)
        size, files, _, _ = self._before
        self._change(bytes_done=size + bytes_done, bytes_total=size + bytes_total, files_done=files)

    def moved(self, progress: Progress) -> None:
        """How far the part that moves is."""
        self.enters(TransferPhase.MOVING)
        size, files, skipped, empty = self._before
        self._count(
            size + progress.bytes_done, size + progress.bytes_total, files + progress.files_done,
            files + progress.files_total, skipped + progress.bytes_skipped, empty + progress.bytes_empty,
        )  # fmt: skip

    def next_part(self) -> None:
        """What comes now is counted on top of what there was."""
        row = self._row
        self._before = (row.bytes_done, row.files_done, row.bytes_skipped, row.bytes_empty)

    def stays(self, files: int, bytes: int) -> None:  # noqa: A002 - as in a summary
        """Take back what was counted of files that aren't wanted, since what differs from them stays as it is."""
        row = self._row
        self._change(
            bytes_done=row.bytes_done - bytes, bytes_total=row.bytes_total - bytes, bytes_skipped=row.bytes_skipped - bytes,
            files_done=row.files_done - files, files_total=row.files_total - files,
        )  # fmt: skip

    def begins_to_move(self) -> None:
        """What was counted so far was only looked at."""
        with self._lock:
            self._meter, self._before = Meter(), (0, 0, 0, 0)
        self._change(
            phase=TransferPhase.CONNECTING, bytes_done=0, bytes_total=0, bytes_skipped=0, bytes_empty=0, files_done=0, files_total=0,
            rate_bytes_s=None, left_ms=None,
        )  # fmt: skip

    def ends(self, error: BaseException | None = None) -> None:
        """It is over: well, or with an error."""
        phase = TransferPhase.DONE
        if error is not None:
            is_cancelled = isinstance(
                error, asyncio.CancelledError | KeyboardInterrupt | StreamCancelled | PeerCancelled
            )
            phase = TransferPhase.CANCELLED if is_cancelled else TransferPhase.FAILED
        if isinstance(error, OpsconsoleError):
            self.error = error
        if phase is TransferPhase.FAILED and self.is_patient and isinstance(error, Unavailable):
            self._change(phase=TransferPhase.WAITING, note=cut(error.message), left_ms=None, rate_bytes_s=None)
            return
        words = "this program has failed in the middle of it" if phase is TransferPhase.FAILED else ""
        words = words if self.error is None else cut(self.error.message)
        row = self._row
        seconds = max(time.monotonic() - self._began_s, 1e-3)
        moved = row.bytes_done - row.bytes_skipped
        self._change(
            phase=phase, error=words, left_ms=None,
            ended_at_ms=time.time_ns() // 1_000_000, rate_bytes_s=moved / seconds if moved > 0 else None,
        )  # fmt: skip

    def _count(
        self, bytes_done: int, bytes_total: int, files_done: int, files_total: int, skipped: int, empty: int
    ) -> None:
        now_s = time.monotonic()
        with self._lock:
            self._meter.count(bytes_done - skipped, now_s)
            rate, left_ms = self._meter.rate_bytes_s, self._meter.left_ms(bytes_total - bytes_done)
            is_shown = now_s - self._shown_s >= _SHOWN_EVERY_S or bytes_done >= bytes_total
        self._change(
            is_shown=is_shown, bytes_done=bytes_done, bytes_total=bytes_total, files_done=files_done,
            files_total=files_total, bytes_skipped=skipped, bytes_empty=empty, rate_bytes_s=rate, left_ms=left_ms,
        )  # fmt: skip

    def _change(self, *, is_shown: bool = True, **fields: object) -> None:
        with self._lock:
            self._row = row = replace(self._row, **fields)
            if is_shown:
                self._shown_s = time.monotonic()
        if is_shown and self._on_change is not None:
            self._on_change(row)
