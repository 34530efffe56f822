"""Where the bytes of a tree that is received go."""

import os
import stat
from pathlib import Path
from typing import Protocol

from opsconsole_protocol.content.digest import file_digest
from opsconsole_protocol.content.manifest import Entry, EntryKind, Manifest
from opsconsole_protocol.content.path import check_path, shown
from opsconsole_protocol.error import Conflict
from opsconsole_protocol.host.content.beneath import Beneath
from opsconsole_protocol.host.content.file_hash import leaves_of
from opsconsole_protocol.host.content.incoming import Incoming, on_disk
from opsconsole_protocol.host.content.record import Look

INCOMING_PREFIX = b".opsconsole-incoming-"


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

    def write_file(self, index: int, data: memoryview) -> None:
        """Keep a small file, whose bytes are the right ones."""

    def finish(self) -> None:
        """Everything is there: let it appear."""

    def abandon(self) -> None:
        """Close everything; what has arrived stays for the next time. After `finish` it does nothing."""


class FolderSink:
    """Makes a folder that isn't there yet: it appears complete, or not at all. Until then its files lie in `incoming`.

    `incoming` is on the same disk, and belongs to this tree alone.
    """

    def __init__(self, manifest: Manifest, incoming: Path, destination: Path, *, read_only: bool = False) -> None:
        """Raises Conflict if the destination exists, and DiskFull."""
        if os.path.lexists(destination):
            raise Conflict(f"{str(destination)!r} exists: take another folder")
        self._destination = destination
        self._folder = incoming
        self._read_only = read_only
        with on_disk():
            incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.incoming = Incoming(manifest, Beneath(incoming))

    @property
    def manifest(self) -> Manifest:
        """What arrives."""
        return self.incoming.manifest

    def wanted(self) -> list[int]:
        """The indexes of the files that are lacking."""
        return self.incoming.prepare()

    def wanted_chunks(self, index: int, leaves: list[bytes]) -> list[int]:
        """The numbers of the chunks of a large file that are lacking."""
        return self.incoming.lacking_chunks(index, leaves)

    def write_chunk(self, index: int, number: int, data: memoryview) -> None:
        """Keep a chunk of a large file."""
        self.incoming.write_chunk(index, number, data)

    def write_file(self, index: int, data: memoryview) -> None:
        """Keep a small file."""
        self.incoming.write_file(index, data)

    def finish(self) -> None:
        """Let the folder appear. Raises Conflict if there has come something in its place."""
        self.seal()
        with on_disk():
            self.appear()

    def seal(self) -> list[Look]:
        """Everything is here: give it its modes; how each entry looks. Raises DiskFull or Conflict."""
        self.incoming.seal(read_only=self._read_only)
        self.incoming.sync()
        with on_disk():
            looks = self.incoming.looks()
        self.incoming.close()
        return looks

    def appear(self) -> None:
        """Let the folder appear, after `seal`. Raises OSError."""
        self._folder.rename(self._destination)
        if self._read_only:
            self._destination.chmod(0o555)

    def abandon(self) -> None:
        """Close everything."""
        self.incoming.close()


class PlacingSink:
    """Puts files into a folder that may have others, each file at once as a whole.

    `folder`: where below `root`, made if need be; nothing outside of `root` is touched. Files that are there already with
    the same bytes aren't received. What is there otherwise is refused before anything is received, or gives way if
    `replace`; a folder gives way to nothing, nor does a file to a folder.
    """

    def __init__(self, manifest: Manifest, root: Path, folder: bytes, *, replace: bool) -> None:
        """Raises NotFound if there is no such root, Conflict and DiskFull."""
        self._manifest = manifest
        self._replace = replace
        self._present: frozenset[int] = frozenset()
        self._name = INCOMING_PREFIX + manifest.content_id[:16].encode()
        with Beneath(root) as beneath, on_disk():
            for place, sign in enumerate(folder + b"/" if folder else b""):
                if sign == ord("/"):
                    beneath.make_folder(folder[:place], 0o777)
            self._beneath = beneath.below(folder)
            self._beneath.make_folder(self._name)
            self._incoming = Incoming(manifest, self._beneath.below(self._name))

    @property
    def manifest(self) -> Manifest:
        """What arrives."""
        return self._manifest

    def wanted(self) -> list[int]:
        """The indexes of the files that are lacking. Raises Conflict for what is in the way."""
        with on_disk():
            self._present = frozenset(
                index for index, entry in enumerate(self._manifest.entries) if self._is_present(entry)
            )
        return self._incoming.prepare(self._present)

    def wanted_chunks(self, index: int, leaves: list[bytes]) -> list[int]:
        """The numbers of the chunks of a large file that are lacking."""
        return self._incoming.lacking_chunks(index, leaves)

    def write_chunk(self, index: int, number: int, data: memoryview) -> None:
        """Keep a chunk of a large file."""
        self._incoming.write_chunk(index, number, data)

    def write_file(self, index: int, data: memoryview) -> None:
        """Keep a small file."""
        self._incoming.write_file(index, data)

    def finish(self) -> None:
        """Put every file in its place. Raises Conflict for what has come in the way; the files before it are in place."""
        self._incoming.seal(present=self._present)
        self._incoming.sync()
        with on_disk():
            for index, entry in enumerate(self._manifest.entries):
                if entry.kind is EntryKind.FOLDER:
                    self._beneath.make_folder(entry.path, 0o700 | entry.mode)
                elif index not in self._present:
                    self._place(entry)
            self._incoming.close()
            self._beneath.remove(self._name)
        self._beneath.close()

    def abandon(self) -> None:
        """Close everything."""
        self._incoming.close()
        self._beneath.close()

    def _is_present(self, entry: Entry) -> bool:
        """Whether an entry is in its place already. Raises Conflict for what is in the way."""
        check_path(entry.path)
        if entry.path.startswith(INCOMING_PREFIX):
            raise Conflict(f"{shown(entry.path)} is a name that transfers use themselves: rename it")
        status = self._beneath.status(entry.path)
        if status is None:
            return False
        if entry.kind is EntryKind.FOLDER:
            if not stat.S_ISDIR(status.st_mode):
                raise Conflict(f"{shown(entry.path)} is not a folder there: move it away")
            return True
        if stat.S_ISDIR(status.st_mode):
            raise Conflict(f"{shown(entry.path)} is a folder there: move it away")
        if self._is_same(entry, status):
            return True
        if not self._replace:
            raise Conflict(
                f"{shown(entry.path)} is there already and differs: replace it explicitly, or take another folder"
            )
        return False

    def _is_same(self, entry: Entry, status: os.stat_result) -> bool:
        if entry.kind is EntryKind.SYMLINK:
            folder, name = self._beneath.place(entry.path)
            return stat.S_ISLNK(status.st_mode) and os.readlink(name, dir_fd=folder) == entry.target
        if not stat.S_ISREG(status.st_mode) or status.st_size != entry.size:
            return False
        descriptor = self._beneath.open_file(entry.path)
        try:
            leaves = leaves_of(descriptor, entry.size)
        finally:
            os.close(descriptor)
        return file_digest(leaves) == entry.digest

    def _place(self, entry: Entry) -> None:
        here, name = self._incoming.beneath.place(entry.path)
        there, _ = self._beneath.place(entry.path)
        if self._replace:
            os.rename(name, name, src_dir_fd=here, dst_dir_fd=there)
            return
        try:
            os.link(name, name, src_dir_fd=here, dst_dir_fd=there, follow_symlinks=False)
        except FileExistsError:
            raise Conflict(f"{shown(entry.path)} has come there meanwhile: start the transfer again") from None
        os.unlink(name, dir_fd=here)
