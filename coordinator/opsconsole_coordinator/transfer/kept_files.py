"""Kept trees as they are looked at: a page of a folder, what a search below it finds, a piece of a file."""

import os
from collections.abc import Iterator

from opsconsole_coordinator.transfer.message import PACKET_BYTES_MAX
from opsconsole_protocol.content.glob import matches
from opsconsole_protocol.content.manifest import Entry, EntryKind, Manifest
from opsconsole_protocol.content.path import shown
from opsconsole_protocol.error import Conflict, NotFound
from opsconsole_protocol.file_listing import FileEntry, FileKind, FilePage, FilePart, FileQuery, FileSort, PartQuery
from opsconsole_protocol.host.content.beneath import Beneath
from opsconsole_protocol.host.content.kept_tree import StoredTree

_NAMES_BYTES_MAX = PACKET_BYTES_MAX // 4
"""Of one page: what is beyond comes with the next one."""
_ENTRY_BYTES = 40
"""About what an entry needs besides its name."""
_PART_BYTES_MAX = PACKET_BYTES_MAX // 2
_KINDS = {EntryKind.FILE: FileKind.FILE, EntryKind.FOLDER: FileKind.FOLDER, EntryKind.SYMLINK: FileKind.LINK}


def list_kept(manifest: Manifest, query: FileQuery, kept_at_ms: int) -> FilePage:
    """A page of a folder of a kept tree, or of what a search there finds. Raises NotFound or Conflict."""
    entry = next((one for one in manifest.entries if one.path == query.folder), None)
    if query.folder and entry is None:
        raise NotFound(f"{shown(query.folder)} was not collected")
    if entry is not None and entry.kind is not EntryKind.FOLDER:
        raise Conflict(f"{shown(query.folder)} is a file, not a folder")
    found = [FileEntry(name, _KINDS[one.kind], one.size, kept_at_ms, one.mode) for name, one in _found(manifest, query)]
    if query.sort is FileSort.SIZE:
        found.sort(key=lambda one: (one.size, one.name), reverse=query.descending)
    else:
        found.sort(key=lambda one: one.name, reverse=query.descending)
        if not query.pattern:
            found.sort(key=lambda one: one.kind is not FileKind.FOLDER)
    page: list[FileEntry] = []
    room = _NAMES_BYTES_MAX
    for one in found[query.offset : query.offset + query.limit]:
        room -= len(one.name) + _ENTRY_BYTES
        if page and room < 0:
            break
        page.append(one)
    return FilePage(entries=tuple(page), total=len(found), more=query.offset + len(page) < len(found))


def read_kept(tree: StoredTree, query: PartQuery) -> FilePart:
    """A piece of a file of a kept tree. Raises NotFound or Conflict, and OSError."""
    entry = next((one for one in tree.manifest.entries if one.path == query.path), None)
    if entry is None:
        raise NotFound(f"{shown(query.path)} was not collected")
    if entry.kind is not EntryKind.FILE:
        raise Conflict(f"{shown(query.path)} is not a file")
    with Beneath(tree.path) as beneath:
        descriptor = beneath.open_file(query.path)
        try:
            data = os.pread(descriptor, min(query.limit, _PART_BYTES_MAX), query.offset)
        finally:
            os.close(descriptor)
    return FilePart(data=data, size=entry.size)


def _found(manifest: Manifest, query: FileQuery) -> Iterator[tuple[bytes, Entry]]:
    start = query.folder + b"/" if query.folder else b""
    for one in manifest.entries:
        name = one.path[len(start) :]
        if not one.path.startswith(start) or not name:
            continue
        if _is_sought(name, query.pattern.lower()) if query.pattern else b"/" not in name:
            yield name, one


def _is_sought(path: bytes, pattern: str) -> bool:
    """Whether a search for a pattern in small letters finds a path."""
    text = path.decode("utf-8", "surrogateescape").lower()
    text = text if "/" in pattern else text.rpartition("/")[2]
    if not any(sign in pattern for sign in "*?["):
        return pattern in text
    return matches(pattern, text.encode("utf-8", "surrogateescape"))
