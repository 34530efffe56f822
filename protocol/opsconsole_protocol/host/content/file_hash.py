"""Hash files that may be large and may have holes."""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from opsconsole_protocol.content.digest import CHUNK_BYTES, chunk_digest
from opsconsole_protocol.content.round import zero_digest
from opsconsole_protocol.stream.error import StreamCancelled

_THREADS = min(4, (os.cpu_count() or 1) // 2)
"""Reading and hashing let go of the interpreter's lock; more threads than this wait for memory."""
_CHUNKS_FOR_THREADS = 8
"""For fewer chunks threads cost more than they bring."""


def read_exactly(descriptor: int, view: memoryview, offset: int) -> int:
    """Fill `view` from an offset of a file. Returns how many bytes there were, fewer at the file's end. Raises OSError."""
    have = os.preadv(descriptor, [view], offset) if view else 0
    while 0 < have < len(view):
        count = os.preadv(descriptor, [view[have:]], offset + have)
        if count == 0:
            break
        have += count
    return have


def write_all(descriptor: int, data: memoryview, offset: int) -> None:
    """Write all of `data` at an offset of a file. Raises OSError."""
    done = os.pwrite(descriptor, data, offset) if data else 0
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

    `progress` is told, in this thread, of the bytes of each chunk. Raises OSError, and StreamCancelled.
    """
    sizes = [min(CHUNK_BYTES, size - start) for start in range(0, max(size, 1), CHUNK_BYTES)]
    leaves: list[bytes] = []
    for leaf, length in zip(_leaves(descriptor, sizes, buffer), sizes, strict=True):
        if cancel is not None and cancel.is_set():
            raise StreamCancelled("cancelled")
        leaves.append(leaf)
        if progress is not None:
            progress(length)
    return leaves


def _leaves(descriptor: int, sizes: list[int], buffer: bytearray | None) -> Iterator[bytes]:
    if len(sizes) < _CHUNKS_FOR_THREADS or _THREADS < 2:
        view = memoryview(bytearray(sizes[0]) if buffer is None else buffer)
        for number, length in enumerate(sizes):
            yield _leaf(descriptor, number, view[:length])
        return
    views = [memoryview(bytearray(CHUNK_BYTES)) for _ in range(_THREADS)]
    with ThreadPoolExecutor(_THREADS, "hash") as threads:
        for first in range(0, len(sizes), _THREADS):
            some = enumerate(sizes[first : first + _THREADS])
            yield from threads.map(
                lambda one, first=first: _leaf(descriptor, first + one[0], views[one[0]][: one[1]]),
                some,
            )


def _leaf(descriptor: int, number: int, view: memoryview) -> bytes:
    """The hash of one chunk. `view`: where it is read to, as long as it should be."""
    start = number * CHUNK_BYTES
    if len(view) == CHUNK_BYTES and is_hole(descriptor, start, start + CHUNK_BYTES):
        return zero_digest(CHUNK_BYTES)
    return chunk_digest(view[: read_exactly(descriptor, view, start)])
