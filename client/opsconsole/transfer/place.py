"""Where on a worker a person means: `gpu-a`, `gpu-a:sub/dir`, `gpu-a:LABEL:path` or `gpu-a:/whole/path`."""

from __future__ import annotations

import os
from typing import NamedTuple

from opsconsole_protocol.api import WorkerRow
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound
from opsconsole_protocol.mount import INPUT, Mount, find_mount, knows_mounts, mounts_of
from opsconsole_protocol.stream.message import FileRoot, RootKind


class Place(NamedTuple):
    """A folder below one of a worker's mounts."""

    mount: Mount
    folder: bytes

    @property
    def root(self) -> FileRoot:
        """The mount, as it is asked for."""
        return FileRoot(kind=RootKind.MOUNT, mount=self.mount.label)

    @property
    def words(self) -> str:
        """The whole path on the worker, for people."""
        below = os.fsdecode(self.folder)
        return f"{self.mount.path.rstrip('/')}/{below}" if below else self.mount.path


def place_of(worker: WorkerRow, text: str) -> Place:
    """The folder that `text` names on a worker: below its input folder, unless it begins with a mount's label and a colon or is a whole path.

    Of a whole path the longest prefix among the mounts' paths and aliases wins. Raises Conflict, NotFound or InvalidRequest.
    """
    if not knows_mounts(worker.properties):
        raise Conflict(f"the agent of {worker.name} is too old to be asked for files: upgrade it")
    mounts = mounts_of(worker.properties)
    if text.startswith("/"):
        return _whole_path(worker, mounts, text)
    label, colon, rest = text.partition(":")
    mount = find_mount(mounts, label) if colon else None
    if mount is None:
        mount, rest = find_mount(mounts, INPUT), text
    if mount is None:
        raise NotFound(f"{worker.name} has no input folder, {_known(mounts)}")
    return Place(mount, _plain(rest))


def _whole_path(worker: WorkerRow, mounts: tuple[Mount, ...], text: str) -> Place:
    best: tuple[int, Mount] | None = None
    for mount in mounts:
        for prefix in (mount.path, *mount.aliases):
            above = prefix.rstrip("/")
            if f"{text.rstrip('/')}/".startswith(f"{above}/") and (best is None or len(above) > best[0]):
                best = len(above), mount
    if best is None:
        raise NotFound(f"{text[:200]!r} is below none of the folders of {worker.name}, {_known(mounts)}")
    return Place(best[1], _plain(text[best[0] :]))


def _plain(text: str) -> bytes:
    parts = [part for part in text.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise InvalidRequest(f"{text[:200]!r} leads out of its folder: name the folder without ..")
    return os.fsencode("/".join(parts))


def _known(mounts: tuple[Mount, ...]) -> str:
    if not mounts:
        return "and no other: give its agent one with --input-path"
    return f"which has {', '.join(f'{mount.label} ({mount.path})' for mount in mounts)}"
