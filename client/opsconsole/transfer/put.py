"""Files of this machine into a folder of a worker."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from opsconsole.transfer.local_source import LocalSource
from opsconsole.transfer.place import Place
from opsconsole.transfer.title import names
from opsconsole_protocol.bound import NAME_CHARACTERS_MAX, cut
from opsconsole_protocol.error import Conflict, InvalidRequest
from opsconsole_protocol.stream.message import Via, WriteFiles

if TYPE_CHECKING:
    from opsconsole.transfer.carrier import Load
    from opsconsole.transfer.transfer import Transfer
    from opsconsole_protocol.host.content.session import Summary
    from opsconsole_protocol.host.stream.stream import Stream


def put(
    load: Load, transfer: Transfer, files: Sequence[Path], worker: str, place: Place, *, replace: bool, via: Via
) -> Summary:
    """Send files and folders into a folder of a worker, each under its own name. Blocks. Raises OpsconsoleError."""
    from opsconsole_protocol.host.content.session import send

    if not files:
        raise InvalidRequest("there is nothing to put: name files or folders")
    if not place.mount.writable:
        raise Conflict(f"{place.words} on {worker} takes no files: its mount {place.mount.label} is not writable")
    with LocalSource.of(files, progress=transfer.scanned, cancel=load.cancel) as source:
        transfer.begins_to_move()

        def work(stream: Stream) -> Summary:
            return send(stream, source.source, progress=transfer.moved, cancel=load.cancel)

        purpose = WriteFiles(
            root=place.root, folder=place.folder, replace=replace, what=cut(_names(files), NAME_CHARACTERS_MAX)
        )
        return load.move(transfer, purpose, work, peer=worker, via=via)


def title(files: Sequence[Path], where: str) -> str:
    """What is about to be put, before it has been looked at."""
    return f"{_names(files)} to {where}"


def _names(files: Sequence[Path]) -> str:
    return names([os.fsencode(one.name or one).decode("utf-8", "replace") for one in files])
