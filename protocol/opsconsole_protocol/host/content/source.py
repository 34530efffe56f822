"""Where the bytes of a tree that is sent come from."""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
    """The bytes of a manifest's files. Each method raises ContentChanged if they aren't the named ones any more, or Conflict."""

    @property
    def manifest(self) -> Manifest:
        """What is sent."""

    def leaves(self, index: int) -> list[bytes]:
        """The hashes of the chunks of a large file."""

    def read_chunk(self, index: int, number: int, view: memoryview) -> None:
        """Fill `view` with a chunk of a large file whose leaves have been asked for."""

    def read_files(self, indexes: Sequence[int], view: memoryview) -> None:
        """Fill `view` with small files, one after the other."""

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
        cancel: threading.Event | None = None,
    ) -> None:
        """Raises NotFound if there is no such folder, and OSError."""
        self._manifest = manifest
        self._names = names or {}
        self._cache = cache
        self._cancel = cancel
        self._beneath = Beneath(root)
        self._leaves: dict[int, list[bytes]] = {}
        self._open: tuple[int, int] | None = None

    @property
    def manifest(self) -> Manifest:
        """What is sent."""
        return self._manifest

    def leaves(self, index: int) -> list[bytes]:
        """The hashes of the chunks of a large file, which is read unless the cache has them. Raises ContentChanged or Conflict."""
        entry = self._manifest.entries[index]
        descriptor = self._descriptor(index)
        key = signature(os.fstat(descriptor))
        leaves = self._cache.leaves(key) if self._cache is not None else None
        if leaves is None or file_digest(leaves) != entry.digest:
            with self._readable(index):
                leaves = leaves_of(descriptor, entry.size, cancel=self._cancel)
            if self._cache is not None and signature(os.fstat(descriptor)) == key:
                self._cache.remember(key, leaves)
        if file_digest(leaves) != entry.digest:
            raise self._changed(index)
        self._leaves[index] = leaves
        return leaves

    def read_chunk(self, index: int, number: int, view: memoryview) -> None:
        """Fill `view` with a chunk of a large file. Raises ContentChanged."""
        with self._readable(index):
            read_exactly(self._descriptor(index), view, number * CHUNK_BYTES)
        if chunk_digest(view) != self._leaves[index][number]:
            self._forget(self._descriptor(index))
            raise self._changed(index)

    def read_files(self, indexes: Sequence[int], view: memoryview) -> None:
        """Fill `view` with small files, one after the other. Raises ContentChanged or Conflict."""
        start = 0
        for index in indexes:
            end = start + self._manifest.entries[index].size
            self._read_file(index, view[start:end])
            start = end

    def close(self) -> None:
        """Close all files and folders."""
        self._close_file()
        self._beneath.close()

    def _read_file(self, index: int, view: memoryview) -> None:
        descriptor = self._opened(index)
        try:
            count = read_exactly(descriptor, view, 0)
            if count != len(view) or chunk_digest(view) != self._manifest.entries[index].digest:
                self._forget(descriptor)
                raise self._changed(index)
        except OSError as error:
            raise self._unreadable(index, error) from None
        finally:
            os.close(descriptor)

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
        except (NotFound, Conflict):
            raise self._changed(index) from None
        except OSError as error:
            raise Conflict(f"{shown(path)} can't be read ({error.strerror}): check its mode and owner") from None

    def _close_file(self) -> None:
        if self._open is not None:
            os.close(self._open[1])
            self._open = None

    @contextmanager
    def _readable(self, index: int) -> Iterator[None]:
        """Errors of the disk that is read from, in one line."""
        try:
            yield
        except OSError as error:
            raise self._unreadable(index, error) from None

    def _unreadable(self, index: int, error: OSError) -> Conflict:
        path = self._manifest.entries[index].path
        return Conflict(f"{shown(path)} can't be read ({error.strerror}): check its disk")

    def _forget(self, descriptor: int) -> None:
        """What the cache says of a file may be wrong: somebody set its times back."""
        if self._cache is not None:
            self._cache.forget(signature(os.fstat(descriptor)))

    def _changed(self, index: int) -> ContentChanged:
        path = self._manifest.entries[index].path
        return ContentChanged(f"{shown(path)} has changed since it was named: send it again")
