"""What a job brings along, made ready before it is submitted: looked at, hashed, and sent where it is kept.

What the coordinator has already isn't sent. What is too large for it to keep stays here: `offer.py` sends it to the worker
that wants it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from opsconsole.transfer import fetch_memory, pending
from opsconsole.transfer.broker import StreamRequester
from opsconsole.transfer.bundle import bundle, folder_name
from opsconsole.transfer.carrier import Carrier, Load
from opsconsole.transfer.local_source import LocalSource
from opsconsole.transfer.pending import Pending, PendingFetch, PendingOffer
from opsconsole.transfer.row import TransferKind, TransferRow
from opsconsole.transfer.this_host import this_host
from opsconsole.transfer.transfer import OnChange, Transfer
from opsconsole.transfer.upload import Keep, Kept, keep, upload, will_keep
from opsconsole.transfer.wish import WishedUpload, Wishes
from opsconsole_protocol.ids import ContentId, JobId
from opsconsole_protocol.job_content import Bundle, Upload
from opsconsole_protocol.quantity import size_words
from opsconsole_protocol.spec import JobSpec

T = TypeVar("T")
_NOTHING = ContentId("0" * 64)


@dataclass(frozen=True, slots=True)
class Packed:
    """What the spec of the job gets, and what is to be offered from here."""

    uploads: tuple[Upload, ...] = ()
    bundle: Bundle | None = None
    offers: tuple[PendingOffer, ...] = ()

    def put_into(self, spec: JobSpec) -> JobSpec:
        """The spec with all of it; what it brings along itself stays."""
        if not self.uploads and self.bundle is None:
            return spec
        return replace(spec, uploads=(*spec.uploads, *self.uploads), bundle=self.bundle or spec.bundle)


async def pack(
    requester: StreamRequester,
    wishes: Wishes,
    *,
    tell: Callable[[str], None],
    on_progress: OnChange | None = None,
    on_wish: Callable[[str], None] | None = None,
    sends: bool = True,
) -> Packed:
    """Look at what is wished for, hash what isn't known yet, and send the coordinator what it lacks and takes.

    Without `sends` nothing is sent: all is looked at, refused and named as for a submission (`supplied` says what would be sent).

    `tell` gets a line for each thing, on this loop; `on_progress` is called from threads. `on_wish` is told which wish is next,
    `bundle` or `uploads`: what is raised is about the last one. Raises OpsconsoleError, and InvalidRequest for what can't be
    brought along.
    """
    wishes.check()
    if not wishes.bring_along:
        return Packed()
    carrier = Carrier(requester)
    packer = _Packer(carrier, tell, on_progress, sends=sends)
    note_wish = on_wish or (lambda name: None)  # noqa: ARG005
    try:
        code = None
        if wishes.bundle is not None:
            note_wish("bundle")
            code = await packer.bundle(wishes.cwd / wishes.bundle.expanduser(), wishes.bundle_bytes_max)
        if wishes.uploads:
            note_wish("uploads")
        uploads = [await packer.upload(wishes.upload(text)) for text in wishes.uploads]
    finally:
        carrier.close()
    return Packed(tuple(uploads), code, tuple(packer.offers))


class _Packer:
    """One call of `pack`."""

    def __init__(
        self, carrier: Carrier, tell: Callable[[str], None], on_progress: OnChange | None, *, sends: bool
    ) -> None:
        self.offers: list[PendingOffer] = []
        self._keep: Keep = keep if sends else self._would_keep
        self._to_be_sent: set[ContentId] = set()
        self._carrier = carrier
        self._tell = tell
        self._on_progress = on_progress

    async def bundle(self, folder: Path, bytes_max: int) -> Bundle:
        transfer = self._transfer(f"the code in {folder_name(folder)}")
        code = await self._carried_out(transfer, lambda load: bundle(load, transfer, folder, bytes_max, self._keep))
        self._tell(
            f"bundle {code.files:,} {_files(code.files)} {size_words(code.size_bytes)} ({self._sent(code.content_id, transfer.row)})"
        )
        return code

    async def upload(self, wish: WishedUpload) -> Upload:
        transfer = self._transfer(wish.name)
        host = await asyncio.to_thread(this_host)
        one = await self._carried_out(transfer, lambda load: upload(load, transfer, wish, host, self._keep))
        sent = "goes to the worker once it is known" if one.host_id else self._sent(one.content_id, transfer.row)
        self._tell(f"upload {replace(one, host='').words} ({sent})")
        if one.host_id:
            store_id = await self._carrier.requester.store_id()
            self.offers.append(
                PendingOffer(
                    store_id=store_id, content_id=one.content_id, path=os.fsencode(wish.path.resolve()), name=wish.name,
                    is_folder=one.is_folder, size_bytes=one.size_bytes, files=one.files, job_ids=(),
                )
            )  # fmt: skip
        return one

    def _would_keep(self, load: Load, transfer: Transfer, source: LocalSource) -> bool:
        """In place of `keep` where nothing is sent."""
        del transfer
        kept = will_keep(load, source)
        if kept is Kept.TO_BE_SENT:
            self._to_be_sent.add(source.manifest.content_id)
        return kept is not Kept.TOO_LARGE

    def _sent(self, content_id: ContentId, row: TransferRow) -> str:
        """What of it had to be sent, or would have to be."""
        if content_id in self._to_be_sent:
            return "would be sent"
        moved = row.bytes_done - row.bytes_skipped
        return "nothing to send" if row.way is None or moved == 0 else f"{size_words(moved)} sent"

    def _transfer(self, title: str) -> Transfer:
        return Transfer(TransferKind.UPLOAD, title, on_change=self._on_progress)

    async def _carried_out(self, transfer: Transfer, work: Callable[[Load], T]) -> T:
        with transfer.recorded(if_moved=True):
            return await self._carrier.run(work)


async def note(
    requester: StreamRequester,
    job_id: JobId,
    packed: Packed,
    wishes: Wishes,
    spec: JobSpec,
    tell: Callable[[str], None],
) -> list[Pending]:
    """Write down what has to go on after the submission, whatever becomes of this process: offers and fetches.

    To be called before the job, `spec`, is submitted. What it brings along as the job did that it is a clone of is offered for
    it as well; `tell` gets a line for what isn't offered from here any more. Returns what was written. Raises PrivateFileError
    or LimitExceeded.
    """
    inherited = [one for one in spec.uploads if one.host_id and one not in packed.uploads]
    if not packed.offers and not wishes.fetches and not inherited:
        return []
    store_id = await requester.store_id()
    now_ms = time.time_ns() // 1_000_000
    offers = [*packed.offers, *await asyncio.to_thread(_offered, store_id, inherited, tell)]
    written: list[Pending] = [replace(offer, job_ids=(job_id,), created_at_ms=now_ms) for offer in offers]
    fetches = [
        PendingFetch(
            store_id=store_id,
            job_id=job_id,
            pattern=wish.pattern,
            folder=os.fsencode(wish.folder),
            created_at_ms=now_ms,
        )
        for wish in map(wishes.fetch, wishes.fetches)
    ]
    written += fetches
    await asyncio.to_thread(_save, written)
    await asyncio.to_thread(fetch_memory.remember, fetches)
    return written


async def supplied(
    requester: StreamRequester, packed: Packed, spec: JobSpec, tell: Callable[[str], None]
) -> tuple[ContentId, ...]:
    """What of a spec that `packed` was put into this machine would send or offer with it (see `AskCandidates.supplied`)."""
    inherited = [one for one in spec.uploads if one.host_id and one not in packed.uploads]
    store_id = await requester.store_id() if inherited else ""
    offers = await asyncio.to_thread(_offered, store_id, inherited, tell)
    code = () if packed.bundle is None else (packed.bundle.content_id,)
    return (*code, *(one.content_id for one in packed.uploads), *(one.content_id for one in offers))


def provisional(wishes: Wishes) -> Packed:
    """What stands for the real thing until that has been looked at: a mistake in the spec shouldn't cost a long hashing."""
    wishes.check()
    uploads = tuple(
        Upload(name=wish.name, content_id=_NOTHING, size_bytes=0, files=0)
        for wish in map(wishes.upload, wishes.uploads)
    )
    return Packed(uploads, None if wishes.bundle is None else Bundle(content_id=_NOTHING, size_bytes=0, files=0))


def _offered(store_id: str, uploads: Sequence[Upload], tell: Callable[[str], None]) -> list[PendingOffer]:
    """What of these uploads of an earlier job is offered from here."""
    known = {one.content_id: one for one in pending.offers(store_id)} if uploads else {}
    found: list[PendingOffer] = []
    for one in uploads:
        if one.content_id in known:
            found.append(known[one.content_id])
        elif one.host_id == this_host().id:
            tell(
                f"{one.name} isn't offered from here any more: a worker that doesn't have it waits for it; "
                f"clone with --upload PATH:{one.name} to send it again"
            )
        else:
            tell(f"{one.name} comes from {one.host}: a worker that doesn't have it waits until that is connected")
    return found


def _save(written: list[Pending]) -> None:
    for one in written:
        pending.save(one)


def _files(number: int) -> str:
    return "file" if number == 1 else "files"
