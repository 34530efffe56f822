"""What the Python client does with files: in one call each, until they have moved."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from opsconsole.transfer.board import TransferBoard
from opsconsole.transfer.broker import StreamRequester
from opsconsole.transfer.packing import Packed, note, pack
from opsconsole.transfer.place import find_worker
from opsconsole.transfer.row import TransferRow
from opsconsole.transfer.wish import Wishes
from opsconsole_protocol.api import WorkerRow
from opsconsole_protocol.error import Conflict, InvalidRequest, LimitExceeded, Unavailable
from opsconsole_protocol.ids import JobId, split_task_id
from opsconsole_protocol.quantity import size_words
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.stream.message import Via

_NAMED_MAX = 10
Paths = str | Path | Sequence[str | Path]


class ClientTransfers:
    """The transfers of one client."""

    def __init__(self, requester: StreamRequester) -> None:
        self._requester = requester
        self._board = TransferBoard(requester)
        self._offering: asyncio.Task[None] | None = None

    async def pack(
        self,
        specs: Sequence[JobSpec],
        ids: Sequence[JobId],
        uploads: Paths,
        bundle: str | Path | None,
        tell: Callable[[str], None] | None,
    ) -> tuple[JobSpec, ...]:
        """The specs with what they bring along, which is sent, or from now on offered from here. Raises as `packing.pack` does."""
        wishes = Wishes(uploads=tuple(map(str, _paths(uploads))), bundle=None if bundle is None else Path(bundle))
        packed = await pack(self._requester, wishes, tell=tell or _say_nothing)
        for one, spec in zip(ids, specs, strict=True):
            await note(self._requester, one, packed, wishes, spec, tell or _say_nothing)
        if packed.offers and self._offering is None:
            self._offering = asyncio.create_task(self._board.serve_offers(), name="offers of files")
        return tuple(packed.put_into(spec) for spec in specs)

    async def pack_text(self, name: str, text: str) -> Packed:
        """A file of this name with this text, which the coordinator keeps. Raises LimitExceeded where that is too large for it."""
        with tempfile.TemporaryDirectory(prefix="opsconsole-") as folder:
            path = Path(folder, name)
            await asyncio.to_thread(path.write_text, text, "utf-8")
            packed = await pack(self._requester, Wishes(uploads=(str(path),)), tell=_say_nothing)
        if packed.offers:
            raise LimitExceeded(
                f"{name} has {size_words(len(text))}, more than the coordinator keeps: bring a file along"
            )
        return packed

    async def put(
        self, files: Paths, workers: Sequence[WorkerRow], name: str, folder: str, *, replace: bool, via: str
    ) -> TransferRow:
        """Bring files and folders of this machine to a worker: into its input folder, a folder below it, `LABEL:path` or a whole path.

        Returns the transfer as it ended. What is there already isn't sent; what differs is a Conflict unless `replace`. After an
        interruption the same call goes on where it was. `via` is auto, direct, webrtc or relay. Raises NotFound for an unknown
        worker, file or mount, and what the way there raises.
        """
        worker = find_worker(workers, name)
        return await self._board.put(_paths(files), worker, folder, replace=replace, via=via_of(via)).result()

    async def get(
        self, job: str, patterns: str | Sequence[str], to: str | Path, *, replace: bool, via: str
    ) -> list[Path]:
        """Bring what a job, or a task (JOB/task-N), has written, as far as it matches a pattern; return where it lies now.

        Files keep their path below the job's output folder. What is here already isn't sent; what differs stays as it is and is
        a Conflict, unless `replace`. Raises NotFound where nothing matches, Unavailable where some of it can't be had, and what
        the way there raises. What its worker can't send (devices, links that lead out) isn't among the files. After a Conflict or Unavailable the rest is here.
        """
        name, index = split_task_id(job)
        wanted = (patterns,) if isinstance(patterns, str) else tuple(patterns)
        row = await self._board.get(name, wanted, Path(to), task_index=index, force=replace, via=via_of(via)).result()
        brought = self._board.brought[row.id]
        if brought.missing:
            raise Unavailable(f"not all of it could be had: {'; '.join(brought.missing)}")
        if brought.differing:
            names = ", ".join(os.fsdecode(path) for path in brought.differing[:_NAMED_MAX])
            raise Conflict(
                f"{len(brought.differing):,} files here differ from what was asked for ({names}): give `replace`"
            )
        return [brought.folder / os.fsdecode(one.path) for one in brought.files]

    async def close(self) -> None:
        """Cancel what is under way. What is offered stays pending for the next console."""
        if self._offering is not None:
            self._offering.cancel()
            await asyncio.gather(self._offering, return_exceptions=True)
        await self._board.close()


def _paths(files: Paths) -> list[Path]:
    return [Path(files)] if isinstance(files, str | Path) else [Path(one) for one in files]


def via_of(text: str) -> Via:
    """The way of this name. Raises InvalidRequest."""
    try:
        return Via(text)
    except ValueError:
        raise InvalidRequest(f"{text!r} is no way for files: auto, direct, webrtc or relay") from None


def _say_nothing(_: str) -> None:
    """For who doesn't listen."""
