"""Who needs which trees of a store: files, so that it survives restarts."""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import blake3
import msgspec

from opsconsole_protocol.host.private_file import PrivateFileError, read_record, write_record
from opsconsole_protocol.ids import ContentId

_NAME_CHARACTERS = 32


class Pins(msgspec.Struct, frozen=True):
    """What one holder needs."""

    holder: str
    ids: list[str]


class PinFolder:
    """A file for each holder. A file that can't be read holds nothing. Any thread may use it, and only changes wait for the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writing = threading.Lock()
        self._pins: dict[str, frozenset[ContentId]] = {}
        self._held: Counter[ContentId] = Counter()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in folder.iterdir():
            with contextlib.suppress(PrivateFileError):
                pins = read_record(path, Pins, "remove it")
                if pins is not None and path == self._path(pins.holder):
                    self._pins[pins.holder] = frozenset(ContentId(one) for one in pins.ids)

    def pin(self, holder: str, content: ContentId) -> None:
        """A holder needs a tree, from now until `unpin`. Raises PrivateFileError."""
        with self._writing:
            before = self._pins.get(holder, frozenset())
            pins = before | {content}
            self._pins[holder] = pins  # before it is written: a tree that is opened afterwards isn't on its way out
            try:
                write_record(self._path(holder), Pins(holder, sorted(pins)))
            except BaseException:
                self._pins[holder] = before
                if not before:
                    del self._pins[holder]
                raise

    def unpin(self, holder: str) -> None:
        """A holder needs nothing any more."""
        with self._writing:
            self._pins.pop(holder, None)
            self._path(holder).unlink(missing_ok=True)

    @contextlib.contextmanager
    def held(self, *contents: ContentId) -> Iterator[None]:
        """Within this, trees are needed. No file says so."""
        with self._writing:
            self._held.update(contents)
        try:
            yield
        finally:
            with self._writing:
                self._held.subtract(contents)
                self._held += Counter()  # without those of which none is left

    def holders(self) -> dict[str, set[ContentId]]:
        """What each holder needs."""
        return {holder: set(pins) for holder, pins in self._pins.copy().items()}

    def is_pinned(self, content: ContentId) -> bool:
        """Whether somebody needs a tree."""
        return self._held[content] > 0 or any(content in pins for pins in self._pins.copy().values())

    def _path(self, holder: str) -> Path:
        name = blake3.blake3(holder.encode()).hexdigest()[:_NAME_CHARACTERS]
        return self._folder / name
