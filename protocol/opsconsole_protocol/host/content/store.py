"""A store of trees: bounded, and what is needed least goes first. A tree in it is whole, or it isn't there."""

import fcntl
import os
import secrets
import shutil
import stat
import threading
from pathlib import Path
from typing import NamedTuple

from opsconsole_protocol.content.digest import file_digest
from opsconsole_protocol.content.error import CacheChanged
from opsconsole_protocol.content.manifest import EntryKind, Manifest
from opsconsole_protocol.content.path import shown
from opsconsole_protocol.error import Conflict, LimitExceeded, NotFound, OpsconsoleError
from opsconsole_protocol.host.content.beneath import Beneath
from opsconsole_protocol.host.content.file_hash import leaves_of
from opsconsole_protocol.host.content.incoming import on_disk
from opsconsole_protocol.host.content.pin import PinFolder
from opsconsole_protocol.host.content.record import (
    Look,
    Record,
    RecordHead,
    boot_id,
    look,
    make_record,
    read_head,
    read_record,
    write_record,
)
from opsconsole_protocol.host.content.sink import FolderSink
from opsconsole_protocol.ids import ContentId, check_content_id


class StoredTree(NamedTuple):
    """A tree that is here. Whoever uses it pins it first, and doesn't write into it."""

    path: Path
    """The folder with its files."""
    manifest: Manifest


class ContentStore:
    """Trees in a folder of their own. Any thread may use it; of processes only one.

    `bytes_max`: how large all trees may be together, as their manifests count.
    """

    def __init__(self, folder: Path, bytes_max: int) -> None:
        """Raises OSError, and Conflict if another process uses the folder."""
        self._bytes_max = bytes_max
        self._lock = threading.RLock()
        self._trees = folder / "trees"
        self._records = folder / "records"
        self._incoming = folder / "incoming"
        self._trash = folder / "trash"
        for one in (self._trees, self._records, self._incoming, self._trash):
            one.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._held = _hold(folder / "lock")
        self._pins = PinFolder(folder / "pins")
        self._receiving: set[ContentId] = set()
        self._heads: dict[ContentId, RecordHead] = {}
        self._clean()

    def close(self) -> None:
        """Let another process use the folder."""
        with self._lock:
            if self._held >= 0:
                os.close(self._held)
                self._held = -1

    def has(self, content: ContentId) -> bool:
        """Whether a tree is here."""
        with self._lock:
            return content in self._heads

    def ids(self) -> list[ContentId]:
        """The trees that are here."""
        with self._lock:
            return list(self._heads)

    def heads(self) -> dict[ContentId, RecordHead]:
        """The trees that are here, with their sizes."""
        with self._lock:
            return dict(self._heads)

    @property
    def size_bytes(self) -> int:
        """Of all trees together, as their manifests count."""
        with self._lock:
            return sum(head.size_bytes for head in self._heads.values())

    def open(self, content: ContentId) -> StoredTree:
        """A tree, after a look at all of its files: one that looks otherwise than it did is read again.

        Raises NotFound, and CacheChanged if somebody has written into it, after which it isn't here any more.
        """
        with self._lock:
            record = read_record(self._records / content) if content in self._heads else None
        if record is None:
            self.remove(content)
            raise NotFound(f"the tree {content[:12]} is not in this store")
        try:
            looks = self._checked(content, record)
        except (OpsconsoleError, OSError) as error:
            said = error.message if isinstance(error, OpsconsoleError) else str(error.strerror)
            self.remove(content)
            raise CacheChanged(
                f"something was written into the kept tree {content[:12]}, which was dropped: {said}"
            ) from None
        path = self._records / content
        with self._lock:
            if content in self._heads:
                if looks != record.looks or record.head.boot_id != boot_id():
                    write_record(path, make_record(record.manifest, looks))
                os.utime(path)
        return StoredTree(self._trees / content, record.manifest)

    def sink(self, manifest: Manifest) -> "StoreSink":
        """Where a tree is received to. Files that other trees have aren't received again.

        Raises Conflict if it is here or being received already, LimitExceeded if there can't be room, and DiskFull.
        """
        content = manifest.content_id
        with self._lock:
            if content in self._heads:
                raise Conflict(f"the tree {content[:12]} is here already")
            if content in self._receiving:
                raise Conflict(f"the tree {content[:12]} is being received already: wait for that")
            self._make_room(manifest.size_bytes)
            self._receiving.add(content)
        try:
            return StoreSink(self, manifest)
        except BaseException:
            self.released(content)
            raise

    def pin(self, holder: str, content: ContentId) -> None:
        """A holder needs a tree, which may not be here yet, from now until `unpin`. Raises PrivateFileError."""
        with self._lock:
            self._pins.pin(holder, check_content_id(content))

    def unpin(self, holder: str) -> None:
        """A holder needs nothing any more."""
        with self._lock:
            self._pins.unpin(holder)

    def holders(self) -> dict[str, set[ContentId]]:
        """Who needs which trees."""
        with self._lock:
            return self._pins.holders()

    def trim(self, bytes_max: int | None = None) -> list[ContentId]:
        """Remove what was used least recently and nobody needs, until the bound holds. Returns what was removed.

        `bytes_max`: another bound than the store's.
        """
        removed: list[ContentId] = []
        with self._lock:
            limit = self._bytes_max if bytes_max is None else bytes_max
            left = self.size_bytes
            for content in sorted(self._heads, key=self._used_ns):
                if left <= limit:
                    break
                if not self._pins.is_pinned(content):
                    left -= self._heads[content].size_bytes
                    removed.append(content)
        for content in removed:
            self.remove(content)
        return removed

    def remove(self, content: ContentId) -> bool:
        """Remove a tree, needed or not. Returns whether it was here."""
        trash = self._trash / secrets.token_hex(8)
        with self._lock:
            was_here = self._heads.pop(content, None) is not None
            (self._records / content).unlink(missing_ok=True)
            try:
                tree = self._trees / content
                tree.chmod(0o700)
                tree.rename(trash)
            except FileNotFoundError:
                return was_here
        _remove_tree(trash)
        return was_here

    def paths(self, content: ContentId) -> tuple[Path, Path]:
        """Where a tree arrives, and where it is to be: for its sink."""
        return self._incoming / content, self._trees / content

    def keep(self, record: Record, sink: FolderSink) -> None:
        """A tree has arrived: let it appear. For its sink."""
        content = record.manifest.content_id
        with self._lock, on_disk():
            write_record(self._records / content, record)
            sink.appear()
            self._heads[content] = record.head

    def released(self, content: ContentId) -> None:
        """A tree isn't being received any more. For its sink."""
        with self._lock:
            self._receiving.discard(content)

    def _checked(self, content: ContentId, record: Record) -> list[Look]:
        """How the tree looks now. Raises an OpsconsoleError or OSError unless it is what it was."""
        read_all = record.head.boot_id != boot_id() or not record.head.boot_id
        below: dict[bytes, int] = {}
        looks: list[Look] = []
        with Beneath(self._trees / content) as beneath:
            for entry, before in zip(record.manifest.entries, record.looks, strict=True):
                above = entry.path.rpartition(b"/")[0]
                below[above] = below.get(above, 0) + 1
                status = beneath.status(entry.path)
                if status is None:
                    raise NotFound(f"{shown(entry.path)} is missing")
                looks.append(look(status))
                if entry.kind is EntryKind.FOLDER:
                    if not stat.S_ISDIR(status.st_mode):
                        raise Conflict(f"{shown(entry.path)} is no folder any more")
                elif entry.kind is EntryKind.SYMLINK:
                    folder, name = beneath.place(entry.path)
                    if os.readlink(name, dir_fd=folder) != entry.target:
                        raise Conflict(f"{shown(entry.path)} leads elsewhere")
                elif looks[-1] != before or read_all:
                    descriptor = beneath.open_file(entry.path)
                    try:
                        is_same = (
                            status.st_size == entry.size
                            and file_digest(leaves_of(descriptor, entry.size)) == entry.digest
                        )
                    finally:
                        os.close(descriptor)
                    if not is_same:
                        raise Conflict(f"{shown(entry.path)} has other bytes")
            for path in (b"", *(one.path for one in record.manifest.entries if one.kind is EntryKind.FOLDER)):
                if len(beneath.names(path)) != below.get(path, 0):
                    raise Conflict(f"there is something new in {shown(path or b'.')}")
        return looks

    def _make_room(self, size: int) -> None:
        if size > self._bytes_max:
            raise LimitExceeded(
                f"the tree has {size >> 20:,} MiB, and this store takes {self._bytes_max >> 20:,} MiB: give it more room"
            )
        self.trim(self._bytes_max - size)
        if self.size_bytes + size > self._bytes_max:
            raise LimitExceeded(
                f"the tree has {size >> 20:,} MiB, and all but {max(0, self._bytes_max - self.size_bytes) >> 20:,} MiB of this "
                "store are in use: wait until jobs have ended, or give it more room"
            )

    def _used_ns(self, content: ContentId) -> int:
        try:
            return (self._records / content).stat().st_mtime_ns
        except OSError:
            return 0

    def _clean(self) -> None:
        """Remove what a crash has left: trees without a record, records without a tree."""
        for path in self._records.iterdir():
            head = read_head(path)
            if head is not None and (self._trees / path.name).is_dir():
                self._heads[ContentId(path.name)] = head
            else:
                path.unlink(missing_ok=True)
        for path in self._trees.iterdir():
            if path.name not in self._heads:
                _remove_tree(path)
        for path in self._trash.iterdir():
            _remove_tree(path)


class StoreSink(FolderSink):
    """Receives a tree into a store."""

    def __init__(self, store: ContentStore, manifest: Manifest) -> None:
        self._store = store
        super().__init__(manifest, *store.paths(manifest.content_id), read_only=True)

    def finish(self) -> None:
        """Let the tree appear in the store."""
        looks = self.seal()
        self._store.keep(make_record(self.manifest, looks), self)

    def abandon(self) -> None:
        """Close everything."""
        super().abandon()
        self._store.released(self.manifest.content_id)


def _hold(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise Conflict(f"{str(path.parent)!r} is in use by another process") from None
    return descriptor


def _remove_tree(path: Path) -> None:
    """Remove a tree whose folders may be read-only."""
    for folder, names, _ in os.walk(path):
        Path(folder).chmod(0o700)
        for name in names:
            below = Path(folder) / name
            if not below.is_symlink():
                below.chmod(0o700)
    shutil.rmtree(path, ignore_errors=True)
