"""What a store remembers of a tree: its manifest, and how its files looked when they were known to be right."""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from opsconsole_protocol.bound import WHOLE_MAX
from opsconsole_protocol.content.manifest import ENTRIES_MAX, Manifest
from opsconsole_protocol.error import ProtocolError
from opsconsole_protocol.host.private_file import sync_folder

_HEAD_BYTES = 512
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Look(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How a file or folder looked."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class RecordHead(msgspec.Struct, frozen=True):
    """What is known of a tree without reading its manifest."""

    size_bytes: Annotated[int, Meta(ge=0, le=WHOLE_MAX)]
    files: Annotated[int, Meta(ge=0, le=ENTRIES_MAX)]
    boot_id: str
    """Since which start of the machine the tree is here. After a crash its bytes may not have reached the disk, so that in
    another one it is read once before it is trusted."""


class _Body(msgspec.Struct, frozen=True, array_like=True):
    manifest: bytes
    looks: Annotated[list[Look], Meta(max_length=ENTRIES_MAX)]


class Record(msgspec.Struct, frozen=True):
    """All that is known of a tree. `looks` has one for each entry of the manifest."""

    head: RecordHead
    manifest: Manifest
    looks: list[Look]


_HEAD = msgspec.json.Decoder(RecordHead)
_BODY = msgspec.msgpack.Decoder(_Body)


def look(status: os.stat_result) -> Look:
    """How something with this status looks."""
    return Look(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def boot_id() -> str:
    """What tells this start of the machine from the one before; empty where there is no such thing."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def make_record(manifest: Manifest, looks: list[Look]) -> Record:
    """A record of a tree that is right at the moment."""
    return Record(RecordHead(manifest.size_bytes, manifest.files, boot_id()), manifest, looks)


def write_record(path: Path, record: Record) -> None:
    """Write a record so that it is there as a whole or not at all. Raises OSError."""
    data = msgspec.json.encode(record.head) + b"\n"
    data += msgspec.msgpack.encode(_Body(record.manifest.encode(), record.looks))
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def read_head(path: Path) -> RecordHead | None:
    """The head of a record; None if it is damaged or gone."""
    with contextlib.suppress(OSError, msgspec.DecodeError, ValueError, RecursionError), path.open("rb") as file:
        return _HEAD.decode(file.readline(_HEAD_BYTES))
    return None


def read_record(path: Path) -> Record | None:
    """A whole record; None if it is damaged or gone."""
    with (
        contextlib.suppress(OSError, msgspec.DecodeError, ValueError, RecursionError, ProtocolError),
        path.open("rb") as file,
    ):
        head = _HEAD.decode(file.readline(_HEAD_BYTES))
        body = _BODY.decode(file.read())
        manifest = Manifest.decode(body.manifest)
        if len(manifest.entries) == len(body.looks) and manifest.content_id == path.name:
            return Record(head, manifest, body.looks)
    return None
