"""A file or folder of this machine that a job brings along: kept by the coordinator, or too large for it and offered from here."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from opsconsole.transfer.local_source import LocalSource
from opsconsole.transfer.this_host import ThisHost
from opsconsole.transfer.wish import WishedUpload
from opsconsole_protocol.api import ContentsAnswer, FindContents
from opsconsole_protocol.content.error import ContentChanged
from opsconsole_protocol.job_content import Upload
from opsconsole_protocol.stream.message import KeepContent

if TYPE_CHECKING:
    from opsconsole.transfer.carrier import Load
    from opsconsole.transfer.transfer import Transfer
    from opsconsole_protocol.host.content.session import Summary
    from opsconsole_protocol.host.stream.stream import Stream

Keep = Callable[["Load", "Transfer", LocalSource], bool]
"""`keep`, or what stands for it."""
TRIES = 3
"""How often a tree that changes under our hands is looked at again."""


def upload(load: Load, transfer: Transfer, wish: WishedUpload, host: ThisHost, keep: Keep) -> Upload:
    """Hash a file or folder and have the coordinator keep it, if it takes it. Blocks. Raises OpsconsoleError."""
    for left in reversed(range(TRIES)):
        try:
            with LocalSource.of_one(wish.path, wish.name, progress=transfer.scanned, cancel=load.cancel) as source:
                is_kept = keep(load, transfer, source)
        except ContentChanged:
            if not left:
                raise
            continue
        manifest = source.manifest
        return Upload(
            name=wish.name,
            content_id=manifest.content_id,
            size_bytes=manifest.size_bytes,
            files=manifest.files,
            is_folder=wish.path.is_dir(),
            host="" if is_kept else host.name,
            host_id="" if is_kept else host.id,
        )
    raise AssertionError("the last try returns or raises")


class Kept(Enum):
    """What becomes of a tree that the coordinator is asked to keep."""

    ALREADY = "already"
    TO_BE_SENT = "to be sent"
    TOO_LARGE = "too large"


def will_keep(load: Load, source: LocalSource) -> Kept:
    """Ask the coordinator whether it keeps a tree. Raises OpsconsoleError."""
    manifest = source.manifest
    answer = load.ask(FindContents(content_ids=(manifest.content_id,)), ContentsAnswer)
    if manifest.content_id in answer.kept:
        return Kept.ALREADY
    return Kept.TO_BE_SENT if manifest.size_bytes <= answer.keep_bytes_max else Kept.TOO_LARGE


def keep(load: Load, transfer: Transfer, source: LocalSource) -> bool:
    """Have the coordinator keep a tree, and return whether it does; it takes none that are too large. Raises OpsconsoleError.

    `transfer` moves only where there was something to send.
    """
    from opsconsole_protocol.host.content.session import send

    manifest = source.manifest
    if (kept := will_keep(load, source)) is not Kept.TO_BE_SENT:
        return kept is Kept.ALREADY

    def work(stream: Stream) -> Summary:
        return send(stream, source.source, progress=transfer.moved, cancel=load.cancel)

    transfer.begins_to_move()
    purpose = KeepContent(content_id=manifest.content_id, size_bytes=manifest.size_bytes, files=manifest.files)
    load.move(transfer, purpose, work)
    return True
