"""Keeps the data folder from other users: it holds hashes, what people submitted and what their tasks printed."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

PUBLIC = Path("tls", "cert.pem")
_OTHERS = 0o077


def restrict(folder: Path, store: Path) -> str:
    """Take all rights on the folder from group and others. Returns a warning where that can't be done, else an empty text.

    Where the folder itself was closed to them, only the store's files in it are looked at, since those get copied. Raises
    OSError where not even the folder can be looked at.
    """
    status = folder.stat()
    is_shared = bool(status.st_mode & stat.S_ISVTX)
    was_open = bool(status.st_mode & _OTHERS) and not is_shared
    try:
        if was_open:
            folder.chmod(stat.S_IMODE(status.st_mode) & ~_OTHERS)
        for path in _files(folder) if was_open else _store_files(store):
            _restrict_one(path)
    except OSError as error:
        if error.errno == errno.EROFS:
            return ""  # that is the store's to tell, which can't go on
        if not isinstance(error, PermissionError):
            raise
        return f"{error.filename} belongs to another user and stays readable for others: give it to {os.geteuid()}"
    if is_shared:
        return f"{folder} is a folder for everybody: others may look what it holds; choose another --data-dir"
    return ""


def make_private(path: Path) -> None:
    """Make an empty file with mode 0600 unless there is one: what SQLite puts beside it gets the same mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        if error.errno != errno.EROFS:
            raise  # a disk that can't be written to is the store's to tell


def _store_files(store: Path) -> list[Path]:
    return [store.with_name(store.name + ending) for ending in ("", "-wal", "-shm", "-journal")]


def _files(folder: Path) -> Iterator[Path]:
    """All paths below the folder; links aren't followed."""
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            if path.relative_to(folder) != PUBLIC:
                yield path


def _restrict_one(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
        if mode & _OTHERS and (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            path.chmod(stat.S_IMODE(mode) & ~_OTHERS)
    except FileNotFoundError:
        return  # SQLite's come and go
