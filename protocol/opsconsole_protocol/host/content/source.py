"""Where the bytes of a tree that is sent come from."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from opsconsole_protocol.content.digest import CHUNK_BYTES, chunk_digest, file_digest
from opsconsole_protocol.content.error import ContentChanged
from opsconsole_protocol.content.manifest import Manifest
from opsconsole_protocol.content.path import shown
from opsconsole_protocol.error import Conflict, NotFound
from opsconsole_protocol.host.content.beneath import Beneath
from opsconsole_protocol.host.content.file_hash import leaves_of, read_exactly
from opsconsole_protocol.host.content.hash_cache import HashCache, signature


class Source(Protocol):
    """The bytes of a manifest's files. Each method raises ContentChanged if they aren't the named ones any more, or OSError."""

    @property
    def manifest(self) -> Manifest:
        """What is sent."""

    def leaves(self, index: int) -> list[bytes]:
        """The hashes of the chunks of a large file."""

    def read_chunk(self, index: int, number: int, view: memoryview) -> None:
        """Fill `view` with a chunk of a large file whose leaves have been asked for."""

    def read_file(self, index: int, view: memoryview) -> None:
        """Fill `view` with a small file."""

    def close(self) -> None:
        """Give back what is open."""


class FolderSource:
    """The files below a folder.

    `names`: where an entry's file isn't at the entry's own path, where it is. What is read is checked against the manifest,
    so that a file which has changed is noticed here, and not by the one who gets it.
    """

    def __init__(
        self,
        root: Path,
        manifest: Manifest,
        *,
        names: Mapping[bytes, bytes] | None = None,
        cache: HashCache | None = None,
    ) -> None:
        """Raises NotFound if there is no such folder, and OSError."""
        self._manifest = manifest
        self._names = names or {}
        self._cache = cache
        self._beneath = Beneath(root)
        self._leaves: dict[int, list[bytes]] = {}
        self._open: tuple[int, int] | None = None

    @property
    def manifest(self) -> Manifest:
        """What is sent."""
        return self._manifest

    def leaves(self, index: int) -> list[bytes]:
        """The hashes of the chunks of a large file. Raises ContentChanged."""
        entry = self._manifest.entries[index]
        descriptor = self._descriptor(index)
        key = signature(os.fstat(descriptor))
        leaves = self._cache.leaves(key) if self._cache is not None else None
        if leaves is None or file_digest(leaves) != entry.digest:
            leaves = leaves_of(descriptor, entry.size)
        if file_digest(leaves) != entry.digest:
            raise self._changed(index)
        self._leaves[index] = leaves
        return leaves

    def read_chunk(self, index: int, number: int, view: memoryview) -> None:
        """Fill `view` with a chunk of a large file. Raises ContentChanged."""
        read_exactly(self._descriptor(index), view, number * CHUNK_BYTES)
        if chunk_digest(view) != self._leaves[index][number]:
            raise self._changed(index)

    def read_file(self, index: int, view: memoryview) -> None:
        """Fill `view` with a small file. Raises ContentChanged."""
        entry = self._manifest.entries[index]
        descriptor = self._opened(index)
        try:
            count = read_exactly(descriptor, view, 0)
        finally:
            os.close(descriptor)
        if count != entry.size or chunk_digest(view) != entry.digest:
            raise self._changed(index)

    def close(self) -> None:
        """Close all files and folders."""
        self._close_file()
        self._beneath.close()

    def _descriptor(self, index: int) -> int:
        """The large file that is read at the moment."""
        if self._open is None or self._open[0] != index:
            self._close_file()
            self._open = (index, self._opened(index))
        return self._open[1]

    def _opened(self, index: int) -> int:
        path = self._manifest.entries[index].path
        try:
            return self._beneath.open_file(self._names.get(path, path))
        except (NotFound, Conflict, FileNotFoundError):
            raise self._changed(index) from None

    def _close_file(self) -> None:
        if self._open is not None:
            os.close(self._open[1])
            self._open = None

    def _changed(self, index: int) -> ContentChanged:
        path = self._manifest.entries[index].path
        return ContentChanged(f"{shown(path)} has changed since it was named: send it again")
