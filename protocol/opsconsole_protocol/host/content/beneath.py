"""Files below a folder, and nothing else: every path is opened part by part, and no symlink is followed.

What lies in the folder may be written by others while we look. So no path is checked first and used afterwards: each folder
on the way is opened from the one above it (`dir_fd`), refusing symlinks, and what is to be done is done from the last one.
"""

import errno
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

from opsconsole_protocol.content.path import PARTS_MAX, check_path, is_plain_name, shown
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Beneath:
    """A folder from which paths are counted, and out of which none leads. For one thread at a time; `close` it.

    The folder itself may be given through symlinks: whoever names it is trusted. Folders on the way to the last path stay
    open, so that going through a tree in its order opens each folder once.
    """

    def __init__(self, root: Path | int) -> None:
        """`root`: a path, or a folder's descriptor, which is taken over. Raises NotFound if there is no such folder, and OSError."""
        try:
            self._root = root if isinstance(root, int) else os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"{str(root)!r} is no folder") from None
        self._path = b""
        """Of the last folder, whose parts are `_names`; all of them are open."""
        self._names: list[bytes] = []
        self._folders: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all folders."""
        self._shorten(0)
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    @property
    def root(self) -> int:
        """The descriptor of the folder itself."""
        return self._root

    def folder(self, path: bytes) -> int:
        """The descriptor of a folder below; it is ours and valid until the next call. Raises InvalidRequest, NotFound, Conflict or OSError."""
        if path:
            check_path(path)
        return self._folder(path)

    def below(self, path: bytes) -> "Beneath":
        """A folder below, from which paths are counted by itself. Raises as `folder` does."""
        return Beneath(os.open(b".", _FOLDER, dir_fd=self.folder(path)))

    def place(self, path: bytes) -> tuple[int, bytes]:
        """The folder that a path lies in, and its name there. Raises as `folder` does."""
        above, _, name = path.rpartition(b"/")
        if above != self._path or not is_plain_name(name, len(path)) or len(self._names) >= PARTS_MAX:
            check_path(path)
        return self._folder(above), name

    def status(self, path: bytes) -> os.stat_result | None:
        """What lies at a path, itself; None if nothing does. Raises as `folder` does, except for what is missing."""
        try:
            folder, name = self.place(path)
            return os.stat(name, dir_fd=folder, follow_symlinks=False)
        except (FileNotFoundError, NotFound):
            return None

    def open_file(self, path: bytes) -> int:
        """A descriptor to read a regular file; anything else is refused. Raises as `folder` does."""
        return self._open(path, _READ)

    def open_unchecked(self, path: bytes) -> int:
        """A descriptor to read whatever lies at a path: the caller sees to it that it is a regular file. Raises as `folder` does."""
        folder, name = self.place(path)
        return os.open(name, _READ, dir_fd=folder)

    def open_to_write(self, path: bytes) -> int:
        """A descriptor to read and write a regular file that exists. Raises as `folder` does."""
        return self._open(path, _WRITE)

    def create(self, path: bytes, mode: int = 0o600) -> int:
        """A descriptor to write a new file. Raises as `folder` does; FileExistsError if there is something."""
        folder, name = self.place(path)
        return os.open(name, _CREATE, mode, dir_fd=folder)

    def make_folder(self, path: bytes, mode: int = 0o700) -> None:
        """Make a folder unless there is one. Raises as `folder` does, Conflict if something else is there."""
        folder, name = self.place(path)
        try:
            os.mkdir(name, mode, dir_fd=folder)
        except FileExistsError:
            self.folder(path)

    def names(self, path: bytes) -> list[bytes]:
        """What lies in a folder. Raises as `folder` does."""
        with os.scandir(self.folder(path)) as found:
            return [os.fsencode(one.name) for one in found]

    def remove(self, path: bytes) -> None:
        """Remove what lies at a path, with all below it; nothing is no error. Symlinks go, not what they lead to."""
        status = self.status(path)
        if status is None:
            return
        if stat.S_ISDIR(status.st_mode):
            folder = self.folder(path)
            os.fchmod(folder, 0o700)
            for name in self.names(path):
                self.remove(path + b"/" + name)
            above, name = self.place(path)
            os.rmdir(name, dir_fd=above)
        else:
            above, name = self.place(path)
            os.unlink(name, dir_fd=above)

    def clear(self) -> None:
        """Remove all that lies below. Raises as `folder` does."""
        for name in self.names(b""):
            self.remove(name)

    def _open(self, path: bytes, flags: int) -> int:
        folder, name = self.place(path)
        try:
            descriptor = os.open(name, flags, dir_fd=folder)
        except OSError as error:
            raise _refusal(path, error) from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise Conflict(f"{shown(path)} is neither a file nor a folder: such things are left alone")
        return descriptor

    def _folder(self, path: bytes) -> int:
        if path == self._path:
            return self._folders[-1] if self._folders else self._root
        names = path.split(b"/") if path else []
        shared = 0
        for old, new in zip(self._names, names, strict=False):
            if old != new:
                break
            shared += 1
        self._shorten(shared)
        here = self._folders[-1] if self._folders else self._root
        for name in names[shared:]:
            try:
                here = os.open(name, _FOLDER, dir_fd=here)
            except OSError as error:
                self._path = b"/".join(self._names)
                raise _refusal(path, error) from None
            self._folders.append(here)
            self._names.append(name)
        self._path = path
        return here

    def _shorten(self, length: int) -> None:
        while len(self._folders) > length:
            os.close(self._folders.pop())
            self._names.pop()


def _refusal(path: bytes, error: OSError) -> Exception:
    """The system's error as one of our own, where it has a meaning here."""
    if error.errno == errno.ENOENT:
        return NotFound(f"{shown(path)} isn't there")
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
        return Conflict(f"{shown(path)} leads through a symlink or a file, which is not followed")
    if error.errno in (errno.ENXIO, errno.ENODEV):
        return Conflict(f"{shown(path)} is neither a file nor a folder: such things are left alone")
    if error.errno == errno.ENAMETOOLONG:
        return InvalidRequest(f"the path {shown(path)} is too long for this disk")
    return error
