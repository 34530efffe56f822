"""Small files that only their owner may read: tokens, credentials, keys. Coordinator, agent and client all have some."""

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path
from typing import TypeVar

from opsconsole_protocol.error import OpsconsoleError

_SIZE_MAX = 64 * 1024
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
"""How the system says that there is no room."""

T = TypeVar("T")


class PrivateFileError(OpsconsoleError):
    """A private file that can't be used as it is."""

    code = "private_file"


class PrivateFileFull(PrivateFileError):
    """A private file for which its disk has no room."""


def write_private(path: Path, text: str) -> None:
    """Write `text` so that the file holds all of it or doesn't change, with mode 0600 from its first moment.

    Missing folders are made, for the owner alone. Raises PrivateFileError.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            _write_new(temporary, text)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        kind = PrivateFileFull if error.errno in FULL_DISK else PrivateFileError
        raise kind(f"{path} can't be written ({error.strerror}): check the folder's owner and free space") from None


def read_private(path: Path) -> str | None:
    """The text of a private file, or None if there is no such file.

    Raises PrivateFileError if it can't be read, isn't text, or is readable by group or others: a secret that others
    could read is no secret any more, and going on would hide that.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PrivateFileError(f"{path} can't be read ({error.strerror}): check its owner and mode") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise PrivateFileError(f"{path} is not a file: move it away")
        check_mode(path, status.st_mode)
        return os.read(descriptor, _SIZE_MAX).decode()
    except UnicodeDecodeError:
        raise PrivateFileError(f"{path} is not text: restore it from a backup, or remove it") from None
    finally:
        os.close(descriptor)


def read_record(path: Path, kind: type[T], remedy: str) -> T | None:
    """A private file of JSON as a value of that kind, or None if there is no such file.

    Raises PrivateFileError as `read_private` does, and with `remedy` where the file is damaged.
    """
    import msgspec

    text = read_private(path)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, RecursionError):
        raise PrivateFileError(f"{path} is damaged: {remedy}") from None


def write_record(path: Path, value: object) -> None:
    """Write a value as JSON that `read_record` reads back. Raises PrivateFileError."""
    import msgspec

    write_private(path, msgspec.json.encode(value).decode() + "\n")


def check_mode(path: Path, mode: int) -> None:
    """Raise PrivateFileError if `mode` lets group or others read or write."""
    if mode & 0o077:
        raise PrivateFileError(
            f"{path} holds a secret and others may read it (mode {stat.S_IMODE(mode):04o}): "
            f"run `chmod 600 {path}`, and replace the secret if others use this machine"
        )


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a crash of the machine, as far as the file system can. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # some network file systems can't; the rename itself has happened
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_new(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)  # a restrictive umask may have taken the owner's bits
        file.write(text)
        file.flush()
        os.fsync(descriptor)
