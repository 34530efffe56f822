"""A tree that is arriving, in a folder where nobody looks for it. What lies there already isn't asked for again."""

import os
import stat
import threading
import time
from collections.abc import Callable, Sequence

from opsconsole_protocol.content.digest import CHUNK_BYTES, chunk_digest
from opsconsole_protocol.content.error import DiskFull
from opsconsole_protocol.content.manifest import MODE_BITS, Entry, EntryKind, Manifest
from opsconsole_protocol.content.path import shown
from opsconsole_protocol.content.round import chunk_size, may_be_wanted, zero_digest
from opsconsole_protocol.error import Conflict, OpsconsoleError
from opsconsole_protocol.host.content.beneath import Beneath
from opsconsole_protocol.host.content.disk import KEPT_FREE_BYTES, EarlySync, disk_words, hold, on_disk, sync_disk
from opsconsole_protocol.host.content.file_hash import is_hole, read_exactly, write_all
from opsconsole_protocol.host.content.record import Look, look
from opsconsole_protocol.stream.error import StreamCancelled

HOLD_WAIT_S = 40.0
"""For how long the same files are waited for that somebody else receives there, who may be about to find its stream dead."""

_HOLD_LOOK_S = 0.2

_SYNCED_SINGLY = 64
"""With more files than this, one sync of the whole disk is cheaper than one for each."""

_SYNCED_BYTES = 32 << 20
"""The disk is made to write what has arrived each time it is this much."""
_FILE_COST_BYTES = 16 << 10
"""A file more costs the disk about as much as these bytes more."""


class Incoming:
    """The files of a tree that have arrived so far, each at its own path below a folder.

    For one thread; nobody else can receive into the folder at the same time, and nobody but its owner can look into it.
    """

    def __init__(
        self,
        manifest: Manifest,
        beneath: Beneath,
        mode_of: Callable[[Entry], int] = lambda entry: entry.mode,
        *,
        is_synced: bool = True,
        cancel: threading.Event | None = None,
    ) -> None:
        """Takes the folder, and closes it in the end. `mode_of`: which mode an entry gets. Raises Conflict or DiskFull.

        `is_synced`: `sync` will be called, so that the disk had better begin early.
        """
        self.manifest = manifest
        self._mode_of = mode_of
        self._written: dict[int, Look] = {}
        """How the small files look that have been written since, which have their modes."""
        self.beneath = beneath
        self._cancel = cancel
        self._early_sync = EarlySync() if is_synced else None
        self._unsynced_bytes = 0
        self._open: tuple[int, int] | None = None
        with on_disk(beneath.root):
            if not self._gets_hold():
                raise Conflict("the same files are being received there already: wait until that has ended")
            status = os.fstat(beneath.root)
            if status.st_uid != os.geteuid() or status.st_mode & 0o077:
                raise Conflict("the folder for what arrives belongs to somebody else: move it away")
            self._is_new = not beneath.names(b"")

    def _gets_hold(self) -> bool:
        """Whether the folder became free in time: who received here before may not know yet that its other end is gone."""
        end = time.monotonic() + HOLD_WAIT_S
        while not hold(self.beneath.root):
            if time.monotonic() >= end:
                return False
            self._stop_if_cancelled()
            time.sleep(_HOLD_LOOK_S)
        return True

    def prepare(self, obtain: Callable[[int], bool] = lambda _: False, others: Sequence[Beneath] = ()) -> list[int]:
        """Make the folders, and say which files are lacking, large ones that have begun to arrive among them.

        `obtain` is asked for each file that isn't here, and says whether it needn't be received. `others`: folders in which
        other trees have stopped arriving; what has the same path there is taken from them, since a tree is another one as
        soon as one of its files has changed. Raises DiskFull if there is no room, Conflict and StreamCancelled.
        """
        entries = self.manifest.entries
        wanted: list[int] = []
        with on_disk(self.beneath.root):
            for index, entry in enumerate(entries):
                self._stop_if_cancelled()
                if entry.kind is EntryKind.FOLDER:
                    self._make_folder(entry.path)
                elif entry.kind is EntryKind.FILE and not self._has(entry, others) and not obtain(index):
                    if may_be_wanted(entry):
                        wanted.append(index)
                    else:
                        os.close(self.beneath.create(entry.path))
        small = [entries[index].size for index in wanted if not entries[index].is_large]
        self.check_room(sum(small), files=len(wanted))
        return wanted

    def lacking_chunks(self, index: int, leaves: list[bytes]) -> list[int]:
        """Which chunks of a large file are lacking; those that are all zero need not be sent. Raises DiskFull or Conflict."""
        entry = self.manifest.entries[index]
        lacking: list[int] = []
        with on_disk(self.beneath.root):
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
                    write_all(descriptor, memoryview(bytes(size)), start)
                else:
                    lacking.append(number)
        self.check_room(sum(chunk_size(entry, number) for number in lacking))
        return lacking

    def write_chunk(self, index: int, number: int, data: memoryview) -> None:
        """Write a chunk of a large file. Raises DiskFull or Conflict."""
        with on_disk(self.beneath.root):
            descriptor = self._large(index)[0]
            write_all(descriptor, data, number * CHUNK_BYTES)
            self._sync_early(len(data), os.fdatasync, descriptor)

    def write_files(self, indexes: Sequence[int], data: memoryview) -> None:
        """Write small files, whose bytes follow one another. Raises DiskFull or Conflict."""
        start = 0
        with on_disk(self.beneath.root):
            for index in indexes:
                entry = self.manifest.entries[index]
                end = start + entry.size
                self._written[index] = self._write_file(entry, data[start:end])
                start = end
            self._sync_early(len(data) + len(indexes) * _FILE_COST_BYTES, sync_disk, self.beneath.root)

    def seal(self, absent: frozenset[int] = frozenset()) -> None:
        """Every file is here, but for those that are `absent`: make the symlinks, and give the files their modes.

        Raises DiskFull or Conflict.
        """
        self._close_file()
        with on_disk(self.beneath.root):
            for index, entry in enumerate(self.manifest.entries):
                if entry.kind is EntryKind.FOLDER or index in absent or index in self._written:
                    continue
                folder, name = self.beneath.place(entry.path)
                if entry.kind is EntryKind.SYMLINK:
                    self._make_symlink(folder, name, entry)
                else:
                    os.chmod(name, self._mode_of(entry), dir_fd=folder)

    def seal_folders(self) -> None:
        """Give the folders their modes, after which nothing can be put into them any more. Raises DiskFull or Conflict."""
        with on_disk(self.beneath.root):
            for entry in reversed(self.manifest.entries):
                if entry.kind is EntryKind.FOLDER:
                    folder, name = self.beneath.place(entry.path)
                    os.chmod(name, self._mode_of(entry), dir_fd=folder)

    def sync(self, absent: frozenset[int] = frozenset()) -> None:
        """Let the files that have arrived survive a crash of the machine. Raises DiskFull or Conflict."""
        files = [
            entry
            for index, entry in enumerate(self.manifest.entries)
            if entry.kind is EntryKind.FILE and index not in absent
        ]
        with on_disk(self.beneath.root):
            if self._early_sync is not None:
                self._early_sync.end()
            if len(files) > _SYNCED_SINGLY:
                sync_disk(self.beneath.root)
                return
            for entry in files:
                descriptor = self.beneath.open_file(entry.path)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def looks(self) -> list[Look]:
        """How each entry looks, once everything is here. Raises OSError."""
        found: list[Look] = []
        for index, entry in enumerate(self.manifest.entries):
            known = self._written.get(index)
            if known is not None:
                found.append(known)
                continue
            folder, name = self.beneath.place(entry.path)
            found.append(look(os.stat(name, dir_fd=folder, follow_symlinks=False)))
        return found

    def check_room(self, size: int, files: int = 0) -> None:
        """Raise DiskFull if the disk has no room for `size` bytes and `files` files."""
        with on_disk(self.beneath.root):
            disk = os.fstatvfs(self.beneath.root)
        free = disk.f_bavail * disk.f_frsize
        if size + KEPT_FREE_BYTES > free:
            raise DiskFull(
                f"{disk_words(self.beneath.root)} has {free >> 20:,} MiB of room, "
                f"{size + KEPT_FREE_BYTES >> 20:,} MiB are needed: make room there"
            )
        if disk.f_files and files > disk.f_favail:
            raise DiskFull(
                f"{disk_words(self.beneath.root)} has room for {disk.f_favail:,} files, {files:,} are needed: make room there"
            )

    def close(self) -> None:
        """Close what is open; what has arrived stays."""
        self._close_file()
        self.beneath.close()

    def _has(self, entry: Entry, others: Sequence[Beneath]) -> bool:
        """Whether a file is here as a whole. What is in the way is removed."""
        status = None if self._is_new else self.beneath.status(entry.path)
        if status is None:
            status = self._taken_over(entry, others)
        if status is None:
            return False
        if _may_be(entry, status):
            folder, name = self.beneath.place(entry.path)
            os.chmod(name, 0o600, dir_fd=folder)
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

    def _taken_over(self, entry: Entry, others: Sequence[Beneath]) -> os.stat_result | None:
        """What was taken from where another tree has stopped arriving."""
        for other in others:
            try:
                status = other.status(entry.path)
                if status is None or not _may_be(entry, status):
                    continue
                there, name = other.place(entry.path)
                here, _ = self.beneath.place(entry.path)
                os.rename(name, name, src_dir_fd=there, dst_dir_fd=here)
            except (OSError, OpsconsoleError):
                continue  # then it is received
            return status
        return None

    def _write_file(self, entry: Entry, data: memoryview) -> Look:
        mode = self._mode_of(entry)
        descriptor = self.beneath.create(entry.path, mode)
        try:
            if data and os.write(descriptor, data) != len(data):
                write_all(descriptor, data, 0)
            status = os.fstat(descriptor)
            if status.st_mode & MODE_BITS != mode:  # as the user's umask has it
                os.fchmod(descriptor, mode)
                status = os.fstat(descriptor)
            return look(status)
        finally:
            os.close(descriptor)

    def _sync_early(self, size: int, sync: Callable[[int], None], descriptor: int) -> None:
        """Take note of what was written; once it is much, the disk gets it."""
        self._unsynced_bytes += size
        if (
            self._early_sync is not None
            and self._unsynced_bytes >= _SYNCED_BYTES
            and self._early_sync.begin(sync, descriptor)
        ):
            self._unsynced_bytes = 0

    def _make_folder(self, path: bytes) -> None:
        if not self._is_new:
            status = self.beneath.status(path)
            if status is not None and not stat.S_ISDIR(status.st_mode):
                self.beneath.remove(path)
            elif status is not None:
                above, name = self.beneath.place(path)
                os.chmod(name, 0o700, dir_fd=above)
        self.beneath.make_folder(path)

    def _make_symlink(self, folder: int, name: bytes, entry: Entry) -> None:
        try:
            os.symlink(entry.target, name, dir_fd=folder)
        except FileExistsError:
            self.beneath.remove(entry.path)
            folder, name = self.beneath.place(entry.path)
            os.symlink(entry.target, name, dir_fd=folder)

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
        status = os.fstat(descriptor)
        if status.st_nlink != 1:
            raise Conflict(f"{shown(entry.path)} has a second name where it arrives: remove that")
        if status.st_size != entry.size:
            os.ftruncate(descriptor, entry.size)
        return descriptor, is_new

    def _close_file(self) -> None:
        if self._open is not None:
            os.close(self._open[1])
            self._open = None

    def _stop_if_cancelled(self) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise StreamCancelled("the transfer was cancelled")


def _may_be(entry: Entry, status: os.stat_result) -> bool:
    """Whether what lies at an entry's path may be the file, or if that is large have chunks of it."""
    is_own = stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid == os.geteuid()
    return is_own and (entry.is_large or status.st_size == entry.size)
