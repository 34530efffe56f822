"""Files on workers as they are looked at: a page of a folder, what a search below it finds, a piece of one file.

Nothing here moves files: a page and a piece are small, and travel over the links that exist.
"""

import stat
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from opsconsole_protocol.bound import WHOLE_MAX, Path, Signed, Text, Whole
from opsconsole_protocol.pattern import PATTERN_CHARACTERS_MAX
from opsconsole_protocol.stream.message import FileRoot, PathBytes

LISTING_ENTRIES_MAX = 1_000
"""Of one page."""
FILE_PART_BYTES_MAX = 256 * 1024
"""Of one piece of a file: little enough that a heartbeat behind it isn't late on a slow line."""


_ALL_MODE_BITS = 0o7777


class FileKind(StrEnum):
    """What an entry of a folder is."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    OTHER = "other"
    """A device, a socket, a pipe: never opened."""


class FileSort(StrEnum):
    """By what a folder's entries are ordered. By name, folders come before files."""

    NAME = "name"
    SIZE = "size"
    TIME = "time"


class FileEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One entry of a folder. What a search has found has its path below the folder as its name."""

    name: PathBytes
    kind: FileKind
    size: Whole = 0
    """In bytes; of a link, that of the file that it leads to."""
    mtime_ms: Signed = 0
    """When it was last written to, by the clock of the host that stores it."""
    mode: Annotated[int, Meta(ge=0, le=_ALL_MODE_BITS)] = 0
    leads_to: FileKind | None = None
    """What a link leads to; None where that is outside the root, or nowhere."""
    special: Annotated[str, Meta(max_length=1)] = ""
    """Of another kind, its letter in `ls -l`: p a pipe, s a socket, c or b a device."""


_SIGNS = {FileKind.FILE: "-", FileKind.FOLDER: "d", FileKind.LINK: "l", FileKind.OTHER: "?"}


def mode_words(kind: FileKind, mode: int, special: str = "") -> str:
    """Kind and permissions as `ls -l` writes them."""
    return (special or _SIGNS[kind]) + stat.filemode(mode)[1:]


class FileQuery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which entries of a folder are asked for.

    With a `pattern`, everything below the folder is searched: files and folders whose name contains it or, where it has one
    of `*?[`, matches it as a whole; capitals don't count. A pattern with a `/` is matched with the path below the folder.
    """

    root: FileRoot
    folder: PathBytes = b""
    """The path below the root, empty for the root itself."""
    sort: FileSort = FileSort.NAME
    descending: bool = False
    offset: Annotated[int, Meta(ge=0, le=WHOLE_MAX)] = 0
    limit: Annotated[int, Meta(ge=1, le=LISTING_ENTRIES_MAX)] = 200
    pattern: Annotated[str, Meta(max_length=PATTERN_CHARACTERS_MAX)] = ""


class FilePage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page of a folder, or of what a search has found. `total` counts all entries that were seen."""

    entries: Annotated[tuple[FileEntry, ...], Meta(max_length=LISTING_ENTRIES_MAX)] = ()
    total: Whole = 0
    more: bool = False
    """A further page follows, from `offset` + the number of entries."""
    truncated: bool = False
    """The folder, or what is below it, is too large: not all of it was looked at."""
    path: Path = ""
    """The folder's whole path on the worker, for people."""
    note: Text = ""
    """What a person should know of it, in one line: what was left out, or that a worker is away."""


class PartQuery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which piece of a file is asked for."""

    root: FileRoot
    path: PathBytes
    offset: Whole = 0
    """In bytes; a piece behind the file's end is empty."""
    limit: Annotated[int, Meta(ge=1, le=FILE_PART_BYTES_MAX)] = FILE_PART_BYTES_MAX


class FilePart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A piece of a file, and how large the file is now."""

    data: Annotated[bytes, Meta(max_length=FILE_PART_BYTES_MAX)] = b""
    size: Whole = 0
    mtime_ms: Signed = 0
    path: Path = ""
    """The file's whole path on the worker, for people."""
