"""Where the bytes of a tree that is received go."""

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from opsconsole_protocol.content.digest import file_digest
from opsconsole_protocol.content.manifest import Entry, EntryKind, Manifest
from opsconsole_protocol.content.path import shown
from opsconsole_protocol.error import Conflict
from opsconsole_protocol.host.content.arriving import (
    INCOMING_PREFIX,
    Arriving,
    check_place,
    made_below,
    move_new,
    stopped_beside,
)
from opsconsole_protocol.host.content.beneath import Beneath
from opsconsole_protocol.host.content.disk import on_disk
from opsconsole_protocol.host.content.file_hash import leaves_of
from opsconsole_protocol.host.content.incoming import Incoming

_TRIES = 3


class Sink(Protocol):
    """Takes a tree in. Each method raises DiskFull, Conflict or another OpsconsoleError."""

    @property
    def manifest(self) -> Manifest:
        """What arrives."""

    def wanted(self) -> list[int]:
        """The indexes of the files that are lacking, as a whole or in part, in ascending order."""

    def wanted_chunks(self, index: int, leaves: list[bytes]) -> list[int]:
        """The numbers of the chunks of a large file that are lacking, in ascending order."""

    def write_chunk(self, index: int, number: int, data: memoryview) -> None:
        """Keep a chunk of a large file, whose bytes are the right ones."""

    def write_files(self, indexes: Sequence[int], data: memoryview) -> None:
        """Keep small files, whose bytes follow one another and are the right ones."""

    def finish(self) -> None:
        """Everything is there: let it appear."""

    def abandon(self) -> None:
        """Close everything; what has arrived stays for the next time. After `finish` it does nothing."""


class FolderSink(Arriving):
    """Makes a folder that isn't there yet: it appears complete, or not at all. Until then its files lie in `incoming`.

    `incoming` is on the same disk, and belongs to this tree alone. `cancel` ends the looking at what lies there already.
    """

    def __init__(
        self,
        manifest: Manifest,
        incoming: Path,
        destination: Path,
        mode_of: Callable[[Entry], int] = lambda entry: entry.mode,
        *,
        is_synced: bool = True,
        cancel: threading.Event | None = None,
    ) -> None:
        """`mode_of`: which mode an entry gets. `is_synced`: the folder survives a crash of the machine once it is there. Raises Conflict if the destination exists or somebody else receives the same, and DiskFull."""
        self._folder = incoming
        self._destination = destination
        if os.path.lexists(destination):
            raise Conflict(f"{str(destination)!r} exists: take another folder")
        with on_disk(incoming):
            incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
            beneath = Beneath(incoming)
            try:
                super().__init__(Incoming(manifest, beneath, mode_of, is_synced=is_synced, cancel=cancel))
                check_place(self.incoming, incoming.stat())
            except BaseException:
                beneath.close()
                raise

    def wanted(self) -> list[int]:
        """The indexes of the files that are lacking. Raises DiskFull, Conflict and StreamCancelled."""
        return self.incoming.prepare()

    def finish(self) -> None:
        """Let the folder appear. Raises Conflict if something has come in its place, and DiskFull."""
        self.incoming.seal()
        self.incoming.sync()
        self.incoming.seal_folders()
        with on_disk(self._folder):
            self.appear(0o755)
        self.incoming.close()

    def appear(self, mode: int) -> None:
        """Let the folder appear, with this mode. Raises OSError."""
        self._folder.rename(self._destination)
        self._destination.chmod(mode)

    def abandon(self) -> None:
        """Close everything; what has arrived stays for the next time."""
        self.incoming.close()


class PlacingSink(Arriving):
    """Puts files into a folder that may have others, each file at once as a whole.

    `folder`: where below `root`, made if need be; nothing outside of `root` is touched. Files that are there already with
    the same bytes aren't received. What is there otherwise is refused before anything is received, or gives way if
    `replace`; a folder gives way to nothing, nor does a file to a folder. Until everything is here, files lie in a hidden
    folder beside their places, where they are found if the transfer is started again.
    """

    def __init__(
        self, manifest: Manifest, root: Path, folder: bytes, *, replace: bool, cancel: threading.Event | None = None
    ) -> None:
        """Raises NotFound if there is no such root, Conflict and DiskFull."""
        self._replace = replace
        self._cancel = cancel
        self._present: frozenset[int] = frozenset()
        self._name = INCOMING_PREFIX + manifest.content_id[:16].encode()
        with on_disk(root):
            with Beneath(root) as top:
                self._beneath = made_below(top, folder)
            try:
                super().__init__(self._incoming(manifest, cancel))
            except BaseException:
                self._beneath.close()
                raise

    def _incoming(self, manifest: Manifest, cancel: threading.Event | None) -> Incoming:
        """Where files arrive. Whoever waits while somebody else brings the same begins anew once that is done, and finds it there."""
        for left in reversed(range(_TRIES)):
            self._beneath.make_folder(self._name)
            incoming = Incoming(manifest, self._beneath.below(self._name), cancel=cancel)
            try:
                check_place(incoming, self._beneath.status(self._name))
            except Conflict:
                incoming.close()
                if not left:
                    raise
            else:
                return incoming
        raise AssertionError("the last try returns or raises")

    def wanted(self) -> list[int]:
        """The indexes of the files that are lacking. Raises Conflict for what is in the way, DiskFull and StreamCancelled."""
        with on_disk(self._beneath.root):
            self._present = frozenset(self._look_around())
        with stopped_beside(self._beneath, self._name) as others:
            return self.incoming.prepare(lambda index: index in self._present, others)

    def finish(self) -> None:
        """Put every file in its place. Raises Conflict for what has come in the way; the files before it are in place."""
        self.incoming.seal(self._present)
        self.incoming.sync(self._present)
        entries = self.manifest.entries
        with on_disk(self._beneath.root):
            moved = b"/"
            for index, entry in enumerate(entries):
                if index in self._present or entry.path.startswith(moved):
                    continue
                if entry.kind is not EntryKind.FOLDER:
                    self._place(entry)
                elif self._move_folder(entry.path):
                    moved = entry.path + b"/"
                else:
                    self._beneath.make_folder(entry.path)
            for index in reversed(range(len(entries))):
                if entries[index].kind is EntryKind.FOLDER and index not in self._present:
                    os.fchmod(self._beneath.folder(entries[index].path), entries[index].mode)
            self.incoming.beneath.clear()
            self._beneath.remove(self._name)
        self.abandon()

    def abandon(self) -> None:
        """Close everything; what has arrived stays for the next time."""
        self.incoming.close()
        self._beneath.close()

    def _look_around(self) -> Iterator[int]:
        """The indexes of what is in its place already. Raises Conflict for what is in the way."""
        missing = b"/"  # the last folder that isn't there, below which nothing can be
        for index, entry in enumerate(self.manifest.entries):
            if entry.path.startswith(missing):
                continue
            if self._is_present(entry):
                yield index
            elif entry.kind is EntryKind.FOLDER:
                missing = entry.path + b"/"

    def _is_present(self, entry: Entry) -> bool:
        """Whether an entry needn't come. Raises Conflict for what is in the way."""
        if entry.path.startswith(INCOMING_PREFIX):
            raise Conflict(f"{shown(entry.path)} is a name that transfers use themselves: rename it")
        status = self._beneath.status(entry.path)
        if status is None:
            return False
        if entry.kind is EntryKind.FOLDER:
            return stat.S_ISDIR(status.st_mode) or self.is_spared(entry, "is not a folder there: move it away")
        if stat.S_ISDIR(status.st_mode):
            return self.is_spared(entry, "is a folder there: move it away")
        if self._is_same(entry, status):
            return True
        return not self._replace and self.is_spared(
            entry, "is there already, and it differs: replace it (put --force), or take another folder"
        )

    @property
    def placed(self) -> list[bytes]:
        """The paths of the files and links that came, once it has finished: not those that were there already."""
        return [
            self.place_of(entry)
            for index, entry in enumerate(self.manifest.entries)
            if index not in self._present and entry.kind is not EntryKind.FOLDER
        ]

    def is_spared(self, entry: Entry, why: str) -> bool:
        """Something else is in an entry's place: whether that stays and the entry needn't come. Raises Conflict."""
        raise Conflict(f"{shown(entry.path)} {why}")

    def place_of(self, entry: Entry) -> bytes:
        """Where an entry that has come is put, by its path."""
        return entry.path

    def _is_same(self, entry: Entry, status: os.stat_result) -> bool:
        if entry.kind is EntryKind.SYMLINK:
            folder, name = self._beneath.place(entry.path)
            return stat.S_ISLNK(status.st_mode) and os.readlink(name, dir_fd=folder) == entry.target
        if not stat.S_ISREG(status.st_mode) or status.st_size != entry.size:
            return False
        try:
            descriptor = self._beneath.open_file(entry.path)
        except PermissionError:
            return False
        try:
            return file_digest(leaves_of(descriptor, entry.size, cancel=self._cancel)) == entry.digest
        finally:
            os.close(descriptor)

    def _move_folder(self, path: bytes) -> bool:
        """Put a folder that isn't there in its place with all that it has. Returns False if something has come there."""
        here, name = self.incoming.beneath.place(path)
        there, _ = self._beneath.place(path)
        try:
            os.rename(name, name, src_dir_fd=here, dst_dir_fd=there)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                return False
            raise
        return True

    def _place(self, entry: Entry) -> None:
        here, name = self.incoming.beneath.place(entry.path)
        there, new_name = self._beneath.place(self.place_of(entry))
        try:
            if self._replace:
                os.rename(name, new_name, src_dir_fd=here, dst_dir_fd=there)
            else:
                move_new(name, here, there, new_name)
        except (FileExistsError, IsADirectoryError):
            raise Conflict(f"{shown(entry.path)} has come there meanwhile: start the transfer again") from None
