"""Where the bytes of a tree go that is received into a store."""

import contextlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from opsconsole_protocol.content.manifest import Entry, EntryKind, Manifest
from opsconsole_protocol.content.round import may_be_wanted
from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.host.content.beneath import Beneath
from opsconsole_protocol.host.content.disk import hold, on_disk
from opsconsole_protocol.host.content.hash_cache import HashCache, Signature
from opsconsole_protocol.host.content.kept_tree import KeptFile
from opsconsole_protocol.host.content.record import Record, make_record
from opsconsole_protocol.host.content.sink import FolderSink
from opsconsole_protocol.ids import ContentId


class Keeper(Protocol):
    """What a sink needs of its store."""

    hashes: HashCache

    def known(self, digests: set[bytes]) -> dict[bytes, KeptFile]:
        """Files of kept trees with one of these hashes."""

    def stopped(self) -> list[Path]:
        """Where other trees have stopped arriving."""

    def keep(self, record: Record, sink: "StoreSink") -> None:
        """Let a tree appear."""

    def release(self, content: ContentId) -> None:
        """It isn't being received any more."""


class StoreSink(FolderSink):
    """Receives a tree into a store. Files that another tree there has become second names of those."""

    def __init__(
        self,
        store: Keeper,
        manifest: Manifest,
        incoming: Path,
        destination: Path,
        *,
        cancel: threading.Event | None = None,
    ) -> None:
        """Raises Conflict and DiskFull."""
        super().__init__(manifest, incoming, destination, stored_mode, is_synced=False, cancel=cancel)
        self._store = store
        self._known: dict[bytes, KeptFile] = {}
        self._leaves: dict[int, list[bytes]] = {}

    def wanted(self) -> list[int]:
        """The indexes of the files that are lacking. Raises DiskFull, Conflict and StreamCancelled."""
        digests = {entry.digest for entry in self.manifest.entries if may_be_wanted(entry)}
        self._known = self._store.known(digests)
        with contextlib.ExitStack() as stack:
            others: list[Beneath] = []
            for path in self._store.stopped():
                with contextlib.suppress(OpsconsoleError, OSError):
                    other = stack.enter_context(Beneath(path))
                    if hold(other.root):
                        others.append(other)
            return self.incoming.prepare(self._link, others)

    def wanted_chunks(self, index: int, leaves: list[bytes]) -> list[int]:
        """The numbers of the chunks of a large file that are lacking. Raises DiskFull or Conflict."""
        self._leaves[index] = leaves
        return super().wanted_chunks(index, leaves)

    def finish(self) -> None:
        """Let the tree appear in the store. Raises DiskFull or Conflict."""
        self.incoming.seal()
        self.incoming.seal_folders()
        with on_disk(self.incoming.beneath.root):
            looks = self.incoming.looks()
            device = os.fstat(self.incoming.beneath.root).st_dev
        self._store.keep(make_record(self.manifest, looks), self)
        for index, leaves in self._leaves.items():
            one = looks[index]
            self._store.hashes.remember(Signature(device, one.inode, one.size, one.mtime_ns, one.ctime_ns), leaves)
        self.abandon()

    def abandon(self) -> None:
        """Close everything; what has arrived stays for the next time."""
        super().abandon()
        self._store.release(self.manifest.content_id)

    def _link(self, index: int) -> bool:
        """Take a file from another tree, if there is one with these bytes and mode. Returns whether there was."""
        entry = self.manifest.entries[index]
        kept = self._known.get(entry.digest)
        if kept is None or stored_mode(entry) != kept.mode or not kept.is_as_it_was():
            return False
        folder, name = self.incoming.beneath.place(entry.path)
        with contextlib.suppress(OSError):  # it may have as many names as can be, or be gone; then it is received
            os.link(kept.path, name, dst_dir_fd=folder, follow_symlinks=False)
            return True
        return False


class PresentSink:
    """For a tree that is there already: it wants nothing."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest

    def wanted(self) -> list[int]:
        """Nothing."""
        return []

    def wanted_chunks(self, index: int, leaves: list[bytes]) -> list[int]:  # noqa: ARG002
        """Nothing."""
        return []

    def write_chunk(self, index: int, number: int, data: memoryview) -> None:
        """Do nothing."""

    def write_files(self, indexes: Sequence[int], data: memoryview) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""

    def abandon(self) -> None:
        """Do nothing."""


def stored_mode(entry: Entry) -> int:
    """Which mode an entry has in a store: nobody may write, everybody may read."""
    return 0o555 if entry.kind is EntryKind.FOLDER or entry.mode & 0o111 else 0o444
