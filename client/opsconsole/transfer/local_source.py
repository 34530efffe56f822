"""Files and folders of this machine as one tree that can be sent: hashed once, read again when they are sent."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from opsconsole.transfer.user_folder import cache_folder
from opsconsole_protocol.content.manifest import Entry, EntryKind, Manifest
from opsconsole_protocol.content.path import shown
from opsconsole_protocol.error import InvalidRequest, NotFound

if TYPE_CHECKING:
    from opsconsole_protocol.host.content.hash_cache import HashCache
    from opsconsole_protocol.host.content.source import FolderSource

OnBytes = Callable[[int, int], None]
_ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class LocalSource:
    """A tree of this machine's files, as it was when it was looked at."""

    manifest: Manifest
    source: FolderSource

    @classmethod
    @contextmanager
    def of(
        cls, paths: Sequence[Path], *, progress: OnBytes | None = None, cancel: threading.Event | None = None
    ) -> Iterator[LocalSource]:
        """Several files and folders, each under its own name. Raises OpsconsoleError."""
        with hash_cache() as cache:
            entries: list[Entry] = []
            names: dict[bytes, bytes] = {}
            tops: dict[bytes, Path] = {}
            for path in paths:
                real = existing(path)
                top = os.fsencode(Path(os.path.abspath(path)).name)  # noqa: PTH100 - without following links
                if top in tops:
                    raise InvalidRequest(
                        f"{shown(os.fsencode(tops[top]))} and {shown(os.fsencode(path))} have the same name: put them one after the other"
                    )
                tops[top] = path
                counted = _after(entries, progress)
                for entry, whole in _looked_at(real, top, cache, counted, cancel):
                    entries.append(entry)
                    names[entry.path] = whole
            yield from _opened(cls, _ROOT, Manifest.make(entries), names, cache)

    @classmethod
    @contextmanager
    def of_one(
        cls,
        path: Path,
        name: str,
        *,
        progress: OnBytes | None = None,
        cancel: threading.Event | None = None,
    ) -> Iterator[LocalSource]:
        """A file, as a tree with one entry of this name, or what lies in a folder. Raises OpsconsoleError."""
        from opsconsole_protocol.host.content.scan import scan, scan_file

        real = existing(path)
        with hash_cache() as cache:
            if real.is_dir():
                manifest = scan(real, cache=cache, progress=progress, cancel=cancel)
                yield from _opened(cls, real, manifest, {}, cache)
            else:
                own = os.fsencode(name)
                manifest = scan_file(real, own, cache=cache, progress=progress, cancel=cancel)
                yield from _opened(cls, real.parent, manifest, {own: os.fsencode(real.name)}, cache)

    @classmethod
    @contextmanager
    def of_some(
        cls,
        folder: Path,
        paths: Sequence[bytes],
        *,
        progress: OnBytes | None = None,
        cancel: threading.Event | None = None,
    ) -> Iterator[LocalSource]:
        """Some of the files below a folder. Raises OpsconsoleError."""
        from opsconsole_protocol.host.content.scan import scan

        real = existing(folder)
        with hash_cache() as cache:
            manifest = scan(real, paths=paths, cache=cache, progress=progress, cancel=cancel)
            yield from _opened(cls, real, manifest, {}, cache)


def existing(path: Path) -> Path:
    """The path with every link followed, since a person has named it. Raises NotFound."""
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise NotFound(f"there is no file or folder {shown(os.fsencode(path))} here") from None


@contextmanager
def hash_cache() -> Iterator[HashCache]:
    """The hashes of this person's files that were seen before."""
    from opsconsole_protocol.host.content.hash_cache import HashCache

    cache = HashCache(cache_folder() / "hashes.db")
    try:
        yield cache
    finally:
        cache.close()


def _opened(
    kind: type[LocalSource], root: Path, manifest: Manifest, names: dict[bytes, bytes], cache: HashCache
) -> Iterator[LocalSource]:
    from opsconsole_protocol.host.content.source import FolderSource

    source = FolderSource(root, manifest, names=names, cache=cache)
    try:
        yield kind(manifest, source)
    finally:
        source.close()


def _looked_at(
    real: Path, top: bytes, cache: HashCache, progress: OnBytes | None, cancel: threading.Event | None
) -> Iterator[tuple[Entry, bytes]]:
    """The entries of a file or folder that is to be called `top`, each with where it is below `/`."""
    from opsconsole_protocol.host.content.scan import scan_below, scan_file

    whole = os.fsencode(real).lstrip(b"/")
    if not real.is_dir():
        for entry in scan_file(real, top, cache=cache, progress=progress, cancel=cancel).entries:
            yield entry, whole
        return
    yield Entry(top, EntryKind.FOLDER, real.stat().st_mode & 0o777), whole
    for entry in scan_below(real, cache=cache, progress=progress, cancel=cancel):
        yield replace(entry, path=top + b"/" + entry.path), whole + b"/" + entry.path


def _after(entries: Sequence[Entry], progress: OnBytes | None) -> OnBytes | None:
    """Progress that counts on from what has been looked at."""
    if progress is None:
        return None
    before = sum(entry.size for entry in entries)
    return lambda done, total: progress(before + done, before + total)
