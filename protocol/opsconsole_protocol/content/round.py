"""In which order files travel. Both ends know it from the manifest and from what is wanted, so that it needn't be said.

Large files come first, in rounds, small ones after them in batches.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from opsconsole_protocol.content.digest import CHUNK_BYTES, chunk_digest
from opsconsole_protocol.content.manifest import Entry, EntryKind

ROUND_CHUNKS = 1 << 15
"""Of the files of one round together, unless it is one file: what both ends remember at a time."""
BATCH_FILES_MAX = 2_000
ACK_EVERY = 4
"""How many frames of files are acknowledged together."""
AHEAD_MAX = 16
"""How many frames of files may be on the way unacknowledged: 64 MiB, and all that is in vain once the receiver has failed."""


@lru_cache(maxsize=64)
def zero_digest(size: int) -> bytes:
    """The hash of `size` bytes, at most a chunk, that are all zero."""
    return chunk_digest(bytes(size))


def chunk_size(entry: Entry, number: int) -> int:
    """The bytes of one chunk of a file."""
    return min(CHUNK_BYTES, entry.size - number * CHUNK_BYTES)


def may_be_wanted(entry: Entry) -> bool:
    """Whether an entry has bytes that could be lacking."""
    return entry.kind is EntryKind.FILE and entry.size > 0


def rounds(entries: Sequence[Entry], wanted: Sequence[int]) -> Iterator[list[int]]:
    """The large ones among the wanted entries (by index), in rounds."""
    one: list[int] = []
    chunks = 0
    for index in wanted:
        entry = entries[index]
        if not entry.is_large:
            continue
        if one and chunks + entry.chunks > ROUND_CHUNKS:
            yield one
            one, chunks = [], 0
        one.append(index)
        chunks += entry.chunks
    if one:
        yield one


def batches(entries: Sequence[Entry], wanted: Sequence[int]) -> Iterator[list[int]]:
    """The small ones among the wanted entries (by index), in batches."""
    one: list[int] = []
    size = 0
    for index in wanted:
        entry = entries[index]
        if entry.is_large:
            continue
        if one and (size + entry.size > CHUNK_BYTES or len(one) == BATCH_FILES_MAX):
            yield one
            one, size = [], 0
        one.append(index)
        size += entry.size
    if one:
        yield one
