"""Files in the agent's state folder, opened so that a task with the agent's rights can't make us hang or read elsewhere.

A task that runs as the agent's user can put anything in the place of any of these files: a fifo, a link to /dev/zero, a
folder, a file of terabytes. So all files in that folder are opened by these functions: never through a link, never
waiting, only plain files of our own, and no more of one than it can rightly hold. Whatever is something else counts as
damaged: it gets another name, for a person to look at, and work goes on with a new file.

The keeper uses this, too, so it imports the standard library only, and not pathlib.
"""

# ruff: noqa: PTH102, PTH103, PTH104, PTH108

import errno
import os
import stat
import time

DAMAGED = ".damaged-"
"""The part of a name that a file has once it was set aside."""
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
"""What an open fails with when something is no plain file, or none that we may use."""


class DamagedFile(OSError):
    """Raised where something stands in the place of a file of ours that can't be it; `strerror` says what it is."""


def open_file(path: str, flags: int = os.O_RDONLY, *, most: int | None = None) -> int:
    """Open a plain file of our own; O_CREAT makes it with mode 0600. Return its descriptor.

    Raises DamagedFile where something else is there, or the file is larger than `most` bytes; else OSError.
    """
    try:
        descriptor = os.open(path, flags | _SAFELY, 0o600)
    except OSError as error:
        if error.errno in _NOT_OURS and (why := _explain(path, error)):
            raise DamagedFile(error.errno, why, path) from None
        raise
    try:
        found = os.fstat(descriptor)
        why = _mismatch(found, most)
        if why:
            raise DamagedFile(errno.EINVAL, why, path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def read_file(path: str, most: int = _SMALL_BYTES) -> bytes:
    """Return all of a file. Raises DamagedFile where that would be more than `most` bytes, else as `open_file`."""
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
    """Return the last bytes of a file, at most `most`. Raises as `open_file`."""
    descriptor = open_file(path)
    try:
        return os.pread(descriptor, most, max(0, os.fstat(descriptor).st_size - most))
    finally:
        os.close(descriptor)


def write_new(path: str, data: bytes) -> None:
    """Make a file that isn't there yet, with all of `data` or not at all. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFELY, 0o600)
    try:
        write_all(descriptor, data)
    except OSError:
        os.unlink(path)
        raise
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write `data` in one call. Raises OSError also when only a part was written."""
    if os.write(descriptor, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def replace_file(path: str, data: bytes) -> None:
    """Replace a file, or whatever stands in its place, in one rename. On OSError the old file stays."""
    fresh = f"{path}.new"
    clear(fresh)
    write_new(fresh, data)
    put_in_place(fresh, path)


def put_in_place(fresh: str, path: str) -> None:
    """Rename the file `fresh` to `path`, whatever stands there. Raises OSError."""
    try:
        os.rename(fresh, path)
    except IsADirectoryError:
        set_aside(path)
        os.rename(fresh, path)


def open_or_renew(path: str, flags: int, *, most: int | None = None) -> tuple[int, str]:
    """Open a file, and make it if there is none. Return its descriptor, and in words what was set aside, else ""."""
    try:
        return open_file(path, flags | os.O_CREAT, most=most), ""
    except DamagedFile as damage:
        aside = set_aside(path)
        words = f"{path} {damage.strerror}: it was set aside as {aside}"
    return open_file(path, flags | os.O_CREAT), words


def clear(path: str) -> None:
    """Remove a file or socket, if there is one; set aside a folder. Raises OSError."""
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except (IsADirectoryError, PermissionError):
        set_aside(path)


def set_aside(path: str) -> str:
    """Give a file another name, and return that. Raises OSError."""
    aside = f"{path}{DAMAGED}{time.time_ns():x}"
    os.rename(path, aside)
    return aside


def is_folder(path: str) -> bool:
    """Whether this is a folder of our own."""
    try:
        return not _mismatch(os.lstat(path), None, kind=stat.S_IFDIR)
    except OSError:
        return False


def make_folder(path: str) -> str:
    """Make sure that this is a folder of our own, not a link to one. Return in words what was set aside, else "".

    Folders above it are made, too. Raises OSError.
    """
    try:
        os.makedirs(path, mode=0o700)
    except FileExistsError:
        why = _mismatch(os.lstat(path), None, kind=stat.S_IFDIR)
        if not why:
            return ""
        aside = set_aside(path)
        os.mkdir(path, 0o700)
        return f"{path} {why}: it was set aside as {aside}"
    return ""


def _explain(path: str, error: OSError) -> str:
    """Say why this can't be our file; "" where it is one or isn't there, and so isn't the reason of the error."""
    try:
        found = os.lstat(path)
    except OSError:
        return ""
    why = _mismatch(found, None)
    if not why and error.errno in {errno.EACCES, errno.EPERM} and found.st_uid == os.geteuid():
        return f"may not be opened by its own owner (mode {stat.S_IMODE(found.st_mode):04o})"
    return why


def _mismatch(found: os.stat_result, most: int | None, *, kind: int = stat.S_IFREG) -> str:
    """Say what is wrong with a file or folder for one of ours; "" for nothing."""
    if stat.S_IFMT(found.st_mode) != kind:
        wanted = "file" if kind == stat.S_IFREG else "folder"
        return f"is {_KINDS.get(stat.S_IFMT(found.st_mode), 'a file')}, not a {wanted}"
    if found.st_uid != os.geteuid():
        return f"belongs to user {found.st_uid}"
    if most is not None and found.st_size > most:
        return f"is larger than {most:,} bytes"
    return ""
