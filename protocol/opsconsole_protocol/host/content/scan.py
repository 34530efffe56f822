"""Make the manifest of a folder or of a file."""

import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from opsconsole_protocol.content.digest import CHUNK_BYTES, chunk_digest, file_digest
from opsconsole_protocol.content.error import ContentChanged
from opsconsole_protocol.content.manifest import ENTRIES_MAX, FILE_BYTES_MAX, MODE_BITS, Entry, EntryKind, Manifest
from opsconsole_protocol.content.path import check_path, check_target, shown
from opsconsole_protocol.error import Conflict, InvalidRequest, LimitExceeded, NotFound, OpsconsoleError
from opsconsole_protocol.host.content.arriving import INCOMING_PREFIX
from opsconsole_protocol.host.content.beneath import Beneath
from opsconsole_protocol.host.content.file_hash import leaves_of
from opsconsole_protocol.host.content.hash_cache import HashCache, signature
from opsconsole_protocol.stream.error import StreamCancelled

_TRIES = 3
_SMALL_BYTES = 64 << 10
_TOLD_BYTES = 1 << 20
_SYMLINK_MODE = 0o777

_ADVICE = "move it elsewhere, or leave it out of code by a line in .opsconsoleignore"
_SPECIAL = {stat.S_IFIFO: "a fifo", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}

Select = Callable[[bytes, bool], bool]
"""Takes a path and whether it is a folder; False leaves it out, with all that lies below."""


def scan(
    root: Path,
    *,
    paths: Sequence[bytes] | None = None,
    select: Select | None = None,
    cache: HashCache | None = None,
    progress: Callable[[int, int], None] | None = None,
    cancel: threading.Event | None = None,
    refused: Callable[[str], None] | None = None,
) -> Manifest:
    """The manifest of what lies below a folder; what is only arriving there, or stopped arriving, is passed over.

    `paths`: only these, with what lies below those that are folders; one that isn't there is left out. `progress` is told
    how many bytes have been hashed, and how many there are. `refused` is told in one line of what can't be in a tree
    (devices, sockets, symlinks that lead out, what can't be read), which is then left out; without it that is an error.

    Raises NotFound, Conflict, ContentChanged for a file that is written all the time, LimitExceeded and StreamCancelled.
    """
    with Beneath(root) as beneath:
        return Manifest.make(_Scan(beneath, select, cache, progress, cancel, refused).run(paths))


def listed(
    root: Path, *, paths: Sequence[bytes] | None = None, cancel: threading.Event | None = None
) -> Iterator[tuple[bytes, os.stat_result]]:
    """What `scan` takes into a manifest, each with its status, as it is found: nothing is read. Raises as `scan` does."""
    with Beneath(root) as beneath:
        yield from _Scan(beneath, None, None, None, cancel, None).chosen(paths)


def scan_below(
    root: Path,
    *,
    cache: HashCache | None = None,
    progress: Callable[[int, int], None] | None = None,
    cancel: threading.Event | None = None,
) -> list[Entry]:
    """The entries of all that lies below a folder, in any order, for a manifest that has others too. Raises as `scan` does."""
    with Beneath(root) as beneath:
        return _Scan(beneath, None, cache, progress, cancel, None).run(None)


def scan_file(
    path: Path,
    name: bytes | None = None,
    *,
    cache: HashCache | None = None,
    progress: Callable[[int, int], None] | None = None,
    cancel: threading.Event | None = None,
) -> Manifest:
    """The manifest of one file, under its own name or another one. A symlink is followed, since a person named it.

    Raises as `scan` does.
    """
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise NotFound(f"{str(path)!r} is no file") from None
    own = os.fsencode(real.name)
    if not own:
        raise Conflict(f"{str(path)!r} is a folder, not a file")
    with Beneath(real.parent) as beneath:
        status = beneath.status(own)
        if status is None or not stat.S_ISREG(status.st_mode):
            what = "gone" if status is None else _special_words(status.st_mode)
            raise Conflict(f"{shown(os.fsencode(path))} is {what}, which can't be sent: name a file or folder")
        one = _Scan(beneath, None, cache, progress, cancel, None)
        one.total = status.st_size
        entry = one.file(own)
        one.tell()
    return Manifest.make([Entry(name or os.fsencode(path.name), EntryKind.FILE, entry.mode, entry.size, entry.digest)])


def _special_words(mode: int) -> str:
    return _SPECIAL.get(stat.S_IFMT(mode), "neither a file nor a folder")


class _Scan:
    """One scan."""

    def __init__(
        self,
        beneath: Beneath,
        select: Select | None,
        cache: HashCache | None,
        progress: Callable[[int, int], None] | None,
        cancel: threading.Event | None,
        refused: Callable[[str], None] | None,
    ) -> None:
        self._beneath = beneath
        self._select = select
        self._cache = cache
        self._progress = progress
        self._cancel = cancel
        self._refused = refused
        self._buffer = bytearray(CHUNK_BYTES)
        self._done = 0
        self._told = 0
        self.total = 0

    def run(self, paths: Sequence[bytes] | None) -> list[Entry]:
        entries: dict[bytes, Entry] = {}
        files: dict[bytes, None] = {}
        for path, status in self.chosen(paths):
            self._stop_if_cancelled()
            if len(entries) + len(files) > ENTRIES_MAX:
                raise LimitExceeded(
                    f"there are more than {ENTRIES_MAX:,} files and folders: pack some of them into an archive"
                )
            if stat.S_ISDIR(status.st_mode):
                entries[path] = Entry(path, EntryKind.FOLDER, status.st_mode & MODE_BITS)
            elif stat.S_ISLNK(status.st_mode):
                entries[path] = self._symlink(path)
            elif path not in entries and path not in files:
                self.total += status.st_size
                small = self._small_file(path, status)
                if small is None:
                    files[path] = None
                else:
                    entries[path] = small
        for path in files:
            self._stop_if_cancelled()
            try:
                entries[path] = self.file(path)
            except StreamCancelled:
                raise
            except (OpsconsoleError, OSError) as error:
                self._refuse(path, error)
        self.tell()
        return list(entries.values())

    def file(self, path: bytes) -> Entry:
        """The entry of a file, which is read unless its hash is known."""
        before = self._done
        for _ in range(_TRIES):
            self._done = before
            descriptor = self._beneath.open_file(path)
            try:
                status = os.fstat(descriptor)
                key = signature(status)
                if status.st_size > FILE_BYTES_MAX:
                    raise LimitExceeded(f"the file {shown(path)} is larger than {FILE_BYTES_MAX:,} bytes")
                leaves = self._cache.leaves(key) if self._cache is not None else None
                is_known = leaves is not None
                if leaves is None:
                    leaves = leaves_of(
                        descriptor, status.st_size, buffer=self._buffer, cancel=self._cancel, progress=self._note
                    )
                if signature(os.fstat(descriptor)) != key:
                    continue
            finally:
                os.close(descriptor)
            if self._cache is not None and not is_known:
                self._cache.remember(key, leaves)
            self._note(before + status.st_size - self._done)
            return Entry(path, EntryKind.FILE, status.st_mode & MODE_BITS, status.st_size, file_digest(leaves))
        raise ContentChanged(f"{shown(path)} is being written: try again when that has ended")

    def _small_file(self, path: bytes, status: os.stat_result) -> Entry | None:
        """The entry of a small file that is as it was when its folder was read; None for one that has to be looked at closely.

        Reading it is cheaper than asking the cache.
        """
        if status.st_size > _SMALL_BYTES:
            return None
        try:
            descriptor = self._beneath.open_unchecked(path)
        except (OpsconsoleError, OSError):
            return None
        try:
            data = os.read(descriptor, status.st_size + 1)
            now = os.fstat(descriptor)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        if len(data) != status.st_size or signature(now) != signature(status):
            return None
        self._note(len(data))
        return Entry(path, EntryKind.FILE, status.st_mode & MODE_BITS, len(data), chunk_digest(data))

    def chosen(self, paths: Sequence[bytes] | None) -> Iterator[tuple[bytes, os.stat_result]]:
        """What is to be in the manifest, refusals told."""
        if paths is None:
            yield from self._below(b"")
            return
        for path in sorted(set(paths)):
            check_path(path)
            status = self._beneath.status(path)
            if status is None or not self._is_taken(path, status):
                continue
            yield path, status
            if stat.S_ISDIR(status.st_mode):
                yield from self._below(path)

    def _below(self, top: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
        """What lies below a folder, each folder before its own."""
        waiting = [top]
        while waiting:
            self._stop_if_cancelled()
            folder = waiting.pop()
            below: list[bytes] = []
            try:
                with os.scandir(self._beneath.folder(folder)) as found:
                    listed = [
                        (name, one.stat(follow_symlinks=False))
                        for one in found
                        if not (name := os.fsencode(one.name)).startswith(INCOMING_PREFIX)
                    ]
            except FileNotFoundError:
                raise ContentChanged(f"{shown(folder)} is being written: try again when that has ended") from None
            except (OpsconsoleError, OSError) as error:
                self._refuse(folder, error)
                continue
            for name, status in listed:
                path = folder + b"/" + name if folder else name
                if self._is_taken(path, status):
                    yield path, status
                    if stat.S_ISDIR(status.st_mode):
                        below.append(path)
            waiting.extend(sorted(below, reverse=True))

    def _is_taken(self, path: bytes, status: os.stat_result) -> bool:
        mode = status.st_mode
        if self._select is not None and not self._select(path, stat.S_ISDIR(mode)):
            return False
        try:
            if stat.S_ISLNK(mode):
                check_target(path, self._target(path))
            elif not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                raise Conflict(f"{shown(path)} is {_special_words(mode)}, which can't be sent")
        except (OpsconsoleError, OSError) as error:
            self._refuse(path, error)
            return False
        return True

    def _symlink(self, path: bytes) -> Entry:
        return Entry(path, EntryKind.SYMLINK, _SYMLINK_MODE, target=self._target(path))

    def _target(self, path: bytes) -> bytes:
        folder, name = self._beneath.place(path)
        return os.readlink(name, dir_fd=folder)

    def _refuse(self, path: bytes, error: OpsconsoleError | OSError) -> None:
        """This can't be in the tree: told where it is left out, else raised with what to do."""
        if isinstance(error, OSError):
            error = Conflict(f"{shown(path)} can't be read ({error.strerror}), check its mode and owner")
        if self._refused is not None:
            self._refused(error.message)
            return
        if isinstance(error, InvalidRequest) or type(error) is Conflict:
            raise type(error)(f"{error.message}: {_ADVICE}") from None
        raise error

    def _note(self, size: int) -> None:
        """Take note of bytes that have been read."""
        self._done += size
        if self._done - self._told >= _TOLD_BYTES:
            self.tell()

    def tell(self) -> None:
        """Tell how far it is."""
        self._told = self._done
        if self._progress is not None:
            self._progress(self._done, max(self.total, self._done))

    def _stop_if_cancelled(self) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise StreamCancelled("cancelled")
