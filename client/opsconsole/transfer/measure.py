"""How much a file or folder is that isn't hashed yet: counted as its manifest will count it."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from opsconsole.transfer.local_source import existing

if TYPE_CHECKING:
    from opsconsole_protocol.host.content.hash_cache import HashCache


class Measure(NamedTuple):
    """How many files of how many bytes there are, and how many bytes of them would have to be read to hash them."""

    files: int
    size_bytes: int
    unread_bytes: int
    is_whole: bool = True
    """Whether all was counted: it may be too much for that."""


def measure(path: Path, cache: HashCache, files_max: int, *, paths: Sequence[bytes] | None = None) -> Measure:
    """Count a file or what lies in a folder, until it is more than `files_max`; `paths`: only these of the folder's.

    Blocks. Raises as `LocalSource` does for what can't be sent.
    """
    from opsconsole_protocol.host.content.hash_cache import signature
    from opsconsole_protocol.host.content.scan import listed

    real = existing(path)
    found = listed(real, paths=paths) if real.is_dir() else iter([(b"", real.stat())])
    files = size_bytes = unread_bytes = 0
    for _, status in found:
        if not stat.S_ISREG(status.st_mode):
            continue
        if files == files_max:
            return Measure(files, size_bytes, unread_bytes, is_whole=False)
        files += 1
        size_bytes += status.st_size
        if cache.leaves(signature(status)) is None:
            unread_bytes += status.st_size
    return Measure(files, size_bytes, unread_bytes)
