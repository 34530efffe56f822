"""Puts files into a folder of a person, and touches nothing that is there already."""

import itertools
import threading
from pathlib import Path

from msgspec.structs import replace

from opsconsole_protocol.content.manifest import Entry, EntryKind, Manifest
from opsconsole_protocol.host.content.sink import PlacingSink
from opsconsole_protocol.input_name import NAME_BYTES_MAX


class SparingSink(PlacingSink):
    """As PlacingSink, but what differs from what is there isn't refused: `spared` says by path what became of it.

    With a `mark`, a file comes beside the one that is there: `line.json` as `line.MARK.json`. `spared` has its path then, and
    None for what doesn't come.
    """

    def __init__(
        self,
        manifest: Manifest,
        root: Path,
        folder: bytes,
        *,
        mark: bytes = b"",
        cancel: threading.Event | None = None,
    ) -> None:
        """Raises as PlacingSink does."""
        self.spared: dict[bytes, bytes | None] = {}
        self._mark = mark
        self._closed: tuple[bytes, ...] = ()
        """Folders of the tree in whose place something else is, each with a slash."""
        super().__init__(manifest, root, folder, replace=False, cancel=cancel)

    def is_spared(self, entry: Entry, why: str) -> bool:
        """Whether what is there stays and the entry needn't come, or not any more."""
        del why
        if entry.kind is EntryKind.FOLDER:
            self._closed += (entry.path + b"/",)
            return True
        self.spared[entry.path] = None
        if not self._mark:
            return True
        for path in _beside(entry.path, self._mark):
            status = self._beneath.status(path)
            if status is None or self._is_same(replace(entry, path=path), status):
                self.spared[entry.path] = path
                return status is not None
        return True

    def place_of(self, entry: Entry) -> bytes:
        """Where an entry that has come is put."""
        return self.spared.get(entry.path) or entry.path

    def _is_present(self, entry: Entry) -> bool:
        if entry.path.startswith(self._closed):
            if entry.kind is not EntryKind.FOLDER:
                self.spared[entry.path] = None
            return True
        return super()._is_present(entry)


def _beside(path: bytes, mark: bytes) -> "itertools.chain[bytes]":
    """Names for a file beside the one that has its name."""
    above, slash, name = path.rpartition(b"/")
    stem, dot, end = name.rpartition(b".")
    if not stem:
        stem, dot, end = name, b"", b""
    ends = itertools.chain((b"",), (b".%d" % number for number in range(2, 100)))
    return itertools.chain(
        above + slash + stem[: NAME_BYTES_MAX - len(tail)] + tail
        for tail in (b"." + mark + one + dot + end for one in ends)
    )
