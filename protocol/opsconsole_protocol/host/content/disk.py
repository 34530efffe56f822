"""The disk that is written to: its errors, its room, and who holds a folder."""

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from opsconsole_protocol.content.error import DiskFull
from opsconsole_protocol.error import Conflict

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


def hold(folder: int) -> bool:
    """Hold a folder, by its descriptor, against all who hold it too. Returns False if somebody does.

    Where the file system knows no such thing, everybody gets it.
    """
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
