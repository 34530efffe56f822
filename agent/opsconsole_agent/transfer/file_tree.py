"""Files of this worker as somebody else asks for them: a manifest of what is meant, and where its bytes are."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from opsconsole_protocol.content.glob import as_shown, check_glob, matches, may_lead
from opsconsole_protocol.content.manifest import Entry, EntryKind, Manifest
from opsconsole_protocol.content.path import check_path, check_target, shown
from opsconsole_protocol.content.task_folder import task_folder, task_patterns
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound
from opsconsole_protocol.host.content.hash_cache import HashCache
from opsconsole_protocol.host.content.scan import Select, scan, scan_file
from opsconsole_protocol.host.content.source import FolderSource
from opsconsole_protocol.stream.message import FileRoot, ReadFiles, RootKind

_ATTEMPTS = b"attempts"
"""In a task's output folder: what attempts left that weren't accepted. It is sent only where it is named."""


OnLook = Callable[[int, int], None]


class Place(Protocol):
    """A folder of this worker (`probe/file_look.py`): the parts below `base` may be a task's own, and none is a link."""

    @property
    def base(self) -> str:
        """Absolute, and trusted."""

    @property
    def strict(self) -> tuple[str, ...]:
        """Parts of the path below it."""

    @property
    def start(self) -> str:
        """And below these."""

    @property
    def writable(self) -> bool:
        """Whether files may be put there."""


class FileTree(NamedTuple):
    """What is sent: its manifest, the folder that its files are below, and where each is there."""

    manifest: Manifest
    root: Path
    names: Mapping[bytes, bytes]
    left_out: tuple[str, ...] = ()
    """Why what else was asked for isn't sent, a line for each thing."""

    def source(self, cache: HashCache) -> FolderSource:
        """Reads it."""
        return FolderSource(self.root, self.manifest, names=self.names, cache=cache)


class Looking:
    """How folders are looked at for one stream. `tell` hears how many bytes have been read in all, and of how many."""

    def __init__(self, cache: HashCache, cancel: threading.Event, tell: OnLook | None = None) -> None:
        self._cache = cache
        self._cancel = cancel
        self._tell = tell
        self._before = 0

    def scan(
        self, root: Path, paths: Sequence[bytes] | None, left_out: list[str], select: Select | None = None
    ) -> Manifest:
        """See `scan`; what can't be sent is added to `left_out`."""
        found = scan(
            root, paths=paths, select=select, cache=self._cache, progress=self._counted, cancel=self._cancel,
            refused=left_out.append,
        )  # fmt: skip
        self._before += found.size_bytes
        return found

    def scan_file(self, path: Path, name: bytes) -> Entry:
        """See `scan_file`."""
        entry = scan_file(path, name, cache=self._cache, progress=self._counted, cancel=self._cancel).entries[0]
        self._before += entry.size
        return entry

    def _counted(self, done: int, total: int) -> None:
        if self._tell is not None:
            self._tell(self._before + done, self._before + total)


def below(place: Place, folder: bytes) -> bytes:
    """The path of a folder below the base of a place. Raises InvalidRequest for one that leads elsewhere."""
    if folder:
        check_path(folder)
    start = [part for part in os.fsencode(place.start).split(b"/") if part]
    whole = b"/".join([*map(os.fsencode, place.strict), *start, *([folder] if folder else [])])
    if whole:
        check_path(whole)
    return whole


def read_tree(
    place: Place,
    purpose: ReadFiles,
    input_folders: Sequence[str],
    looking: Looking,
) -> FileTree:
    """What `purpose` asks for, and nothing of tasks. Blocks: what wasn't hashed before is read.

    Raises OpsconsoleError: NotFound where nothing matches, Conflict where nothing of that can be sent.

    `input_folders`: where inputs of tasks lie; nothing else is sent as one.
    """
    for pattern in purpose.patterns:
        check_glob(pattern)
    top = below(place, purpose.folder)
    if purpose.root.kind is RootKind.INPUT:
        return _inputs(place, purpose, input_folders, looking)
    left_out: list[str] = []
    chosen = _Choice(purpose, top)
    root = Path(place.base)
    found = looking.scan(root, [top] if top else None, left_out, chosen.select)
    return _made(root, chosen.choose((entry.path, entry) for entry in found.entries), purpose, left_out)


def read_tasks(purpose: ReadFiles, find: Callable[[FileRoot], Place], looking: Looking) -> FileTree:
    """What `purpose` asks for of several tasks, each in its folder. Blocks. Raises as `read_tree` does."""
    names: dict[bytes, bytes] = {}
    entries: list[Entry] = []
    left_out: list[str] = []
    for task, root in zip(purpose.tasks, purpose.roots, strict=True):
        patterns = task_patterns(purpose.patterns, task)
        if patterns is None:
            continue
        wanted = ReadFiles(root=root, patterns=patterns)
        above = task_folder(task) + b"/"
        try:
            place = find(root)
            tree = read_tree(place, wanted, (), looking)
        except NotFound:
            continue  # it has left nothing of this
        except Conflict as error:
            left_out.append(f"{above.decode()}: {error.message}")
            continue
        lies_at = os.path.realpath(os.fsencode(place.base))[1:] + b"/"
        names |= {
            above + entry.path: lies_at + tree.names[entry.path]
            for entry in tree.manifest.entries
            if entry.path in tree.names
        }
        entries += (msgspec.structs.replace(entry, path=above + entry.path) for entry in tree.manifest.entries)
        left_out += (f"{above.decode()}{line}" for line in tree.left_out)
    return FileTree(_manifest(entries, purpose, left_out), Path("/"), names, tuple(left_out))


def _made(root: Path, found: Sequence[tuple[bytes, Entry]], purpose: ReadFiles, left_out: list[str]) -> FileTree:
    """`found`: entries by their new names, with their paths below `root`."""
    names: dict[bytes, bytes] = {}
    entries: list[Entry] = []
    for name, entry in found:
        try:
            if entry.kind is EntryKind.SYMLINK:
                check_target(name, entry.target)
        except InvalidRequest as error:
            left_out.append(error.message)
            continue
        names[name] = entry.path
        entries.append(msgspec.structs.replace(entry, path=name))
    return FileTree(_manifest(entries, purpose, left_out), root, names, tuple(left_out))


def _manifest(entries: Sequence[Entry], purpose: ReadFiles, left_out: Sequence[str]) -> Manifest:
    if entries:
        return Manifest.make(entries)
    if left_out:
        more = f", and {len(left_out) - 1:,} more" if len(left_out) > 1 else ""
        raise Conflict(f"nothing of it can be sent: {left_out[0]}{more}")
    where = f" that matches {', '.join(map(as_shown, purpose.patterns))}" if purpose.patterns else ""
    raise NotFound(f"there is no file{where}: look what is there with `opsconsole ls`")


class _Choice:
    """Which of the paths below `top` are meant, and what they are called from there on."""

    def __init__(self, purpose: ReadFiles, top: bytes) -> None:
        self._patterns = purpose.patterns
        self._top = top
        names_attempts = any(_ATTEMPTS.decode() in pattern.split("/") for pattern in purpose.patterns)
        is_inside = _ATTEMPTS in purpose.folder.split(b"/")
        self._leaves_out = purpose.root.kind is RootKind.OUTPUT and not names_attempts and not is_inside

    def select(self, path: bytes, is_folder: bool) -> bool:
        """Whether the scan is to look at this, or into it."""
        name = self.name(path)
        if self._leaves_out and is_folder and name.rpartition(b"/")[2] == _ATTEMPTS:
            return False
        if is_folder and path != self._top and self._patterns:
            return any(may_lead(pattern, name) for pattern in self._patterns)
        return is_folder or self.is_meant(name)

    def name(self, path: bytes) -> bytes:
        """A path as it is seen from `top`; that of `top` itself, a file then, is its own name."""
        if not self._top:
            return path
        return path.rpartition(b"/")[2] if path == self._top else path[len(self._top) + 1 :]

    def is_meant(self, name: bytes) -> bool:
        """Whether one of the patterns matches, or there is none."""
        return not self._patterns or any(matches(pattern, name) for pattern in self._patterns)

    def choose(self, found: Iterable[tuple[bytes, Entry]]) -> list[tuple[bytes, Entry]]:
        """What is meant, by its new name, with the folders that it is in."""
        inside = [(self.name(path), entry) for path, entry in found if self._is_below(path, entry)]
        kept = {name for name, _ in inside if self.is_meant(name)}
        above = {name[:at] for name in kept for at, sign in enumerate(name) if sign == ord("/")}
        return [(name, entry) for name, entry in inside if name in kept or name in above]

    def _is_below(self, path: bytes, entry: Entry) -> bool:
        if path == self._top:
            return entry.kind is not EntryKind.FOLDER
        return not self._top or path.startswith(self._top + b"/")


def _inputs(
    place: Place,
    purpose: ReadFiles,
    input_folders: Sequence[str],
    looking: Looking,
) -> FileTree:
    """The inputs of a task: its folder of inputs has a link to each."""
    folder = Path(place.base).joinpath(*place.strict)
    allowed = [Path(one).resolve() for one in input_folders]
    first, _, rest = purpose.folder.partition(b"/")
    try:
        links = sorted(os.listdir(os.fsencode(folder)))  # noqa: PTH208 – as bytes
    except OSError:
        raise NotFound("this task has no inputs here any more: they go when it has ended") from None
    left_out: list[str] = []
    found: list[tuple[bytes, Entry]] = []
    chosen = _Choice(msgspec.structs.replace(purpose, folder=b""), purpose.folder)
    for link in links:
        if first and link != first:
            continue
        target = Path(os.fsdecode(os.path.realpath(os.fsencode(folder) + b"/" + link)))
        if not any(target.is_relative_to(one) for one in allowed):
            left_out.append(f"{shown(link)} is a link that leads out of the folders of inputs")
            continue
        lies_at = os.fsencode(target)[1:]
        if not target.is_dir():
            entry = looking.scan_file(target, link)
            found.append((link, msgspec.structs.replace(entry, path=lies_at)))
            continue
        inner = looking.scan(target, [rest] if rest else None, left_out)
        found += [
            (link + b"/" + entry.path, msgspec.structs.replace(entry, path=lies_at + b"/" + entry.path))
            for entry in inner.entries
        ]
    return _made(Path("/"), chosen.choose(found), purpose, left_out)
