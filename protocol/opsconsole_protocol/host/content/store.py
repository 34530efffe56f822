"""A store of trees: bounded, and what is needed least goes first. A tree in it is whole, or it isn't there."""

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from opsconsole_protocol.content.error import CacheChanged, NoRoom
from opsconsole_protocol.content.manifest import Manifest
from opsconsole_protocol.error import Conflict, NotFound, OpsconsoleError
from opsconsole_protocol.host.content.arriving import ABANDONED_S
from opsconsole_protocol.host.content.disk import KEPT_FREE_BYTES, hold, on_disk
from opsconsole_protocol.host.content.hash_cache import HashCache
from opsconsole_protocol.host.content.kept_tree import KeptFile, StoredTree, check_tree, known_files
from opsconsole_protocol.host.content.pin import PinFolder
from opsconsole_protocol.host.content.record import (
    Record,
    RecordHead,
    boot_id,
    make_record,
    read_head,
    read_record,
    write_record,
)
from opsconsole_protocol.host.content.sink import Sink
from opsconsole_protocol.host.content.source import FolderSource
from opsconsole_protocol.host.content.store_sink import PresentSink, StoreSink
from opsconsole_protocol.host.content.trash import Trash
from opsconsole_protocol.host.private_file import PrivateFileError
from opsconsole_protocol.ids import ContentId, check_content_id

__all__ = ["ContentStore", "StoredTree"]

_LOOKED_THROUGH = 1_000_000
"""Of how many entries of other trees it is known whether a new tree has the same files."""
_BLOCK_BYTES = 512
"""As the system counts what a file takes of the disk."""
_OWN_BYTES = 2 << 20
"""What a store itself writes beside a tree: records and hashes."""


class ContentStore:
    """Trees in a folder of their own. Any thread may use it; of processes only one. Only `has`, `ids`, `heads`, `size_bytes` and
    `holders` never wait for a disk.

    `bytes_max`: how large all trees may be together, as their manifests count.
    """

    def __init__(self, folder: Path, bytes_max: int) -> None:
        """Raises OSError, and Conflict if another process uses the folder."""
        self._bytes_max = bytes_max
        self._lock = threading.RLock()
        self._trees = folder / "trees"
        self._records = folder / "records"
        self._incoming = folder / "incoming"
        for one in (folder, self._trees, self._records, self._incoming):
            one.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if not hold(self._held):
            os.close(self._held)
            raise Conflict(f"the store {str(folder)!r} is in use by another process")
        self.hashes = HashCache(folder / "hashes.db")
        self._receiving: dict[ContentId, int] = {}
        self._heads: dict[ContentId, RecordHead] = {}
        self._parts: dict[ContentId, int] = {}
        """How many bytes of the disk are taken by what has arrived of trees that nobody sends at the moment."""
        try:
            self._pins = PinFolder(folder / "pins")
            self._trash = Trash(folder / "trash")
            self._clean()
        except BaseException:
            self.close()  # else it would be in use by this very process when it is tried again
            raise

    def close(self) -> None:
        """Let another process use the folder."""
        with self._lock:
            self.hashes.close()
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
        path = self._records / check_content_id(content)
        record = None
        if self.has(content):
            record = read_record(path)
            if record is None:
                self.remove(content)
        if record is None:
            raise NotFound(f"the tree {content[:12]} is not in this store")
        try:
            looks = check_tree(self._trees / content, record)
        except (OpsconsoleError, OSError) as error:
            said = error.message if isinstance(error, OpsconsoleError) else str(error.strerror)
            self.remove(content)
            raise CacheChanged(
                f"something was written into the kept tree {content[:12]}, which was dropped: {said}"
            ) from None
        if self.has(content):
            with contextlib.suppress(OSError, PrivateFileError):  # a full disk is no reason not to use what it has
                os.utime(path)
                if looks != record.looks or record.head.boot_id != boot_id():
                    write_record(path, make_record(record.manifest, looks))
        return StoredTree(self._trees / content, record.manifest)

    @property
    def trees(self) -> Path:
        """The folder that all trees are in, each by its id."""
        return self._trees

    def path(self, content: ContentId) -> Path:
        """Where a tree is, or would be. It may have been written into: `open` looks."""
        return self._trees / check_content_id(content)

    def used_ms(self, content: ContentId) -> int:
        """When a tree was opened last, or came, in Unix milliseconds; 0 where it isn't here."""
        return self._used_ns(content) // 1_000_000

    def source(self, content: ContentId, *, cancel: threading.Event | None = None) -> FolderSource:
        """A tree, to be sent. Raises as `open` does."""
        tree = self.open(content)
        return FolderSource(tree.path, tree.manifest, cache=self.hashes, cancel=cancel)

    def sink(self, manifest: Manifest, *, cancel: threading.Event | None = None) -> Sink:
        """Where a tree is received to. Nothing is received of a tree that is here, and no files that other trees have.

        Raises Conflict if it is being received already, LimitExceeded if there can't be room, and DiskFull.
        """
        content = manifest.content_id
        with self._lock:
            if content in self._heads:
                return PresentSink(manifest)
            if content in self._receiving:
                raise Conflict(f"the tree {content[:12]} is being received already: wait until that has ended")
            self._make_room(content, manifest.size_bytes)
            self._receiving[content] = manifest.size_bytes
            self._parts.pop(content, None)
        try:
            self._trash.empty()
            return StoreSink(self, manifest, self._incoming / content, self._trees / content, cancel=cancel)
        except BaseException:
            self.release(content)
            raise

    def pin(self, holder: str, content: ContentId) -> None:
        """A holder needs a tree, which may not be here yet, from now until `unpin`. Raises DiskFull or PrivateFileError."""
        with on_disk(self._records):
            self._pins.pin(holder, check_content_id(content))

    @contextlib.contextmanager
    def held(self, *contents: ContentId) -> Iterator[None]:
        """Within this, these trees are needed, which may not be here yet. Nothing is written: also a full disk has its trees."""
        with self._pins.held(*map(check_content_id, contents)):
            yield

    def unpin(self, holder: str) -> None:
        """A holder needs nothing any more."""
        self._pins.unpin(holder)

    def holders(self) -> dict[str, set[ContentId]]:
        """Who needs which trees."""
        return self._pins.holders()

    def trim(self, bytes_max: int | None = None) -> list[ContentId]:
        """Remove what was used least recently and nobody needs, until the bound holds. Returns what was removed.

        `bytes_max`: another bound than the store's.
        """
        removed = self._trim(self._bytes_max if bytes_max is None else bytes_max)
        self._trash.empty()
        return removed

    def remove(self, content: ContentId, *, unless_pinned: bool = False) -> bool:
        """Remove a tree; with `unless_pinned` only one that nobody needs. Returns whether it was here and is gone."""
        check_content_id(content)
        with self._lock:
            if unless_pinned and self._pins.is_pinned(content):
                return False
            was_here = self._throw(content)
        self._trash.empty()
        return was_here

    def abandoned(self) -> list[ContentId]:
        """The trees of which a part has arrived, and that aren't being received at the moment."""
        with self._lock:
            return [ContentId(one.name) for one in self._incoming.iterdir() if one.name not in self._receiving]

    def remove_abandoned(self, contents: Iterable[ContentId]) -> None:
        """Remove what has arrived of trees."""
        with self._lock:
            for content in contents:
                if check_content_id(content) not in self._receiving:
                    self._throw_part(content)
        self._trash.empty()

    def known(self, digests: set[bytes]) -> dict[bytes, KeptFile]:
        """Files of kept trees with one of these hashes, as far as they look as they did: for a sink."""
        found: dict[bytes, KeptFile] = {}
        room = _LOOKED_THROUGH
        for content in sorted(self.ids(), key=self._used_ns, reverse=True):
            record = read_record(self._records / content)
            if record is None:
                continue
            room -= len(record.manifest.entries)
            if room < 0 or len(found) == len(digests):
                break
            found |= known_files(self._trees / content, record, digests - found.keys())
        return found

    def stopped(self) -> list[Path]:
        """Where trees have stopped arriving: for a sink."""
        return [self._incoming / one for one in self.abandoned()]

    def keep(self, record: Record, sink: StoreSink) -> None:
        """Let a tree that has arrived appear: for its sink. Raises DiskFull or Conflict."""
        content = record.manifest.content_id
        with on_disk(self._records):
            write_record(self._records / content, record)
            with self._lock:
                sink.appear(0o555)
                self._heads[content] = record.head

    def release(self, content: ContentId) -> None:
        """A tree isn't being received any more: for its sink."""
        with self._lock:
            self._receiving.pop(content, None)
        self._note_parts()

    def room_bytes(self) -> int:
        """How large a tree could be received now: what nobody needs would make way for it, or is a part of it. Blocks."""
        with self._lock:
            needed = sum(head.size_bytes for content, head in self._heads.items() if self._pins.is_pinned(content))
            loose = self.size_bytes - needed + sum(self._loose_parts().values())
            arriving = sum(self._receiving.values())
        disk = os.fstatvfs(self._held)
        on_disk = disk.f_bavail * disk.f_frsize + loose - KEPT_FREE_BYTES - _OWN_BYTES
        return max(0, min(self._bytes_max - needed - arriving, on_disk))

    def _make_room(self, content: ContentId, size: int) -> None:
        """Make room for a tree, besides those that are being received. Raises NoRoom.

        Where the disk has less room than the store, trees go as well that the store would have had room for, and then what
        has arrived of others.
        """
        self._throw_old()
        disk = os.fstatvfs(self._held)
        here = self._parts.get(content, 0)
        lacking = size - here + KEPT_FREE_BYTES + _OWN_BYTES - disk.f_bavail * disk.f_frsize
        if lacking > 0:
            before = self.size_bytes
            self._trim(max(0, before - lacking))
            lacking -= before - self.size_bytes
        for other, part in self._loose_parts().items():
            if lacking > 0 and other != content:
                self._throw_part(other)
                lacking -= part
        free = self._bytes_max - sum(self._receiving.values())
        if size > self._bytes_max:
            raise NoRoom(
                f"the tree has {size >> 20:,} MiB, and this store takes {self._bytes_max >> 20:,} MiB: "
                "give it more room (cache_bytes of a worker, keep_content_gb of the coordinator)"
            )
        self._trim(max(0, free - size))
        left = free - self.size_bytes
        if size > left:
            raise NoRoom(
                f"the tree has {size >> 20:,} MiB, and all but {max(0, left) >> 20:,} MiB of this store are in use: "
                "wait until jobs have ended, or give it more room"
            )

    def _trim(self, bytes_max: int) -> list[ContentId]:
        """Throw away what was used least recently and nobody needs, until no more than `bytes_max` are left."""
        removed: list[ContentId] = []
        with self._lock:
            left = self.size_bytes
            for content in sorted(self._heads, key=self._used_ns):
                if left <= bytes_max:
                    break
                if not self._pins.is_pinned(content):
                    left -= self._heads[content].size_bytes
                    self._throw(content)
                    removed.append(content)
        return removed

    def _throw(self, content: ContentId) -> bool:
        """Throw a tree away. Returns whether it was here."""
        with self._lock:
            was_here = self._heads.pop(content, None) is not None
            if was_here or content not in self._receiving:
                (self._records / content).unlink(missing_ok=True)
            self._trash.throw(self._trees / content)
        return was_here

    def _throw_old(self) -> None:
        """Throw away what has arrived of trees that nobody has sent the rest of for long."""
        with self._lock:
            before_s = time.time() - ABANDONED_S
            for content in self.abandoned():
                if (self._incoming / content).lstat().st_mtime < before_s:
                    self._throw_part(content)

    def _loose_parts(self) -> dict[ContentId, int]:
        """What has arrived of trees that nobody sends and nobody waits for."""
        return {content: size for content, size in self._parts.items() if not self._pins.is_pinned(content)}

    def _note_parts(self) -> None:
        found = {content: _bytes_on_disk(self._incoming / content) for content in self.abandoned()}
        with self._lock:
            self._parts = {content: size for content, size in found.items() if content not in self._receiving}

    def _throw_part(self, content: ContentId) -> None:
        self._trash.throw(self._incoming / content)
        self._parts.pop(content, None)

    def _used_ns(self, content: ContentId) -> int:
        try:
            return (self._records / content).stat().st_mtime_ns
        except OSError:
            return 0

    def _clean(self) -> None:
        """Remove what a crash has left: trees without a record, records without a tree."""
        for path in list(self._records.iterdir()):
            head = read_head(path)
            if head is not None and (self._trees / path.name).is_dir():
                self._heads[ContentId(path.name)] = head
            else:
                path.unlink(missing_ok=True)
        for path in list(self._trees.iterdir()):
            if path.name not in self._heads:
                self._trash.throw(path)
        self._throw_old()
        self._note_parts()
        self._trash.empty()


def _bytes_on_disk(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # another tree has just taken it over
            size += path.lstat().st_blocks * _BLOCK_BYTES
    return size
