"""What outlives the process that began it: files that a queued job still wants from here, results to be brought here, and what
somebody was getting when the process was killed.

Each is a file of its own in the user's folder of transfers. Whoever works on one holds its lock, so that a command and an
open console don't both do it; when that process dies, the lock is free again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from opsconsole.transfer.title import of_patterns, place
from opsconsole.transfer.user_folder import record_folder
from opsconsole_protocol.error import LimitExceeded, NotFound
from opsconsole_protocol.host.private_file import PrivateFileError, read_record, write_record
from opsconsole_protocol.ids import ContentId, JobId
from opsconsole_protocol.stream.message import FileRoot, Via

T = TypeVar("T")
PENDING_MAX = 10_000
"""Of each kind. A person with more has forgotten them."""
_ID_CHARACTERS = 12


class PendingOffer(msgspec.Struct, frozen=True, kw_only=True):
    """A file or folder of this machine that jobs wait for, because it is too large for the coordinator to keep."""

    store_id: str
    """The coordinator that knows the jobs."""
    content_id: ContentId
    path: bytes
    """Where it is on this machine: absolute, as the system has it."""
    name: str
    is_folder: bool
    size_bytes: int
    files: int
    job_ids: tuple[JobId, ...]
    created_at_ms: int = 0

    @property
    def id(self) -> str:
        """By which a person names it."""
        return _short(self.store_id, self.content_id)


class PendingFetch(msgspec.Struct, frozen=True, kw_only=True):
    """Results of a job that are to be brought here once it has ended."""

    store_id: str
    job_id: JobId
    pattern: str
    folder: bytes
    """Where they are to lie: absolute, as the system has it."""
    created_at_ms: int = 0
    why: str = ""
    """Why they couldn't be brought when it was tried last, in a line."""

    @property
    def id(self) -> str:
        """By which a person names it."""
        return _short(self.store_id, self.job_id, self.pattern, os.fsdecode(self.folder))


class PendingGet(msgspec.Struct, frozen=True, kw_only=True):
    """What a `get` brings: there while it does, and so after its process was killed. Of a job, or below a `root` of a worker."""

    store_id: str
    job: str = ""
    """As it was named."""
    task_index: int | None = None
    worker: str = ""
    root: FileRoot | None = None
    below: bytes = b""
    patterns: tuple[str, ...] = ()
    folder: bytes
    """Where it is to lie: absolute, as the system has it."""
    force: bool = False
    via: Via = Via.AUTO
    created_at_ms: int = 0
    why: str = ""
    """Why it couldn't be brought when it was tried last, in a line."""

    @property
    def id(self) -> str:
        """By which a person names it."""
        fields = msgspec.to_builtins(self)
        del fields["why"]
        return _short(msgspec.json.encode(fields | {"created_at_ms": 0}).decode())

    @property
    def what(self) -> str:
        """What of it is wanted, for people."""
        return of_patterns(self.patterns) or "all"

    @property
    def of(self) -> str:
        """Whose it is, for people."""
        if self.root is None:
            return self.job if self.task_index is None else f"{self.job}/task-{self.task_index}"
        return place(self.worker, self.root, self.below)


Pending = PendingOffer | PendingFetch | PendingGet


def save(one: Pending) -> None:
    """Write it down; an offer of the same content gets the jobs of both. Raises PrivateFileError or LimitExceeded."""
    path = _path(one)
    if isinstance(one, PendingOffer) and (before := _read(path, PendingOffer)) is not None:
        jobs = tuple(dict.fromkeys((*before.job_ids, *one.job_ids)))
        one = msgspec.structs.replace(one, job_ids=jobs)
    if not path.exists() and len(list(path.parent.glob("*.json"))) >= PENDING_MAX:
        raise LimitExceeded(
            f"{PENDING_MAX:,} transfers wait on this machine already: see `opsconsole transfers`, and forget some"
        )
    write_record(path, one)


def remove(one: Pending) -> None:
    """It is done, or nobody wants it any more."""
    _path(one).unlink(missing_ok=True)


def release(one: Pending, job_id: JobId) -> None:
    """This job needs it no more: it goes, unless it is an offer that other jobs wait for."""
    now = _read(_path(one), PendingOffer) if isinstance(one, PendingOffer) else None
    left = () if now is None else tuple(other for other in now.job_ids if other != job_id)
    if now is None or not left:
        remove(one)
    else:
        write_record(_path(one), msgspec.structs.replace(now, job_ids=left))


def note_why(one: Pending, why: str) -> None:
    """It couldn't be done now. That it can't be written down stops nothing."""
    now = _read(_path(one), type(one))
    if now is not None and not isinstance(now, PendingOffer) and now.why != why:
        with contextlib.suppress(PrivateFileError, OSError):
            write_record(_path(one), msgspec.structs.replace(now, why=why))


def exists(one: Pending) -> bool:
    """Whether it is still to be done."""
    return _path(one).exists()


def offers(store_id: str | None = None) -> list[PendingOffer]:
    """All offers, or those for one coordinator; the oldest first. What can't be read is left out."""
    return _sorted(_load(PendingOffer), store_id)


def fetches(store_id: str | None = None, job_id: str | None = None) -> list[PendingFetch]:
    """All results that are to be brought, or those of one coordinator or job; the oldest first. What can't be read is left out."""
    return [one for one in _sorted(_load(PendingFetch), store_id) if job_id is None or one.job_id == job_id]


def gets(store_id: str | None = None) -> list[PendingGet]:
    """All that is being got, or was when its process was killed; the oldest first. What can't be read is left out."""
    return _sorted(_load(PendingGet), store_id)


def interrupted(store_id: str | None = None) -> list[PendingGet]:
    """Those of them that no process works on any more."""

    def is_free(one: PendingGet) -> bool:
        with claimed(one) as is_mine:
            return is_mine

    return [one for one in gets(store_id) if is_free(one)]


def find(id: str) -> Pending:  # noqa: A002
    """The one with this id, or with an id that begins so. Raises NotFound."""
    every: list[Pending] = [*_load(PendingOffer), *_load(PendingFetch), *_load(PendingGet)]
    found = [one for one in every if id and one.id.startswith(id)]
    if len(found) != 1:
        raise NotFound(f"{'several transfers' if found else 'no transfer'} called {id!r}: see `opsconsole transfers`")
    return found[0]


@contextlib.contextmanager
def claimed(one: Pending) -> Iterator[bool]:
    """Hold its lock within, or give False where another process holds it, or where it is done meanwhile."""
    with _locked(one) as is_locked:
        yield is_locked and _path(one).exists()


@contextlib.contextmanager
def kept(one: PendingGet) -> Iterator[None]:
    """Written down and claimed within, so that it is found if this process is killed. That it can't be stops nothing."""
    with _locked(one) as is_locked:
        if is_locked:
            with contextlib.suppress(PrivateFileError, LimitExceeded, OSError):
                save(one)
        try:
            yield
        finally:
            if is_locked:
                remove(one)


@contextlib.contextmanager
def _locked(one: Pending) -> Iterator[bool]:
    """Hold its lock within, or give False where another process holds it."""
    path = _path(one)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        try:
            yield True
        finally:
            if not path.exists():
                path.with_suffix(".lock").unlink(missing_ok=True)
    finally:
        os.close(descriptor)


PendingT = TypeVar("PendingT", PendingOffer, PendingFetch, PendingGet)


def _load(kind: type[PendingT]) -> list[PendingT]:
    found = (_read(path, kind) for path in _folder(kind).glob("*.json"))
    return [one for one in found if one is not None]


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return read_record(path, kind, "remove it")
    except PrivateFileError:
        return None  # a record that is damaged helps nobody; it must not keep the others from being seen


def _sorted(found: list[PendingT], store_id: str | None) -> list[PendingT]:
    mine = [one for one in found if store_id is None or one.store_id == store_id]
    return sorted(mine, key=lambda one: (one.created_at_ms, one.id))


def _folder(kind: type[object]) -> Path:
    return record_folder() / _FOLDERS[kind]


_FOLDERS: dict[type[object], str] = {PendingOffer: "offers", PendingFetch: "fetches", PendingGet: "gets"}


def _path(one: Pending) -> Path:
    return _folder(type(one)) / f"{one.id}.json"


def _short(*parts: str) -> str:
    words = "\0".join(parts).encode("utf-8", "surrogateescape")
    return hashlib.blake2s(words).hexdigest()[:_ID_CHARACTERS]
