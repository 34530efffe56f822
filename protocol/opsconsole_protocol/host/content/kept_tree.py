"""A tree in a store: whether it is still what it was, and how it is removed."""

import contextlib
import os
import shutil
import stat
from pathlib import Path
from typing import NamedTuple

from opsconsole_protocol.content.digest import file_digest
from opsconsole_protocol.content.manifest import Entry, EntryKind, Manifest
from opsconsole_protocol.content.path import shown
from opsconsole_protocol.error import Conflict, NotFound
from opsconsole_protocol.host.content.beneath import Beneath
from opsconsole_protocol.host.content.file_hash import leaves_of
from opsconsole_protocol.host.content.record import Look, Record, boot_id, look


class StoredTree(NamedTuple):
    """A tree that is here. Whoever uses it pins it first, and doesn't write into it."""

    path: Path
    """The folder with its files."""
    manifest: Manifest


class KeptFile(NamedTuple):
    """A file of a kept tree."""

    path: Path
    mode: int
    look: Look

    def is_as_it_was(self) -> bool:
        """Whether the file looks as it did when its bytes were known to be right."""
        try:
            return look(self.path.lstat()) == self.look
        except OSError:
            return False


def check_tree(path: Path, record: Record) -> list[Look]:
    """How each entry of a tree looks now. What looks otherwise than it did is read.

    Everything is read if the machine has been started anew since: what was written last may not have reached the disk.
    Raises an OpsconsoleError or OSError that says what isn't as it was.
    """
    read_all = not record.head.boot_id or record.head.boot_id != boot_id()
    below: dict[bytes, int] = {b"": 0}
    looks: list[Look] = []
    with Beneath(path) as beneath:
        for entry, before in zip(record.manifest.entries, record.looks, strict=True):
            below[entry.path.rpartition(b"/")[0]] += 1
            if entry.kind is EntryKind.FOLDER:
                below[entry.path] = 0
            looks.append(_checked(beneath, entry, None if read_all else before))
        for folder, count in below.items():
            if len(beneath.names(folder)) != count:
                raise Conflict(f"there is something new in {shown(folder or b'.')}")
    return looks


def _checked(beneath: Beneath, entry: Entry, before: Look | None) -> Look:
    """How an entry looks now. Raises an OpsconsoleError or OSError unless it is what it was."""
    status = beneath.status(entry.path)
    if status is None:
        raise NotFound(f"{shown(entry.path)} is missing")
    now = look(status)
    if entry.kind is EntryKind.FOLDER:
        if not stat.S_ISDIR(status.st_mode):
            raise Conflict(f"{shown(entry.path)} is no folder any more")
    elif entry.kind is EntryKind.SYMLINK:
        folder, name = beneath.place(entry.path)
        if not stat.S_ISLNK(status.st_mode) or os.readlink(name, dir_fd=folder) != entry.target:
            raise Conflict(f"{shown(entry.path)} leads elsewhere")
    elif now != before:
        descriptor = beneath.open_file(entry.path)
        try:
            if status.st_size != entry.size or file_digest(leaves_of(descriptor, entry.size)) != entry.digest:
                raise Conflict(f"{shown(entry.path)} has other bytes")
        finally:
            os.close(descriptor)
    return now


def known_files(path: Path, record: Record, digests: set[bytes]) -> dict[bytes, KeptFile]:
    """The files of a tree that have one of these hashes."""
    return {
        entry.digest: KeptFile(Path(os.fsdecode(os.fsencode(path) + b"/" + entry.path)), 0o555 if entry.mode & 0o111 else 0o444, before)
        for entry, before in zip(record.manifest.entries, record.looks, strict=True)
        if entry.digest in digests and entry.kind is EntryKind.FILE
    }  # fmt: skip


def remove_tree(path: Path) -> None:
    """Remove a tree whose folders may be read-only. What can't be removed stays; somebody else may remove it meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        for _, names, _, folder in os.fwalk(path):
            with contextlib.suppress(OSError):
                os.fchmod(folder, 0o700)
            for name in names:
                with contextlib.suppress(OSError):
                    _open_up(folder, name)
    shutil.rmtree(path, ignore_errors=True)


def _open_up(folder: int, name: str) -> None:
    """Let a folder be looked into. Raises OSError."""
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if stat.S_ISDIR(status.st_mode) and status.st_mode & 0o500 != 0o500:
        os.chmod(name, 0o700, dir_fd=folder)
