"""Files in the agent's state folder, opened so that a task with the agent's rights can't make us hang or stray.

A task that runs as the agent's user can put anything in the place of any of these files: a fifo, a link to /dev/zero, a
folder, a file of terabytes. So nothing in that folder is opened but through here: never through a link, never waiting
for anybody, only plain files of our own, and never more of one than it can honestly hold. What is something else is
damaged: it is set aside under another name, for a person to look at, and work goes on with a new one.

The keeper uses this too, so there is nothing but the standard library in here, and no pathlib.
"""

# ruff: noqa: PTH102, PTH103, PTH104, PTH108

import errno
import os
import stat
import time

DAMAGED = ".damaged-"
"""In the name of what was set aside."""
_SMALL_BYTES = 64 * 1024
_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_KINDS = {
    stat.S_IFIFO: "a fifo",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_NOT_OURS = frozenset({errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENOTDIR, errno.EACCES, errno.EPERM})
"""What an open says of something that isn't a plain file which we may use."""


class DamagedFile(OSError):
    """Something stands in the place of a file of ours that can't be it; `strerror` says what in a few words."""


def open_file(path: str, flags: int = os.O_RDONLY, *, most: int | None = None) -> int:
    """A descriptor of a plain file of our own, made with mode 0600 under O_CREAT.

    Raises DamagedFile where something else is there or where it is larger than `most`, else OSError.
    """
    try:
        descriptor = os.open(path, flags | _SAFELY, 0o600)
    except OSError as error:
        if error.errno in _NOT_OURS and (why := _oddity(path, error)):
            raise DamagedFile(error.errno, why, path) from None
        raise
    try:
        found = os.fstat(descriptor)
        why = _fault(found, most)
        if why:
            raise DamagedFile(errno.EINVAL, why, path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def read_file(path: str, most: int = _SMALL_BYTES) -> bytes:
    """All of it; raises DamagedFile where that would be more than `most` bytes, else as `open_file`."""
    descriptor = open_file(path, most=most)
    try:
        content = b""
        while chunk := os.read(descriptor, most + 1 - len(content)):
            content += chunk
            if len(content) > most:
                raise DamagedFile(errno.EFBIG, f"is larger than {most:,} bytes", path)
        return content
    finally:
        os.close(descriptor)


def read_end(path: str, most: int) -> bytes:
    """Its last bytes, at most so many; raises as `open_file`."""
    descriptor = open_file(path)
    try:
        return os.pread(descriptor, most, max(0, os.fstat(descriptor).st_size - most))
    finally:
        os.close(descriptor)


def write_new(path: str, data: bytes) -> None:
    """Make a file that isn't there yet, with all of this or not at all; raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFELY, 0o600)
    try:
        write_all(descriptor, data)
    except OSError:
        os.unlink(path)
        raise
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """In one call: a part of such a file is worth nothing."""
    if os.write(descriptor, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def replace_file(path: str, data: bytes) -> None:
    """Put this in its place in one rename, whatever stands there; raises OSError, and then what was there still is."""
    fresh = f"{path}.new"
    clear(fresh)
    write_new(fresh, data)
    put_in_place(fresh, path)


def put_in_place(fresh: str, path: str) -> None:
    """Rename a file over another, or over whatever stands there."""
    try:
        os.rename(fresh, path)
    except IsADirectoryError:
        set_aside(path)
        os.rename(fresh, path)


def open_or_renew(path: str, flags: int, *, most: int | None = None) -> tuple[int, str]:
    """A descriptor of the file, made if there is none, and what was set aside to make it, in words ("" for nothing)."""
    try:
        return open_file(path, flags | os.O_CREAT, most=most), ""
    except DamagedFile as damage:
        aside = set_aside(path)
        words = f"{path} {damage.strerror}: it was set aside as {aside}"
    return open_file(path, flags | os.O_CREAT), words


def clear(path: str) -> None:
    """Make room for a new file or socket; raises OSError. A folder in its place is set aside."""
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except (IsADirectoryError, PermissionError):
        set_aside(path)


def set_aside(path: str) -> str:
    """Give it another name, which is returned; raises OSError."""
    aside = f"{path}{DAMAGED}{time.time_ns():x}"
    os.rename(path, aside)
    return aside


def is_folder(path: str) -> bool:
    """Whether this is a folder of our own."""
    try:
        return not _fault(os.lstat(path), None, kind=stat.S_IFDIR)
    except OSError:
        return False


def make_folder(path: str) -> str:
    """Make sure that this is a folder of our own, not a link to one; what was set aside for it, in words.

    Raises OSError. Folders above it are made, too.
    """
    try:
        os.makedirs(path, mode=0o700)
    except FileExistsError:
        why = _fault(os.lstat(path), None, kind=stat.S_IFDIR)
        if not why:
            return ""
        aside = set_aside(path)
        os.mkdir(path, 0o700)
        return f"{path} {why}: it was set aside as {aside}"
    return ""


def _oddity(path: str, error: OSError) -> str:
    """Why this can't be our file; empty where it is one, or isn't there, and the error is another matter."""
    try:
        found = os.lstat(path)
    except OSError:
        return ""
    why = _fault(found, None)
    if not why and error.errno in {errno.EACCES, errno.EPERM} and found.st_uid == os.geteuid():
        return f"may not be opened by its own owner (mode {stat.S_IMODE(found.st_mode):04o})"
    return why


def _fault(found: os.stat_result, most: int | None, *, kind: int = stat.S_IFREG) -> str:
    if stat.S_IFMT(found.st_mode) != kind:
        wanted = "file" if kind == stat.S_IFREG else "folder"
        return f"is {_KINDS.get(stat.S_IFMT(found.st_mode), 'a file')}, not a {wanted}"
    if found.st_uid != os.geteuid():
        return f"belongs to user {found.st_uid}"
    if most is not None and found.st_size > most:
        return f"is larger than {most:,} bytes"
    return ""
