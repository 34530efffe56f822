"""The transfers of one console or one command: started here, shown as rows, and what is pending gone on with."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from opsconsole.ask import ask
from opsconsole.outcome import is_finished_state, may_begin
from opsconsole.transfer import history, pending
from opsconsole.transfer.broker import StreamRequester
from opsconsole.transfer.carrier import Carrier, Load
from opsconsole.transfer.download import Brought, Destination, Part, get, get_part
from opsconsole.transfer.offer import SUBMITTED_MS, OfferServer
from opsconsole.transfer.pending import Pending, PendingFetch, PendingGet, PendingOffer
from opsconsole.transfer.place import place_of
from opsconsole.transfer.put import put, title
from opsconsole.transfer.row import TransferKind, TransferPhase, TransferRow
from opsconsole.transfer.transfer import OnChange, Transfer
from opsconsole_protocol.api import DetailAnswer, JobRow, ShowJob, WorkerRow
from opsconsole_protocol.content.glob import spelled
from opsconsole_protocol.error import NotFound, OpsconsoleError, Unavailable
from opsconsole_protocol.stream.message import FileRoot, Via

if TYPE_CHECKING:
    from opsconsole_protocol.ids import ContentId, JobId

ROWS_MAX = 500
"""Transfers that are shown; the oldest that have ended go first."""
_FETCH_LOOK_S = 10.0


class TransferBoard:
    """Made on the loop that its requester belongs to. `on_change` is called on that loop, with progress a few times a second."""

    def __init__(self, requester: StreamRequester, *, on_change: OnChange | None = None) -> None:
        self._requester = requester
        self._carrier = Carrier(requester)
        self._loop = asyncio.get_running_loop()
        self._on_change = on_change
        self._transfers: dict[str, Transfer] = {}
        self._patient: dict[str, tuple[Pending, Transfer]] = {}
        """What is tried until nobody is away, by the ids of what is pending."""
        self.brought: dict[str, Brought] = {}
        """What each `get` has brought, by the id of the transfer."""

    # --- starting --------------------------------------------------------------------------------------------------

    def put(
        self, files: Sequence[Path], worker: WorkerRow, folder: str = "", *, replace: bool = False, via: Via = Via.AUTO
    ) -> Transfer:
        """Bring files and folders of this machine into a folder of a worker (`place.place_of`), the input folder unless named.

        Without `replace`, files that are there already and differ are a failure. Raises what `place_of` raises.
        """
        place = place_of(worker, folder, writes=True)
        transfer = self._new(TransferKind.PUT, title(files, f"{worker.name}:{place.words}"), peer=worker.name)

        def work(load: Load) -> None:
            put(load, transfer, files, worker.name, place, replace=replace, via=via)

        return self._started(transfer, work)

    def get(
        self,
        job: str,
        patterns: Sequence[str] = (),
        to: Path = Path(),
        *,
        task_index: int | None = None,
        force: bool = False,
        mark: str = "",
        via: Via = Via.AUTO,
        again: Transfer | None = None,
    ) -> Transfer:
        """Bring a job's results, or those of one task, to below a folder of this machine.

        See `download.get` and, for `force` and `mark`, `download.Destination`. `again`: one that has waited, and goes on.
        """
        transfer = self._new(TransferKind.GET, f"results of {job}", job_id=job, to=to, again=again)
        where = Destination(to, force, mark)

        def work(load: Load) -> None:
            self.brought[transfer.row.id] = get(load, transfer, job, patterns, where, task_index=task_index, via=via)

        if mark:
            return self._started(transfer, work)
        noted = PendingGet(
            store_id="", job=_text(job), task_index=task_index, patterns=tuple(map(spelled, patterns)), folder=_whole(to), force=force, via=via
        )  # fmt: skip
        return self._started(transfer, work, noted)

    def get_files(
        self,
        worker: str,
        root: FileRoot,
        folder: bytes,
        patterns: Sequence[str],
        to: Path,
        *,
        force: bool = False,
        via: Via = Via.AUTO,
        again: Transfer | None = None,
    ) -> Transfer:
        """Bring what matches in a folder of a worker, counted from that folder, to below a folder of this machine.

        What is there and differs stays as it is, unless `force`. `again`: one that has waited, and goes on.
        """
        noted = PendingGet(
            store_id="", worker=_text(worker), root=root, below=folder, patterns=tuple(map(spelled, patterns)), folder=_whole(to), force=force, via=via
        )  # fmt: skip
        title = f"{noted.what} of {noted.of}"
        transfer = self._new(TransferKind.GET, title, peer=worker, job_id=root.job_id, to=to, again=again)

        def work(load: Load) -> None:
            part = Part(worker, root, tuple(map(spelled, patterns)), folder)
            found = get_part(load, transfer, part, Destination(to, force), via)
            self.brought[transfer.row.id] = found
            if not found.files and not found.differing:
                sought = f"that matches {' or '.join(map(repr, patterns))}" if patterns else "that can be sent"
                where = f"in {root.mount}:{os.fsdecode(folder)}" if root.mount else "there"
                raise NotFound(f"{worker} has nothing {where} {sought}")

        return self._started(transfer, work, noted)

    # --- looking ---------------------------------------------------------------------------------------------------

    @property
    def rows(self) -> tuple[TransferRow, ...]:
        """Those under way and those that have ended here, the newest first."""
        return tuple(transfer.row for transfer in reversed(self._transfers.values()))

    def cancel(self, id: str) -> None:  # noqa: A002
        """End one that is under way, or that waits. What has arrived stays for the next time."""
        if (transfer := self._transfers.get(id)) is None:
            return
        for one, waiting in list(self._patient.values()):
            if waiting is transfer and transfer.row.phase is TransferPhase.WAITING:
                pending.remove(one)
                del self._patient[one.id]
        transfer.cancel()

    async def history(self, limit: int = 200) -> list[TransferRow]:
        """What this person has transferred from this machine, the newest first."""
        return await asyncio.to_thread(history.read, limit)

    async def pending_offers(self) -> list[PendingOffer]:
        """Files that queued jobs of this coordinator want from here."""
        return await asyncio.to_thread(pending.offers, await self._requester.store_id())

    async def pending_fetches(self) -> list[PendingFetch]:
        """Results of jobs of this coordinator that are to be brought here."""
        return await asyncio.to_thread(pending.fetches, await self._requester.store_id())

    async def pending_gets(self) -> list[PendingGet]:
        """What is being got from this coordinator's workers, by any process of this person, or was when it was killed."""
        return await asyncio.to_thread(pending.gets, await self._requester.store_id())

    async def interrupted_gets(self) -> list[PendingGet]:
        """What somebody was getting from this coordinator's workers when the process was killed."""
        return await asyncio.to_thread(pending.interrupted, await self._requester.store_id())

    async def forget(self, id: str) -> None:  # noqa: A002
        """Let go of an offer, or of what is to be brought. Raises NotFound."""
        await asyncio.to_thread(lambda: pending.remove(pending.find(id)))

    # --- what is pending -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled, send what queued jobs want from here, and bring the results that are pending once their jobs have ended."""
        tasks = [asyncio.create_task(one) for one in (self.serve_offers(), self._fetch_always())]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:  # where one fails the other would go on by itself
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def serve_offers(self) -> None:
        """Until cancelled, send what queued jobs want from here."""
        await OfferServer(self._carrier, on_start=self._begun).run()

    def offer_server(self, only: Sequence[PendingOffer]) -> OfferServer:
        """Sends these and no others. For who waits until they have arrived."""
        return OfferServer(self._carrier, only={one.content_id for one in only}, on_start=self._begun)

    async def drop_ended_offers(self) -> frozenset[ContentId]:
        """Let go of what is offered for jobs that have ended, and return what of the rest no job waits for at the moment.

        Raises OpsconsoleError where the coordinator can't be asked.
        """
        arrived: set[ContentId] = set()
        for offer in await self.pending_offers():
            is_early = time.time_ns() // 1_000_000 - offer.created_at_ms < SUBMITTED_MS
            waits = False
            for job_id in offer.job_ids:
                job = await self._job(job_id)
                waits = waits or (may_begin(job) if job is not None else is_early)
                if is_finished_state(job.state) if job is not None else not is_early:
                    await asyncio.to_thread(pending.release, offer, job_id)
            if not waits:
                arrived.add(offer.content_id)
        return frozenset(arrived)

    async def fetch_pending(self, job_id: JobId | None = None) -> list[Transfer]:
        """Bring the pending results of one job, or of all, as far as the jobs have ended. Those that came are forgotten.

        Returns the transfers, ended; the results of a failed one stay pending unless there is nothing that matches.
        """
        store_id = await self._requester.store_id()
        done: list[Transfer] = []
        for one in await asyncio.to_thread(pending.fetches, store_id, job_id):
            with pending.claimed(one) as is_mine:
                if not is_mine:
                    continue
                job = await self._job(one.job_id)
                if job is None:
                    pending.remove(one)
                elif is_finished_state(job.state):
                    done.append(await self._fetch(one))
        return done

    async def get_interrupted(self) -> list[Transfer]:
        """Go on with every `get` whose process was killed. Returns the transfers, ended; what couldn't be reached stays pending."""
        done: list[Transfer] = []
        for one in await asyncio.to_thread(pending.gets, await self._requester.store_id()):
            with pending.claimed(one) as is_mine:
                if is_mine:
                    done.append(await self._get_again(one))
        return done

    async def _get_again(self, one: PendingGet) -> Transfer:
        to = Path(os.fsdecode(one.folder))
        again = self._again(one)
        if one.root is not None:
            transfer = self.get_files(
                one.worker, one.root, one.below, one.patterns, to, force=one.force, via=one.via, again=again
            )  # fmt: skip
        else:
            transfer = self.get(
                one.job, one.patterns, to, task_index=one.task_index, force=one.force, via=one.via, again=again
            )  # fmt: skip
        await self._tried(one, transfer)
        if not isinstance(transfer.error, Unavailable):
            pending.remove(one)
        return transfer

    def _again(self, one: Pending) -> Transfer | None:
        """The transfer that has tried it before and waits: there is one of it, however often it is tried."""
        _, before = self._patient.get(one.id, (one, None))
        return before if before is not None and before.row.phase is TransferPhase.WAITING else None

    async def _tried(self, one: Pending, transfer: Transfer) -> None:
        """Wait for the end of a try; where somebody is away, that is written down beside what waits."""
        transfer.is_patient = True
        self._patient[one.id] = one, transfer
        row = await transfer.wait()
        if row.phase is TransferPhase.WAITING:
            await asyncio.to_thread(pending.note_why, one, row.note)
        else:
            self._patient.pop(one.id, None)

    async def _job(self, job_id: JobId) -> JobRow | None:
        """A job; None where it was removed, or never submitted."""
        try:
            asked = ShowJob(id=job_id, tasks_limit=0, events_limit=0)
            return (await ask(self._requester, asked, DetailAnswer)).detail.job
        except NotFound:
            return None

    async def _fetch(self, one: PendingFetch) -> Transfer:
        to = Path(os.fsdecode(one.folder))
        transfer = self.get(one.job_id, (one.pattern,), to, mark=one.job_id, again=self._again(one))
        await self._tried(one, transfer)
        brought = self.brought.get(transfer.row.id)
        is_whole = transfer.row.phase is TransferPhase.DONE and brought is not None and not brought.missing
        if is_whole or isinstance(transfer.error, NotFound):
            pending.remove(one)
        return transfer

    async def _fetch_always(self) -> None:
        while True:
            with contextlib.suppress(OpsconsoleError):  # a coordinator that is away for a while is asked again
                await self.fetch_pending()
                await self.get_interrupted()
            await asyncio.sleep(_FETCH_LOOK_S)

    async def close(self) -> None:
        """Cancel what is under way and wait for its end."""
        under_way = [transfer for transfer in self._transfers.values() if transfer.row.is_under_way]
        for transfer in under_way:
            transfer.cancel()
        self._carrier.close()
        for transfer in under_way:
            await transfer.wait()

    # --- one transfer ----------------------------------------------------------------------------------------------

    def _new(
        self,
        kind: TransferKind,
        about: str,
        *,
        peer: str = "",
        job_id: str = "",
        to: Path | None = None,
        again: Transfer | None = None,
    ) -> Transfer:
        if again is not None:
            again.begins_again()
            return again
        folder = "" if to is None else _whole(to).decode("utf-8", "replace")
        return Transfer(kind, about, peer=peer, job_id=job_id, folder=folder, on_change=self._tell)

    def _begun(self, transfer: Transfer) -> None:
        """Show one that was started elsewhere."""
        transfer.shows(self._tell)
        self._keep(transfer)

    def _started(self, transfer: Transfer, work: Callable[[Load], None], noted: PendingGet | None = None) -> Transfer:
        self._keep(transfer)
        transfer.run_as(asyncio.create_task(self._carry_out(transfer, work, noted), name=f"transfer {transfer.row.id}"))
        return transfer

    async def _carry_out(self, transfer: Transfer, work: Callable[[Load], None], noted: PendingGet | None) -> None:
        """`noted`: what is written down while it goes on, for whoever goes on with it if this process is killed."""
        with contextlib.suppress(OpsconsoleError), contextlib.ExitStack() as stack:
            stack.enter_context(transfer.recorded())
            if noted is not None:
                store_id, now_ms = await self._requester.store_id(), time.time_ns() // 1_000_000
                stack.enter_context(pending.kept(replace(noted, store_id=store_id, created_at_ms=now_ms)))
            await self._carrier.run(work)

    def _keep(self, transfer: Transfer) -> None:
        self._transfers[transfer.row.id] = transfer
        if len(self._transfers) > ROWS_MAX:
            oldest = next((id_ for id_, one in self._transfers.items() if one.row.is_over), None)
            if oldest is not None:
                del self._transfers[oldest]
                self.brought.pop(oldest, None)

    def _tell(self, row: TransferRow) -> None:
        if self._on_change is None or self._loop.is_closed():
            return
        try:
            self._loop.call_soon_threadsafe(self._on_change, row)
        except RuntimeError:
            return  # the loop has ended meanwhile; nobody looks any more


def _whole(folder: Path) -> bytes:
    return os.fsencode(os.path.abspath(folder))  # noqa: PTH100 - as it is called


def _text(name: str) -> str:
    return name.encode("utf-8", "replace").decode()
