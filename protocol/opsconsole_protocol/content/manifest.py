"""A manifest: what a tree of files consists of. Its hash is the tree's name."""

from collections.abc import Iterable
from enum import StrEnum
from functools import cached_property
from typing import Annotated

import msgspec
from msgspec import Meta

from opsconsole_protocol.content.digest import CHUNK_BYTES, DIGEST_BYTES, chunk_digest, content_id
from opsconsole_protocol.content.path import (
    PARTS_MAX,
    PATH_BYTES_MAX,
    check_path,
    check_target,
    is_plain_name,
    parent,
    shown,
    tree_order,
)
from opsconsole_protocol.error import InvalidRequest, LimitExceeded, OpsconsoleError, ProtocolError
from opsconsole_protocol.ids import ContentId

ENTRIES_MAX = 500_000
MANIFEST_BYTES_MAX = 128 << 20
FILE_BYTES_MAX = 4 << 40
CONTENT_BYTES_MAX = 64 << 40
MODE_BITS = 0o777
"""Reading, writing and executing; what else a mode can say (set-user-id, …) doesn't travel."""
EMPTY_DIGEST = chunk_digest(b"")
_VERSION = 1
_FOLDER_MODE = 0o755


class EntryKind(StrEnum):
    """What an entry is. There is nothing else: no devices, fifos or sockets."""

    FILE = "file"
    FOLDER = "folder"
    SYMLINK = "symlink"


class Entry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One file, folder or symlink."""

    path: Annotated[bytes, Meta(min_length=1, max_length=PATH_BYTES_MAX)]
    """Relative to the top of the tree."""
    kind: EntryKind
    mode: Annotated[int, Meta(ge=0, le=MODE_BITS)]
    """The permission bits. Those of a symlink mean nothing and are all set."""
    size: Annotated[int, Meta(ge=0, le=FILE_BYTES_MAX)] = 0
    digest: Annotated[bytes, Meta(max_length=DIGEST_BYTES)] = b""
    """Of a file the hash of its bytes (`digest.file_digest`)."""
    target: Annotated[bytes, Meta(max_length=PATH_BYTES_MAX)] = b""
    """Where a symlink leads."""

    @property
    def is_large(self) -> bool:
        """Whether this is a file of more than one chunk."""
        return self.size > CHUNK_BYTES

    @property
    def chunks(self) -> int:
        """In how many chunks the file is hashed; an empty one in one."""
        return max(1, -(-self.size // CHUNK_BYTES))


class _Tree(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    version: Annotated[int, Meta(ge=_VERSION, le=_VERSION)]
    entries: Annotated[tuple[Entry, ...], Meta(max_length=ENTRIES_MAX)]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Tree)


class Manifest:
    """What a tree consists of: entries in tree order (`path.tree_order`), each folder before what lies in it."""

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        """Take entries that are already checked: see `make` and `decode`."""
        self.entries = entries

    @classmethod
    def make(cls, entries: Iterable[Entry]) -> "Manifest":
        """A manifest of these entries in any order; folders that aren't named are added. Raises InvalidRequest or LimitExceeded."""
        named = sorted(entries, key=lambda entry: tree_order(entry.path))
        folders = {entry.path for entry in named if entry.kind is EntryKind.FOLDER}
        missing: set[bytes] = set()
        for entry in named:
            above = parent(entry.path)
            while above and above not in folders and above not in missing:
                missing.add(above)
                above = parent(above)
        if missing:
            named += (Entry(path, EntryKind.FOLDER, _FOLDER_MODE) for path in missing)
            named.sort(key=lambda entry: tree_order(entry.path))
        _check(named)
        manifest = cls(tuple(named))
        if len(manifest._encoded) > MANIFEST_BYTES_MAX:
            raise LimitExceeded(
                f"the names of {len(named):,} files and folders take {len(manifest._encoded) >> 20} MiB, at most "
                f"{MANIFEST_BYTES_MAX >> 20} are taken: pack some of them into an archive"
            )
        return manifest

    @classmethod
    def decode(cls, data: bytes | bytearray | memoryview) -> "Manifest":
        """Read what `encode` wrote. Raises ProtocolError for anything else, however little it differs."""
        if len(data) > MANIFEST_BYTES_MAX:
            raise ProtocolError(f"a manifest of {len(data):,} bytes was sent, at most {MANIFEST_BYTES_MAX:,} are taken")
        try:
            entries = _DECODER.decode(data).entries
            _check(entries)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise ProtocolError(f"a manifest was sent that can't be read: {str(error)[:200]!r}") from None
        except OpsconsoleError as error:
            raise ProtocolError(f"a manifest was sent that can't be taken: {error.message}") from None
        manifest = cls(entries)
        if manifest._encoded != data:
            raise ProtocolError("a manifest was sent that isn't written the one way it can be")
        return manifest

    def encode(self) -> bytes:
        """The manifest as bytes; equal trees have equal ones."""
        return self._encoded

    @cached_property
    def content_id(self) -> ContentId:
        """The tree's id."""
        return content_id(self._encoded)

    @cached_property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(entry.size for entry in self.entries)

    @cached_property
    def files(self) -> int:
        """How many files there are; symlinks and folders don't count."""
        return sum(entry.kind is EntryKind.FILE for entry in self.entries)

    @cached_property
    def _encoded(self) -> bytes:
        return _ENCODER.encode(_Tree(_VERSION, self.entries))


def _check(entries: Iterable[Entry]) -> None:
    """Raise InvalidRequest or LimitExceeded unless these entries, in this order, are a tree."""
    count = size = 0
    last = b""
    depths = {b"": 0}  # of the folders so far: of what lies in one, only the name is looked at
    for entry in entries:
        count += 1
        path = entry.path
        above, slash, name = path.rpartition(b"/")
        depth = depths.get(above, PARTS_MAX) + 1
        if depth > PARTS_MAX or (slash and not above) or not is_plain_name(name, len(path)):
            check_path(path)
        order = tree_order(path)
        if order <= last:
            raise InvalidRequest(f"{shown(path)} is there twice, or out of its order")
        last = order
        if above not in depths:
            raise InvalidRequest(f"{shown(path)} lies in what isn't a folder of the tree")
        if entry.kind is EntryKind.FOLDER:
            depths[path] = depth
        _check_entry(entry)
        size += entry.size
    if count > ENTRIES_MAX:
        raise LimitExceeded(
            f"{count:,} files and folders are too many: at most {ENTRIES_MAX:,} travel together; pack some into an archive"
        )
    if size > CONTENT_BYTES_MAX:
        raise LimitExceeded(f"{size:,} bytes are too many: at most {CONTENT_BYTES_MAX:,} travel together")


def _check_entry(entry: Entry) -> None:
    if not 0 <= entry.mode <= MODE_BITS:
        raise InvalidRequest(f"{shown(entry.path)} has a mode that isn't one: {entry.mode:o}")
    if entry.kind is EntryKind.FILE:
        if len(entry.digest) != DIGEST_BYTES or entry.target or (entry.size == 0) != (entry.digest == EMPTY_DIGEST):
            raise InvalidRequest(f"the file {shown(entry.path)} has a hash that can't be its own")
        if not 0 <= entry.size <= FILE_BYTES_MAX:
            raise LimitExceeded(
                f"the file {shown(entry.path)} has {entry.size:,} bytes, at most {FILE_BYTES_MAX:,} are taken"
            )
    elif entry.size or entry.digest:
        raise InvalidRequest(f"{shown(entry.path)} is no file, so that it has neither size nor hash")
    elif entry.kind is EntryKind.SYMLINK:
        check_target(entry.path, entry.target)
    elif entry.target:
        raise InvalidRequest(f"{shown(entry.path)} is no symlink, so that it has no target")
