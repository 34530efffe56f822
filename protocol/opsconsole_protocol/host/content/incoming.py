"""A tree that is arriving, in a folder where nobody looks for it. What lies there already isn't asked for again."""

import errno
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from opsconsole_protocol.content.digest import CHUNK_BYTES, chunk_digest
from opsconsole_protocol.content.error import DiskFull
from opsconsole_protocol.content.manifest import EntryKind, Manifest
from opsconsole_protocol.content.path import shown
from opsconsole_protocol.content.round import chunk_size, may_be_wanted, zero_digest
from opsconsole_protocol.error import Conflict
from opsconsole_protocol.host.content.beneath import Beneath
from opsconsole_protocol.host.content.file_hash import is_hole, read_exactly
from opsconsole_protocol.host.content.record import Look, look
from opsconsole_protocol.stream.error import StreamCancelled

KEPT_FREE_BYTES = 16 << 20
"""How much room a transfer leaves on a disk."""


@contextmanager
def on_disk() -> Iterator[None]:
    """Errors of the disk that is written to, in one line each."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"the receiving disk is full ({error.strerror}): make room, and start the transfer again"
            ) from None
        raise Conflict(
            f"the receiving end can't write ({error.strerror}): check the folder's owner, mode and disk"
        ) from None


class Incoming:
    """The files of a tree that have arrived so far, each at its own path below a folder.

    For one thread. Files are the owner's alone until `seal` gives them their modes.
    """

    def __init__(self, manifest: Manifest, beneath: Beneath, *, cancel: threading.Event | None = None) -> None:
        """Takes the folder, and closes it in the end. Raises Conflict or DiskFull."""
        self.manifest = manifest
        self.beneath = beneath
        self._cancel = cancel
        self._open: tuple[int, int] | None = None
        with on_disk():
            self._is_new = not beneath.names(b"")

    def prepare(self, present: frozenset[int] = frozenset()) -> list[int]:
        """Make the folders, and say which files are lacking, large ones that have begun to arrive among them.

        `present`: files that needn't be here. Raises DiskFull if the small ones have no room, Conflict and StreamCancelled.
        """
        wanted: list[int] = []
        with on_disk():
            for index, entry in enumerate(self.manifest.entries):
                self._stop_if_cancelled()
                if entry.kind is EntryKind.FOLDER:
                    self._make_folder(entry.path)
                elif entry.kind is EntryKind.FILE and index not in present and not self._has(index):
                    if may_be_wanted(entry):
                        wanted.append(index)
                    else:
                        os.close(self.beneath.create(entry.path))
        small = [self.manifest.entries[index].size for index in wanted if not self.manifest.entries[index].is_large]
        self.check_room(sum(small), files=len(wanted))
        return wanted

    def lacking_chunks(self, index: int, leaves: list[bytes]) -> list[int]:
        """Which chunks of a large file are lacking; those that are all zero need not be sent. Raises DiskFull or Conflict."""
        entry = self.manifest.entries[index]
        lacking: list[int] = []
        with on_disk():
            descriptor, is_new = self._large(index)
            buffer = memoryview(bytearray(CHUNK_BYTES))
            for number, leaf in enumerate(leaves):
                size = chunk_size(entry, number)
                start = number * CHUNK_BYTES
                is_zero = leaf == zero_digest(size)
                if is_new or is_hole(descriptor, start, start + size):
                    if not is_zero:
                        lacking.append(number)
                    continue
                self._stop_if_cancelled()
                if chunk_digest(buffer[: read_exactly(descriptor, buffer[:size], start)]) == leaf:
                    continue
                if is_zero:
                    os.pwrite(descriptor, bytes(size), start)
                else:
                    lacking.append(number)
        self.check_room(sum(chunk_size(entry, number) for number in lacking))
        return lacking

    def write_chunk(self, index: int, number: int, data: memoryview) -> None:
        """Write a chunk of a large file. Raises DiskFull or Conflict."""
        with on_disk():
            _write_all(self._large(index)[0], data, number * CHUNK_BYTES)

    def write_file(self, index: int, data: memoryview) -> None:
        """Write a small file. Raises DiskFull or Conflict."""
        with on_disk():
            descriptor = self.beneath.create(self.manifest.entries[index].path)
            try:
                _write_all(descriptor, data, 0)
            finally:
                os.close(descriptor)

    def seal(self, *, read_only: bool = False, present: frozenset[int] = frozenset()) -> None:
        """Everything is here: make the symlinks, and give files and folders their modes. Raises DiskFull or Conflict.

        `read_only`: nobody may write, and who may read is as in the manifest's spirit, everybody.
        """
        self._close_file()
        with on_disk():
            for index, entry in enumerate(self.manifest.entries):
                if entry.kind is EntryKind.FOLDER or index in present:
                    continue
                folder, name = self.beneath.place(entry.path)
                if entry.kind is EntryKind.SYMLINK:
                    self._make_symlink(folder, name, entry.target)
                else:
                    mode = (0o555 if entry.mode & 0o111 else 0o444) if read_only else entry.mode
                    os.chmod(name, mode, dir_fd=folder)
            for entry in reversed(self.manifest.entries):
                if entry.kind is EntryKind.FOLDER:
                    folder, name = self.beneath.place(entry.path)
                    os.chmod(name, 0o555 if read_only else entry.mode, dir_fd=folder)

    def sync(self) -> None:
        """Let what has arrived survive a crash of the machine. Raises DiskFull or Conflict."""

    def looks(self) -> list[Look]:
        """How each entry looks, once everything is here. Raises OSError."""
        found: list[Look] = []
        for entry in self.manifest.entries:
            folder, name = self.beneath.place(entry.path)
            found.append(look(os.stat(name, dir_fd=folder, follow_symlinks=False)))
        return found

    def check_room(self, size: int, files: int = 0) -> None:
        """Raise DiskFull if the disk has no room for `size` bytes and `files` files."""
        with on_disk():
            disk = os.fstatvfs(self.beneath.root)
        free = disk.f_bavail * disk.f_frsize
        if size + KEPT_FREE_BYTES > free:
            raise DiskFull(
                f"the receiving disk has {free >> 20:,} MiB of room, {size + KEPT_FREE_BYTES >> 20:,} MiB are needed: make room"
            )
        if disk.f_files and files > disk.f_favail:
            raise DiskFull(f"the receiving disk has room for {disk.f_favail:,} files, {files:,} are needed: make room")

    def close(self) -> None:
        """Close what is open; what has arrived stays."""
        self._close_file()
        self.beneath.close()

    def _has(self, index: int) -> bool:
        """Whether a file is here as a whole. What is in the way is removed."""
        if self._is_new:
            return False
        entry = self.manifest.entries[index]
        status = self.beneath.status(entry.path)
        if status is None:
            return False
        if stat.S_ISREG(status.st_mode) and status.st_size == entry.size and status.st_nlink == 1:
            if entry.is_large:
                return False  # its chunks are looked at when their hashes are known
            descriptor = self.beneath.open_file(entry.path)
            try:
                view = memoryview(bytearray(entry.size))
                if read_exactly(descriptor, view, 0) == entry.size and chunk_digest(view) == entry.digest:
                    return True
            finally:
                os.close(descriptor)
        self.beneath.remove(entry.path)
        return False

    def _make_folder(self, path: bytes) -> None:
        if not self._is_new:
            status = self.beneath.status(path)
            if status is not None and not stat.S_ISDIR(status.st_mode):
                self.beneath.remove(path)
        self.beneath.make_folder(path)
        if not self._is_new:
            os.fchmod(self.beneath.folder(path), 0o700)

    def _make_symlink(self, folder: int, name: bytes, target: bytes) -> None:
        try:
            os.symlink(target, name, dir_fd=folder)
        except FileExistsError:
            if os.readlink(name, dir_fd=folder) != target:
                raise Conflict(f"{shown(name)} is in the way of a symlink") from None

    def _large(self, index: int) -> tuple[int, bool]:
        """The descriptor of a large file, and whether it has only just been made."""
        if self._open is not None and self._open[0] == index:
            return self._open[1], False
        self._close_file()
        entry = self.manifest.entries[index]
        is_new = False
        try:
            descriptor = self.beneath.create(entry.path)
            is_new = True
        except FileExistsError:
            descriptor = self.beneath.open_to_write(entry.path)
        self._open = (index, descriptor)
        if os.fstat(descriptor).st_size != entry.size:
            os.ftruncate(descriptor, entry.size)
        return descriptor, is_new

    def _close_file(self) -> None:
        if self._open is not None:
            os.close(self._open[1])
            self._open = None

    def _stop_if_cancelled(self) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise StreamCancelled("cancelled")


def _write_all(descriptor: int, data: memoryview, offset: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset + done)
