"""Sends what queued jobs wait for from this machine to the workers that want it, as long as it runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from opsconsole.ask import ask
from opsconsole.transfer import pending
from opsconsole.transfer.broker import RequestSignaller
from opsconsole.transfer.carrier import Carrier, Load
from opsconsole.transfer.local_source import LocalSource
from opsconsole.transfer.pending import PendingOffer
from opsconsole.transfer.row import TransferKind, TransferPhase
from opsconsole.transfer.this_host import this_host
from opsconsole.transfer.transfer import Transfer
from opsconsole_protocol.api import DetailAnswer, Done, EndStream, OfferAnswer, OfferContents, ShowJob
from opsconsole_protocol.bound import CONTENTS_MAX, cut
from opsconsole_protocol.content.error import ContentChanged
from opsconsole_protocol.error import Conflict, LimitExceeded, NotFound, OpsconsoleError, Unavailable
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.stream.error import StreamLost
from opsconsole_protocol.stream.message import FetchContent, StreamGrant

if TYPE_CHECKING:
    from opsconsole_protocol.host.content.session import Summary

LONG_POLL_MS = 10_000
_LOOK_S = 2.0
"""How often the list of offers is looked at while there is none."""
_BACK_OFF_FIRST_S, _BACK_OFF_LAST_S = 0.5, 10.0
SUBMITTED_MS = 60_000
"""How long an offer may be older than the submission of its job."""

Start = Callable[[Transfer], None]
"""Is told of each transfer that begins."""


class OfferServer:
    """Offers what is pending for one coordinator, and sends what is wanted.

    `only`: these contents and no others; without it all that no other process of this person has its hands on. `served` has
    those that somebody has got, or that no job wants any more.
    """

    def __init__(
        self, carrier: Carrier, *, only: Collection[ContentId] | None = None, on_start: Start | None = None
    ) -> None:
        self.served: set[ContentId] = set()
        self.is_known = asyncio.Event()
        """The coordinator knows what is offered from here."""
        self._carrier = carrier
        self._only = only
        self._on_start = on_start
        self._claims: dict[ContentId, ExitStack] = {}
        self._cancelled: set[ContentId] = set()
        self._offers: dict[ContentId, PendingOffer] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def offered(self) -> Collection[ContentId]:
        """What is offered from here at the moment."""
        return self._offers.keys()

    async def run(self) -> None:
        """Serve until cancelled. A coordinator that can't be reached, or can't take offers now, is tried again."""
        back_off_s = _BACK_OFF_FIRST_S
        try:
            while True:
                try:
                    is_idle = not await self._once()
                    back_off_s = _BACK_OFF_FIRST_S
                except (Unavailable, Conflict, LimitExceeded):  # or this machine offered by another token just now
                    await asyncio.sleep(back_off_s)
                    back_off_s = min(2 * back_off_s, _BACK_OFF_LAST_S)
                    continue
                if is_idle:
                    await asyncio.sleep(_LOOK_S)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for claim in self._claims.values():
                claim.close()

    async def _once(self) -> bool:
        """Offer once and wait for an answer. Return whether there was anything to offer."""
        store_id = await self._carrier.requester.store_id()
        await asyncio.to_thread(self._claim, store_id)
        if not self._offers:
            return False
        host = await asyncio.to_thread(this_host)
        request = OfferContents(
            host=host.name, host_id=host.id, content_ids=tuple(self._offers)[:CONTENTS_MAX],
            wait_ms=LONG_POLL_MS if self.is_known.is_set() else 0,
        )  # fmt: skip
        answer = await ask(self._carrier.requester, request, OfferAnswer)
        self.is_known.set()
        for content_id in answer.unwanted:
            await self._drop(content_id)
        for grant in answer.grants:
            task = asyncio.create_task(self._serve(grant))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return True

    def _claim(self, store_id: str) -> None:
        """Take up what has been written down since."""
        for offer in pending.offers(store_id):
            if offer.content_id in self._offers or offer.content_id in self._cancelled:
                continue
            if self._only is not None and offer.content_id not in self._only:
                continue
            claim = ExitStack()
            if claim.enter_context(pending.claimed(offer)):
                self._offers[offer.content_id] = offer
                self._claims[offer.content_id] = claim
            else:
                claim.close()
        for content_id, offer in list(self._offers.items()):
            if not pending.exists(offer):
                del self._offers[content_id]

    async def _drop(self, content_id: ContentId) -> None:
        """No job wants it any more; one that is only about to be submitted will."""
        offer = self._offers.get(content_id)
        if offer is None or await self._is_early(offer):
            return
        pending.remove(offer)
        del self._offers[content_id]
        self.served.add(content_id)

    async def _is_early(self, offer: PendingOffer) -> bool:
        """Whether its job isn't known yet: it is written down before it is submitted."""
        if time.time_ns() // 1_000_000 - offer.created_at_ms > SUBMITTED_MS:
            return False
        try:
            for job_id in offer.job_ids:
                await ask(self._carrier.requester, ShowJob(id=job_id, tasks_limit=0, events_limit=0), DetailAnswer)
        except NotFound:
            return True
        return False

    async def _serve(self, grant: StreamGrant) -> None:
        content_id = grant.purpose.content_id if isinstance(grant.purpose, FetchContent) else None
        offer = None if content_id is None else self._offers.get(content_id)
        if offer is None:
            await self._report(grant, "it is not offered from here any more")
            return
        jobs = offer.job_ids[-1] if offer.job_ids else ""
        transfer = Transfer(
            TransferKind.OFFER, f"{offer.name} to {grant.peer_name or 'a worker'}", peer=grant.peer_name, job_id=jobs
        )
        if self._on_start is not None:
            self._on_start(transfer)
        task = asyncio.create_task(self._send(transfer, offer, grant))
        transfer.run_as(task)
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait((task,))
            raise
        if task.cancelled():  # by a person: it isn't offered from here until it is asked for anew
            self._let_go(offer)
            await self._report(grant, "it was cancelled where it comes from")
        else:
            task.result()

    async def _send(self, transfer: Transfer, offer: PendingOffer, grant: StreamGrant) -> None:
        try:
            with transfer.recorded():
                await self._carrier.run(lambda load: _send(load, transfer, offer, grant))
        except OpsconsoleError as error:
            if not isinstance(error, StreamLost):  # else it goes on over another stream
                await self._report(grant, error.message)
        else:
            self.served.add(offer.content_id)

    def _let_go(self, offer: PendingOffer) -> None:
        """Somebody has cancelled it here: another process may send it, this one doesn't any more."""
        self._offers.pop(offer.content_id, None)
        self._cancelled.add(offer.content_id)
        if (claim := self._claims.pop(offer.content_id, None)) is not None:
            claim.close()

    async def _report(self, grant: StreamGrant, error: str) -> None:
        """Let the coordinator know why the worker doesn't get it from here."""
        with contextlib.suppress(OpsconsoleError):
            await ask(self._carrier.requester, EndStream(stream_id=grant.stream_id, error=cut(error)), Done)


def _send(load: Load, transfer: Transfer, offer: PendingOffer, grant: StreamGrant) -> Summary:
    """Send an offered tree to whoever has asked for it. Blocks. Raises OpsconsoleError."""
    from opsconsole_protocol.host.content.session import send
    from opsconsole_protocol.host.stream.negotiation import open_stream

    path = Path(os.fsdecode(offer.path))
    with LocalSource.of_one(path, offer.name, progress=transfer.scanned, cancel=load.cancel) as source:
        if source.manifest.content_id != offer.content_id:
            raise ContentChanged(f"{path} has changed since the job was submitted: submit it again")
        transfer.begins_to_move()
        transfer.enters(TransferPhase.CONNECTING)
        home = load.asker.run(load.asker.requester.home())
        signaller = RequestSignaller(load.asker, grant.stream_id)
        stream = open_stream(grant, signaller, home, tell=transfer.says, cancel=load.cancel)
        try:
            transfer.takes(stream)
            with load.cancel.closing(stream):
                return send(stream, source.source, progress=transfer.moved, cancel=load.cancel)
        finally:
            stream.close()
