"""Hash files that may be large and may have holes."""

import errno
import os
import threading
from collections.abc import Callable

from opsconsole_protocol.content.digest import CHUNK_BYTES, chunk_digest
from opsconsole_protocol.content.round import zero_digest
from opsconsole_protocol.stream.error import StreamCancelled


def read_exactly(descriptor: int, view: memoryview, offset: int) -> int:
    """Fill `view` from an offset of a file. Returns how many bytes there were, fewer at the file's end. Raises OSError."""
    have = 0
    while have < len(view):
        count = os.preadv(descriptor, [view[have:]], offset + have)
        if count == 0:
            break
        have += count
    return have


def write_all(descriptor: int, data: memoryview, offset: int) -> None:
    """Write all of `data` at an offset of a file. Raises OSError."""
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset + done)


def is_hole(descriptor: int, start: int, end: int) -> bool:
    """Whether a file has nothing but a hole between two offsets, as far as its file system tells."""
    try:
        return os.lseek(descriptor, start, os.SEEK_DATA) >= end
    except OSError as error:
        return error.errno == errno.ENXIO  # no data up to the file's end


def leaves_of(
    descriptor: int,
    size: int,
    *,
    buffer: bytearray | None = None,
    cancel: threading.Event | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[bytes]:
    """The hashes of a file's chunks as it is now. A file that became shorter has fewer bytes in its last chunks.

    `progress` is called with the bytes of each chunk. Raises OSError, and StreamCancelled.
    """
    view = memoryview(bytearray(min(size, CHUNK_BYTES)) if buffer is None else buffer)
    leaves: list[bytes] = []
    for start in range(0, max(size, 1), CHUNK_BYTES):
        if cancel is not None and cancel.is_set():
            raise StreamCancelled("cancelled")
        length = min(CHUNK_BYTES, size - start)
        if length == CHUNK_BYTES and is_hole(descriptor, start, start + length):
            leaves.append(zero_digest(length))
        else:
            leaves.append(chunk_digest(view[: read_exactly(descriptor, view[:length], start)]))
        if progress is not None:
            progress(length)
    return leaves
