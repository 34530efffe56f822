"""What one submission brings along, and what is brought back when the job has ended: done and told on the command line."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from opsconsole_console.cli.content_option import wishes_of
from opsconsole_console.cli.output import say
from opsconsole_console.cli.progress_line import ProgressLine, summary
from opsconsole_console.format import plural, size
from opsconsole_protocol.error import OpsconsoleError, Unavailable

if TYPE_CHECKING:
    from opsconsole.client import Client
    from opsconsole.transfer.board import TransferBoard
    from opsconsole.transfer.offer import OfferServer
    from opsconsole.transfer.packing import Packed
    from opsconsole.transfer.pending import Pending, PendingOffer
    from opsconsole.transfer.row import TransferRow
    from opsconsole.transfer.transfer import Transfer
    from opsconsole.transfer.wish import Wishes
    from opsconsole_protocol.api import JobRow
    from opsconsole_protocol.ids import ContentId, JobId
    from opsconsole_protocol.spec import JobSpec

_LOOK_S = 1.0
_KNOWN_S = 5.0
"""How long a submission waits for the coordinator to know what is offered from here: without that it would say that the job waits for it."""
_FILES_SHOWN = 20
RESUME = "an open console, or `opsconsole transfers resume`, goes on with it"


class Contents:
    """Of one submission. `quiet`: say nothing but errors."""

    def __init__(self, args: argparse.Namespace, *, quiet: bool) -> None:
        self._args = args
        self._quiet = quiet
        self._written: list[Pending] = []
        self._board: TransferBoard
        self._server: OfferServer
        self._serving: asyncio.Task[None]

    @property
    def wishes(self) -> Wishes:
        """What was asked for, by now: a template's defaults count once they have been applied."""
        return wishes_of(self._args)

    @property
    def offers(self) -> list[PendingOffer]:
        """What the worker gets from here."""
        from opsconsole.transfer.pending import PendingOffer

        return [one for one in self._written if isinstance(one, PendingOffer)]

    def check(self) -> Packed:
        """What stands for the contents until they have been looked at. Raises InvalidRequest for what can't be meant."""
        from opsconsole.transfer.packing import provisional

        return provisional(self.wishes)

    async def pack(self, client: Client, *, sends: bool = True) -> Packed:
        """Look at everything and send what the coordinator lacks; without `sends`, only look. Raises OpsconsoleError."""
        from opsconsole.transfer.packing import Packed, pack

        if not self.wishes.bring_along:
            return Packed()
        line = ProgressLine(quiet=self._quiet)
        try:
            return await pack(client, self.wishes, tell=line.say, on_progress=line.show, sends=sends)
        finally:
            line.clear()

    async def supplied(self, client: Client, packed: Packed, spec: JobSpec) -> tuple[ContentId, ...]:
        """What would be sent or offered from here with `spec`. Raises OpsconsoleError."""
        from opsconsole.transfer.packing import supplied

        return await supplied(client, packed, spec, self._say)

    @contextlib.asynccontextmanager
    async def noted(self, client: Client, job_id: JobId, packed: Packed, spec: JobSpec) -> AsyncIterator[None]:
        """Submit within: what is to go on afterwards is written down before, and taken back where the job is refused."""
        from opsconsole.transfer import pending
        from opsconsole.transfer.packing import note

        self._written = await note(client, job_id, packed, self.wishes, spec, self._say)
        try:
            yield
        except Unavailable:
            raise  # it may have been submitted
        except OpsconsoleError:
            for one in self._written:
                pending.release(one, job_id)
            raise

    # --- while and after it runs -----------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def served(self, client: Client, *, is_watched: bool = True) -> AsyncIterator[None]:
        """Within, the worker gets from here what it wants, which the coordinator knows from the beginning.

        `is_watched`: the job's log may be written to the terminal meanwhile.
        """
        if not self.offers:
            yield
            return
        from opsconsole.transfer.board import TransferBoard

        line = ProgressLine(quiet=self._quiet, notes=True)
        self._board = board = TransferBoard(client, on_change=Telling(self._say) if is_watched else line.show)
        self._server = server = board.offer_server(self.offers)
        self._serving = asyncio.create_task(server.run())
        known = asyncio.create_task(server.is_known.wait())
        try:
            await asyncio.wait((self._serving, known), timeout=_KNOWN_S, return_when=asyncio.FIRST_COMPLETED)
            yield
        finally:
            for task in (self._serving, known):
                task.cancel()
            await asyncio.gather(self._serving, known, return_exceptions=True)
            await board.close()
            line.clear()
        for shown in () if is_watched else board.rows:
            self._say(f"sent {shown.title}: {summary(shown)}")

    async def serve_until_arrived(self, client: Client, row: JobRow) -> None:
        """Within `served`: wait until the worker has all that it wants. For who doesn't wait for the job itself."""
        for offer in self.offers:
            self._say(
                f"{offer.name} ({size(offer.size_bytes)}) goes to the worker from here once it is known: keep this running"
            )
        wanted = {offer.content_id for offer in self.offers}
        while wanted - self._server.served:
            await asyncio.sleep(_LOOK_S)
            if self._serving.done():
                self._serving.result()
            is_sending = any(not one.is_over for one in self._board.rows)
            if not is_sending and not await _waits(client, row.id):
                break

    async def fetch(self, client: Client, job_id: str) -> bool:
        """Bring the results that were asked for, and say so. Return whether all that was asked for came."""
        if not self.wishes.fetches:
            return True
        return await fetch_results(client, job_id, quiet=self._quiet)

    def ended(self, job_id: JobId) -> None:
        """The job has ended: nothing has to be sent for it any more."""
        from opsconsole.transfer import pending

        for one in self.offers:
            pending.release(one, job_id)

    def forget(self, job_id: JobId) -> None:
        """Let go of all that is to go on: the coordinator ends with the job."""
        from opsconsole.transfer import pending

        for one in self._written:
            pending.release(one, job_id)

    def later(self) -> None:
        """Say how the results come when nobody waits for them."""
        if self.wishes.fetches:
            self._say("its results come once it has ended: " + RESUME)

    def _say(self, line: str) -> None:
        if not self._quiet:
            say(line)


async def fetch_results(client: Client, job_id: str, *, quiet: bool = False) -> bool:
    """Bring the pending results of a job that has ended, and say so. Return whether all came; of one that hasn't ended, True."""
    from opsconsole.outcome import is_finished_state
    from opsconsole.transfer import pending
    from opsconsole.transfer.board import TransferBoard
    from opsconsole_protocol.ids import JobId

    store_id = await client.store_id()
    if not await asyncio.to_thread(pending.fetches, store_id):
        return True
    job = (await client.show(job_id, tasks_limit=0, events_limit=0)).job
    if not is_finished_state(job.state):
        return True
    job_id = job.id
    line = ProgressLine(quiet=quiet, notes=False)
    board = TransferBoard(client, on_change=line.show)
    whole = True
    try:
        while True:
            done = await board.fetch_pending(JobId(job_id))
            for transfer in done:
                line.clear()
                whole = tell_fetched(board, transfer, quiet=quiet) and whole
            if not whole or not await asyncio.to_thread(pending.fetches, store_id, JobId(job_id)):
                return whole
            await asyncio.sleep(_LOOK_S)  # another process of this person brings them
    finally:
        await board.close()
        line.clear()


def tell_fetched(board: TransferBoard, transfer: Transfer, *, quiet: bool) -> bool:
    """Say what has been brought, or why it hasn't. Return whether it has."""
    from opsconsole.transfer.download import differing_words

    if transfer.error is not None:
        say(f"opsconsole: not fetched: {transfer.error.message}")
        return False
    brought = board.brought[transfer.row.id]
    if not quiet:
        for one in brought.files[:_FILES_SHOWN]:
            path = os.fsdecode(one.path)
            instead = f" ({os.fsdecode(one.beside)} is there already, and differs)" if one.beside else ""
            say(f"fetched {path} {size(one.size_bytes)} to {_shown_folder(brought.folder / path)}{instead}")
        if len(brought.files) > _FILES_SHOWN:
            say(f"fetched {plural(len(brought.files) - _FILES_SHOWN, 'more file')}")
    for line in (*brought.missing, *brought.left_out):
        say(f"opsconsole: not fetched: {line}")
    if brought.differing:
        elsewhere = f"`opsconsole get {transfer.row.job_id} --to DIR` brings {{them}} elsewhere"
        say(f"opsconsole: not fetched: {differing_words(brought.differing, elsewhere)}")
    return brought.is_whole


class Telling:
    """Says of each transfer when it moves and when it is over, and now and then how far it is."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._line = ProgressLine(is_live=False)
        self._begun: set[str] = set()
        self._waits: set[tuple[str, str]] = set()

    def __call__(self, row: TransferRow) -> None:
        if row.is_over:
            done = "fetched" if row.kind == "get" else "sent"
            words = f"not {done}: {row.title}: {row.error}" if row.error else f"{done} {row.title}: {summary(row)}"
            self._tell(words)
        elif row.phase == "waiting":
            if (row.id, row.note) not in self._waits:
                self._waits.add((row.id, row.note))
                self._tell(f"{row.title} waits: {row.note}")
        elif row.phase == "moving" and row.id not in self._begun:
            self._begun.add(row.id)
            doing = "fetching" if row.kind == "get" else "sending"
            self._tell(f"{doing} {row.title}: {row.note or row.way_words}")
        else:
            self._line.show(row)


async def _waits(client: Client, job_id: str) -> bool:
    """Whether the job has tasks that may still want something from here."""
    from opsconsole.outcome import may_begin

    return may_begin((await client.show(job_id, tasks_limit=0, events_limit=0)).job)


def _shown_folder(path: Path) -> str:
    """The folder of a file as a person in this folder calls it."""
    folder = path.parent
    with contextlib.suppress(ValueError):
        below = folder.relative_to(Path.cwd())
        return f"./{below}" if below.parts else "."
    return str(folder)


def offers_go_on(names: Sequence[str]) -> str:
    """What to say when somebody leaves before the worker has everything."""
    return f"{', '.join(names)} hasn't arrived yet: {RESUME}"
