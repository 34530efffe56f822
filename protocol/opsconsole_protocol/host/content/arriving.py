"""What sinks do with incoming folders: where they lie, which others there are, and how files leave them."""

import errno
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from opsconsole_protocol.content.manifest import Manifest
from opsconsole_protocol.content.path import check_path
from opsconsole_protocol.error import Conflict, OpsconsoleError
from opsconsole_protocol.host.content.beneath import Beneath
from opsconsole_protocol.host.content.disk import hold
from opsconsole_protocol.host.content.incoming import Incoming

INCOMING_PREFIX = b".opsconsole-incoming-"
ABANDONED_S = 7 * 24 * 3600
"""What has lain in an incoming folder for this long isn't waited for any more."""
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class Arriving:
    """What both sinks do the same way: files arrive in an incoming folder."""

    def __init__(self, incoming: Incoming) -> None:
        self.incoming = incoming

    @property
    def manifest(self) -> Manifest:
        """What arrives."""
        return self.incoming.manifest

    def wanted_chunks(self, index: int, leaves: list[bytes]) -> list[int]:
        """The numbers of the chunks of a large file that are lacking. Raises DiskFull or Conflict."""
        return self.incoming.lacking_chunks(index, leaves)

    def write_chunk(self, index: int, number: int, data: memoryview) -> None:
        """Keep a chunk of a large file. Raises DiskFull or Conflict."""
        self.incoming.write_chunk(index, number, data)

    def write_files(self, indexes: Sequence[int], data: memoryview) -> None:
        """Keep small files, whose bytes follow one another. Raises DiskFull or Conflict."""
        self.incoming.write_files(indexes, data)


def check_place(incoming: Incoming, place: os.stat_result | None) -> None:
    """Raise Conflict if somebody has finished with an incoming folder while we waited to hold it."""
    if place is None or place.st_ino != os.fstat(incoming.beneath.root).st_ino:
        raise Conflict("the same files have only just been received there")


def made_below(top: Beneath, folder: bytes) -> Beneath:
    """A folder below, which is made if need be."""
    if folder:
        check_path(folder)
    parts = folder.split(b"/") if folder else []
    for place in range(len(parts)):
        top.make_folder(b"/".join(parts[: place + 1]), 0o777)
    return top.below(folder)


@contextmanager
def stopped_beside(beneath: Beneath, own: bytes) -> Iterator[list[Beneath]]:
    """Where other trees have stopped arriving in the folder. What stopped long ago is removed."""
    others: list[Beneath] = []
    try:
        for name in beneath.names(b""):
            if not name.startswith(INCOMING_PREFIX) or name == own:
                continue
            with suppress(OpsconsoleError, OSError):
                other = beneath.below(name)
                others.append(other)
                if not hold(other.root):
                    others.pop().close()
                elif os.fstat(other.root).st_mtime < time.time() - ABANDONED_S:
                    other.clear()
                    others.pop().close()
                    beneath.remove(name)
        yield others
    finally:
        for one in others:
            one.close()


def move_new(name: bytes, here: int, there: int, new_name: bytes) -> None:
    """Move a file from one folder to another, unless that has something of the new name. Raises FileExistsError or OSError."""
    try:
        os.link(name, new_name, src_dir_fd=here, dst_dir_fd=there, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    else:
        os.unlink(name, dir_fd=here)
        return
    # This disk has no second names: what comes there between the look and the rename would be replaced.
    try:
        os.stat(new_name, dir_fd=there, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(name, new_name, src_dir_fd=here, dst_dir_fd=there)
    else:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
