"""Private copies of kept trees: a task may write into its own."""

import errno
import fcntl
import os
from pathlib import Path

from opsconsole_protocol.content.manifest import Entry, EntryKind
from opsconsole_protocol.content.path import shown
from opsconsole_protocol.error import Conflict
from opsconsole_protocol.host.content.beneath import Beneath
from opsconsole_protocol.host.content.incoming import on_disk
from opsconsole_protocol.host.content.store import StoredTree

_CLONE = 0x40049409
"""FICLONE of Linux: the copy shares the disk's blocks until one of the two is written to."""
_CANT = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EPERM)


def copy_tree(tree: StoredTree, destination: Path) -> None:
    """Copy a tree into a folder, which is made if need be; its owner may write to everything, other modes are kept.

    Raises Conflict if something is in the way, DiskFull, and OSError if the tree can't be read.
    """
    with on_disk():
        destination.mkdir(parents=True, exist_ok=True)
        with Beneath(tree.path) as source, Beneath(destination) as target:
            for entry in tree.manifest.entries:
                if entry.kind is EntryKind.FOLDER:
                    target.make_folder(entry.path, 0o700 | entry.mode)
                elif entry.kind is EntryKind.SYMLINK:
                    folder, name = target.place(entry.path)
                    os.symlink(entry.target, name, dir_fd=folder)
                else:
                    _copy_file(source, target, entry)


def _copy_file(source: Beneath, target: Beneath, entry: Entry) -> None:
    read = source.open_file(entry.path)
    try:
        write = _created(target, entry.path)
        try:
            _copy_bytes(read, write, entry.size)
            os.fchmod(write, 0o600 | entry.mode)
        finally:
            os.close(write)
    finally:
        os.close(read)


def _created(target: Beneath, path: bytes) -> int:
    try:
        return target.create(path)
    except FileExistsError:
        raise Conflict(f"the copy of a tree needs an empty folder, and {shown(path)} is there") from None


def _copy_bytes(read: int, write: int, size: int) -> None:
    try:
        fcntl.ioctl(write, _CLONE, read)
    except OSError as error:
        if error.errno not in _CANT:
            raise
    else:
        return
    os.ftruncate(write, size)
    at = 0
    while at < size:
        try:
            at = os.lseek(read, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # only a hole is left
            raise
        end = os.lseek(read, at, os.SEEK_HOLE)
        os.lseek(write, at, os.SEEK_SET)
        while at < end:
            count = os.sendfile(write, read, at, end - at)
            if count == 0:
                return
            at += count
