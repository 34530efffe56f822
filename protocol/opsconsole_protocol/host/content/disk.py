"""The disk that is written to: its errors, its room, and who holds a folder."""

import fcntl
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import gethostname

from opsconsole_protocol.content.error import DiskFull
from opsconsole_protocol.content.path import shown
from opsconsole_protocol.error import Conflict
from opsconsole_protocol.host.private_file import FULL_DISK, PrivateFileFull

KEPT_FREE_BYTES = 16 << 20
"""How much room a transfer leaves on a disk."""


def disk_words(place: int | Path) -> str:
    """`the disk of gpu-a at /home`: where the disk is mounted that has a folder, by its descriptor or a path that needn't be there yet."""
    host = gethostname()
    try:
        path = _path_of(place) if isinstance(place, int) else place.absolute()
        while not path.exists():
            path = path.parent
        device = path.stat().st_dev
        while path.parent.stat().st_dev == device and path != path.parent:
            path = path.parent
    except OSError:
        return f"the receiving disk of {host}"
    return f"the disk of {host} at {shown(os.fsencode(path))}"


def _path_of(folder: int) -> Path:
    """Raises OSError."""
    if sys.platform == "darwin":
        return Path(os.fsdecode(fcntl.fcntl(folder, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0")))
    return Path(f"/proc/self/fd/{folder}").readlink()


@contextmanager
def on_disk(place: int | Path) -> Iterator[None]:
    """Errors of the disk that has a folder, which is written to, in one line each."""
    full = "is full: make room there; what has arrived stays for the next try"
    try:
        yield
    except PrivateFileFull:
        raise DiskFull(f"{disk_words(place)} {full}") from None
    except OSError as error:
        if error.errno in FULL_DISK:
            raise DiskFull(f"{disk_words(place)} {full}") from None
        raise Conflict(
            f"the receiving end can't write ({error.strerror}): check the folder's owner, mode and disk"
        ) from None


def sync_disk(folder: int) -> None:
    """Let all that was written to the disk of a folder, by its descriptor, survive a crash of the machine. Raises OSError.

    Other disks aren't waited for, and an error of this one is told, which `os.sync` does not.
    """
    import ctypes  # here: an idle agent doesn't need it

    system = ctypes.CDLL(None, use_errno=True)
    if not hasattr(system, "syncfs"):
        os.sync()
    elif system.syncfs(folder) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class EarlySync:
    """Lets a disk write what has arrived while more comes, in a thread of its own, so that less is left to wait for in the end."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: OSError | None = None

    def begin(self, sync: Callable[[int], None], descriptor: int) -> bool:
        """Call `sync` with a descriptor of the same file or folder, which may be closed meanwhile. False if the last call goes on."""
        if self._thread is not None and self._thread.is_alive():
            return False
        self._thread = threading.Thread(target=self._run, args=(sync, os.dup(descriptor)), name="sync", daemon=True)
        self._thread.start()
        return True

    def end(self) -> None:
        """Wait until nothing goes on. Raises the OSError with which something failed: the system tells of each only once."""
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self, sync: Callable[[int], None], descriptor: int) -> None:
        try:
            sync(descriptor)
        except OSError as error:
            self._error = self._error or error
        finally:
            os.close(descriptor)


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
