"""What a job brings along from this machine: looked at while the form is filled in, and made ready when it is submitted."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from opsconsole_console.format import plural, size
from opsconsole_console.model.draft_wish import Wished
from opsconsole_console.service.source import FleetSource
from opsconsole_protocol.error import (
    Forbidden,
    InvalidRequest,
    OpsconsoleError,
    Unauthenticated,
    Unavailable,
    VersionMismatch,
)
from opsconsole_protocol.ids import ContentId, JobId
from opsconsole_protocol.spec import JobSpec

if TYPE_CHECKING:
    from opsconsole.transfer.measure import Measure
    from opsconsole.transfer.packing import Packed
    from opsconsole.transfer.pending import Pending
    from opsconsole.transfer.row import TransferRow
    from opsconsole.transfer.wish import Wishes
    from opsconsole_protocol.host.content.hash_cache import HashCache

_FILES_LOOKED_AT = 20_000


@dataclass(frozen=True)
class Looked:
    """What was found of what is wished for: in words, and what is wrong with it by the names of fields."""

    words: tuple[str, ...] = ()
    errors: dict[str, str] = field(default_factory=dict)
    unread_bytes: int | None = 0
    """How much would have to be read to hash all of it; None where that is too much to be counted."""


class FieldRefused(OpsconsoleError):
    """What stands in a field of the form can't be brought along."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def look(wished: Wished) -> Looked:
    """See what there is, without reading any of it. Blocks."""
    from opsconsole.transfer.local_source import hash_cache

    words: list[str] = []
    errors: dict[str, str] = {}
    unread: list[int | None] = []
    wishes = _wishes(wished)
    with hash_cache() as cache:
        for name, one in (("bundle", wished.bundle), *(("uploads", text) for text in wished.uploads)):
            if not one:
                continue
            try:
                said, measured = _of_code(wishes, cache) if name == "bundle" else _of_upload(wishes, one, cache)
                words.append(said)
                unread.append(measured.unread_bytes if measured.is_whole else None)
            except OpsconsoleError as error:
                errors.setdefault(name, error.message)
            except OSError as error:
                errors.setdefault(name, f"{error.filename or one}: {error.strerror}")
    try:
        wishes.check()
        for text in wished.fetches:
            fetch = wishes.fetch(text)
            words.append(f"brings {fetch.pattern} to {fetch.folder}")
    except OpsconsoleError as error:
        if not errors:
            errors["fetch" if wished.fetches else "uploads"] = error.message
    known = [one for one in unread if one is not None]
    return Looked(tuple(words), errors, sum(known) if len(known) == len(unread) else None)


def _wishes(wished: Wished) -> "Wishes":
    from opsconsole.transfer.wish import Wishes

    bundle = Path(wished.bundle).expanduser() if wished.bundle else None
    return Wishes(uploads=wished.uploads, bundle=bundle, fetches=wished.fetches, cwd=Path.cwd())


def _of_code(wishes: "Wishes", cache: "HashCache") -> tuple[str, "Measure"]:
    from opsconsole.transfer.code_files import check_size, code_files
    from opsconsole.transfer.measure import measure

    if wishes.bundle is None:
        raise InvalidRequest("name a folder of code")
    folder = wishes.cwd / wishes.bundle
    code = code_files(folder)
    check_size(folder, code.paths, wishes.bundle_bytes_max)
    found = measure(folder, cache, len(code.paths), paths=code.paths)
    commit = f" at {code.commit[:9]}{', changed since' if code.dirty else ''}" if code.commit else ""
    return f"code of {folder.resolve().name}: {plural(found.files, 'file')}{commit}", found


def _of_upload(wishes: "Wishes", text: str, cache: "HashCache") -> tuple[str, "Measure"]:
    from opsconsole.transfer.measure import measure

    wish = wishes.upload(text)
    found = measure(wish.path, cache, _FILES_LOOKED_AT)
    if not wish.path.is_dir():
        return f"{wish.name} {size(found.size_bytes)}", found
    if not found.is_whole:
        return f"{wish.name}/ more than {_FILES_LOOKED_AT:,} files, {size(found.size_bytes)} and more", found
    return f"{wish.name}/ {plural(found.files, 'file')}, {size(found.size_bytes)}", found


@dataclass(frozen=True)
class Brought:
    """What a job would bring along from this machine, as it is now."""

    packed: "Packed"
    supplied: tuple[ContentId, ...]
    """What of it, and of what it has from an earlier job, would be sent or offered from here."""


async def weigh(source: FleetSource, wished: Wished, spec: JobSpec) -> Brought:
    """Hash what is wished for, and send nothing: what `spec` would have more, so that workers can say what they have of it.

    Raises FieldRefused, or another OpsconsoleError where that is about no field; cancelled, it reads no more.
    """
    from opsconsole.transfer import packing

    with _refusing_fields() as on_wish:
        packed = await packing.pack(source, _wishes(wished), tell=_unheard, on_wish=on_wish, sends=False)
    return Brought(packed, await packing.supplied(source, packed, packed.put_into(spec), _unheard))


@contextmanager
def _refusing_fields() -> Iterator[Callable[[str], None]]:
    """Raise FieldRefused for what is wrong with what packing was at, of which it tells what it is given here."""
    at: list[str] = []
    try:
        yield at.append
    except (Unavailable, Unauthenticated, Forbidden, VersionMismatch):
        raise  # which is about the coordinator
    except OpsconsoleError as error:
        if not at:
            raise
        raise FieldRefused(at[-1], error.message) from error


def _unheard(line: str) -> None:
    del line  # it is said when the job is submitted


async def fetched_before(source: FleetSource, job_id: str) -> tuple[str, ...]:
    """What this person wanted to have brought of a job, as the form takes it: a job that is made from it wants the same."""
    from opsconsole.transfer.fetch_memory import wanted_of

    return await asyncio.to_thread(wanted_of, await source.store_id(), job_id)


class Packing:
    """Of one job: hashes and sends what it brings along, and writes down what is to go on after the submission."""

    def __init__(self, source: FleetSource, job_id: JobId, wished: Wished, say: Callable[[str], None]) -> None:
        """`say` is told on the loop how far it is."""
        self._source = source
        self._job_id = job_id
        self._wished = wished
        self._say = say
        self._written: list[Pending] = []

    async def pack(self, spec: JobSpec) -> JobSpec:
        """The spec with what it brings along. Raises as `weigh` does; cancelled, it sends no more."""
        if self._wished.is_empty and not any(one.host_id for one in spec.uploads):
            return spec
        from opsconsole.transfer import packing

        loop = asyncio.get_running_loop()
        wishes = _wishes(self._wished)

        def show(row: "TransferRow") -> None:
            loop.call_soon_threadsafe(self._say, _progress(row))

        with _refusing_fields() as on_wish:
            packed = await packing.pack(self._source, wishes, tell=self._say, on_progress=show, on_wish=on_wish)
        self._written = await packing.note(self._source, self._job_id, packed, wishes, spec, self._say)
        return packed.put_into(spec)

    async def withdraw(self) -> None:
        """The job wasn't submitted: nothing goes on."""
        from opsconsole.transfer import pending

        for one in self._written:
            await asyncio.to_thread(pending.remove, one)


def _progress(row: "TransferRow") -> str:
    from opsconsole_console.model.transfer_words import progress_words

    return f"{row.title}: {progress_words(row)}"
