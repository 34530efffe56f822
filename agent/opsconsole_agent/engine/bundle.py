"""The code of a job as its attempts have it: each a copy of its own, to write in as it likes.

Every file of a copy has one and the same time of change, which no file gets that is written now. By that and by its size
it is told later what a setup or a task has changed, and what may go when the attempt has ended.
"""

import contextlib
import logging
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from opsconsole_agent.keeper_client.message import User
from opsconsole_protocol.content.manifest import Entry, EntryKind, Manifest
from opsconsole_protocol.host.content.copy import copy_tree
from opsconsole_protocol.host.content.store import StoredTree

COPIED_NS = 978_307_200 * 1_000_000_000
"""The first second of 2001, UTC: no tool takes it for an error, and no clock of a running worker says it."""

_log = logging.getLogger(__name__)


class _Found(NamedTuple):
    """What lies in a copy: its path there, and where to reach it without following a link."""

    path: bytes
    folder: int
    name: bytes


def make_copy(tree: StoredTree, destination: Path, user: User | None, cancel: threading.Event) -> None:
    """Have `destination`, an empty folder or none, replaced by a copy of the tree that belongs to `user`.

    Raises OpsconsoleError and OSError.

    It is made beside its place, where only we can write: nobody finds half of it, or puts a link in our way.
    """
    fresh = destination.with_name(f"{destination.name}.new")
    _remove(fresh)
    fresh.mkdir(mode=0o700)
    try:
        copy_tree(tree, fresh, cancel=cancel)
        for found in _walk(fresh):
            status = os.stat(found.name, dir_fd=found.folder, follow_symlinks=False)
            if user is not None:
                os.chown(found.name, user.uid, user.gid, dir_fd=found.folder, follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                os.utime(found.name, ns=(COPIED_NS, COPIED_NS), dir_fd=found.folder, follow_symlinks=False)
        if user is not None:
            os.chown(fresh, user.uid, user.gid)
        if cancel.is_set():
            return
        _remove(destination)
        fresh.rename(destination)
    finally:
        _remove(fresh)


def has_changed(manifest: Manifest, folder: Path, matters: Callable[[bytes], bool] = lambda _: True) -> bool:
    """Whether something was added to a copy or changed in it that `matters`."""
    known = {entry.path: entry for entry in manifest.entries}
    return any(not _is_as_copied(found, known.get(found.path)) and matters(found.path) for found in _walk(folder))


def remove_unchanged(manifest: Manifest, folder: Path) -> None:
    """Remove all of a copy that is as it was made; what a task has added or changed stays where it is."""
    known = {entry.path: entry for entry in manifest.entries}
    for found in _walk(folder):
        entry = known.get(found.path)
        try:
            if entry is None or not _is_as_copied(found, entry):
                continue
            if entry.kind is EntryKind.FOLDER:
                os.rmdir(found.name, dir_fd=found.folder)
            else:
                os.unlink(found.name, dir_fd=found.folder)
        except OSError:
            continue  # a folder that isn't empty, or what somebody else has just taken away


def _is_as_copied(found: _Found, entry: Entry | None) -> bool:
    if entry is None:
        return False
    try:
        status = os.stat(found.name, dir_fd=found.folder, follow_symlinks=False)
        if entry.kind is EntryKind.FOLDER:
            return stat.S_ISDIR(status.st_mode)
        if entry.kind is EntryKind.SYMLINK:
            return stat.S_ISLNK(status.st_mode) and os.readlink(found.name, dir_fd=found.folder) == entry.target
    except OSError:
        return False
    is_file = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
    return is_file and status.st_size == entry.size and status.st_mtime_ns == COPIED_NS


def _walk(folder: Path) -> Iterator[_Found]:
    """All that lies below a folder, the deepest first, by descriptors: no link is followed."""
    top = os.fsencode(folder)
    with contextlib.suppress(FileNotFoundError):  # it is gone as a whole
        for path, folders, files, descriptor in os.fwalk(top, topdown=False):
            below = path[len(top) + 1 :]
            for name in (*files, *folders):
                yield _Found(below + b"/" + name if below else name, descriptor, name)


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        _log.warning("%s can't be removed: %s", folder, error.strerror)
