"""The names of bytes: BLAKE3 hashes."""

from collections.abc import Sequence

import blake3

from opsconsole_protocol.ids import ContentId

CHUNK_BYTES = 4 << 20
"""Of a larger file every chunk is hashed by itself, so that each can be checked as it arrives, and sent alone."""
DIGEST_BYTES = 32

_LEAVES = "opsconsole 2026 the hashes of a file's chunks"
"""BLAKE3's context: the hash of a list of hashes can't be taken for the hash of a file with these bytes."""


def chunk_digest(data: bytes | bytearray | memoryview) -> bytes:
    """The hash of one chunk, and of a file that is no larger than one."""
    return blake3.blake3(data).digest()


def file_digest(leaves: Sequence[bytes]) -> bytes:
    """The hash of a file from those of its chunks, of which an empty file has one, that of no bytes."""
    if len(leaves) == 1:
        return leaves[0]
    return blake3.blake3(b"".join(leaves), derive_key_context=_LEAVES).digest()


def content_id(manifest: bytes) -> ContentId:
    """The id of the tree with this encoded manifest."""
    return ContentId(blake3.blake3(manifest).hexdigest())
