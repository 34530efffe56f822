"""Private copies of kept trees: a task may write into its own."""

import errno
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

from opsconsole_protocol.content.manifest import Entry, EntryKind
from opsconsole_protocol.content.path import shown
from opsconsole_protocol.error import Conflict
from opsconsole_protocol.host.content.beneath import Beneath
from opsconsole_protocol.host.content.disk import on_disk
from opsconsole_protocol.host.content.store import StoredTree
from opsconsole_protocol.stream.error import StreamCancelled

_CLONE = 0x40049409
"""FICLONE of Linux: the copy shares the disk's blocks until one of the two is written to."""
_NO_CLONES = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EPERM)
_AT_ONCE_BYTES = 64 << 20


def copy_tree(
    tree: StoredTree,
    destination: Path,
    *,
    progress: Callable[[int], None] | None = None,
    cancel: threading.Event | None = None,
) -> None:
    """Copy a tree into a folder, which is made if need be; its owner may write to everything, other modes are kept.

    Holes stay holes, and where the disk can share blocks, nothing is copied. `progress` is told how many bytes are done.
    Raises Conflict if something is in the way or the tree is gone, DiskFull, and StreamCancelled.
    """
    with on_disk(destination):
        destination.mkdir(parents=True, exist_ok=True)
        with Beneath(tree.path) as source, Beneath(destination) as target:
            copy = _Copy(source, target, progress, cancel)
            for entry in tree.manifest.entries:
                copy.take(entry)


class _Copy:
    """One copy."""

    def __init__(
        self,
        source: Beneath,
        target: Beneath,
        progress: Callable[[int], None] | None,
        cancel: threading.Event | None,
    ) -> None:
        self._source = source
        self._target = target
        self._progress = progress
        self._cancel = cancel
        self._done = 0

    def take(self, entry: Entry) -> None:
        """Copy one entry."""
        try:
            if entry.kind is EntryKind.FOLDER:
                self._target.make_folder(entry.path, 0o700 | entry.mode)
            elif entry.kind is EntryKind.SYMLINK:
                folder, name = self._target.place(entry.path)
                os.symlink(entry.target, name, dir_fd=folder)
            else:
                self._copy_file(entry)
        except FileExistsError:
            raise Conflict(f"the copy of a tree needs an empty folder, and {shown(entry.path)} is there") from None

    def _copy_file(self, entry: Entry) -> None:
        read = self._source.open_file(entry.path)
        try:
            write = self._target.create(entry.path)
            try:
                if not _clone(read, write):
                    self._copy_bytes(read, write, entry.size)
                os.fchmod(write, 0o600 | entry.mode)
            finally:
                os.close(write)
        finally:
            os.close(read)
        self._done += entry.size
        self._tell(self._done)

    def _copy_bytes(self, read: int, write: int, size: int) -> None:
        os.ftruncate(write, size)
        at = 0
        while at < size:
            try:
                at = os.lseek(read, at, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return  # only a hole is left
                raise
            end = min(os.lseek(read, at, os.SEEK_HOLE), size)
            os.lseek(write, at, os.SEEK_SET)
            while at < end:
                count = os.sendfile(write, read, at, min(end - at, _AT_ONCE_BYTES))
                if count == 0:
                    return
                at += count
                self._tell(self._done + at)

    def _tell(self, done: int) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise StreamCancelled("the copy was cancelled")
        if self._progress is not None:
            self._progress(done)


def _clone(read: int, write: int) -> bool:
    """Let a new file share all blocks of another one. Returns False where the disk can't."""
    try:
        fcntl.ioctl(write, _CLONE, read)
    except OSError as error:
        if error.errno in _NO_CLONES:
            return False
        raise
    return True
