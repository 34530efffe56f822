"""Where on a worker a person means: `gpu-a`, `gpu-a:sub/dir`, `gpu-a:LABEL:path` or `gpu-a:/whole/path`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from opsconsole_protocol.api import WorkerRow
from opsconsole_protocol.bound import cut
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound
from opsconsole_protocol.input_name import MOUNT_LABEL
from opsconsole_protocol.mount import INPUT, Mount, find_mount, knows_mounts, mounts_of
from opsconsole_protocol.near_name import near_names
from opsconsole_protocol.stream.message import FileRoot, RootKind

_SHOWN_CHARACTERS = 100
_NAMED_MAX = 5


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


def worker_named(workers: Sequence[WorkerRow], name: str) -> WorkerRow | None:
    """The worker of this name or id, if there is one."""
    return next((worker for worker in workers if name in {worker.name, worker.id}), None)


def find_worker(workers: Sequence[WorkerRow], name: str) -> WorkerRow:
    """The worker of this name or id. Raises NotFound that names the nearest one, or some."""
    worker = worker_named(workers, name)
    if worker is not None:
        return worker
    raise NotFound(f"there is no worker {_shown(name)}: {_workers_words(workers, name)}")


def unknown(workers: Sequence[WorkerRow], name: str) -> NotFound | InvalidRequest:
    """What to raise where neither a worker nor a job is called so, and nobody could be where it is no text."""
    if not name.isprintable() and any("\ud800" <= sign <= "\udfff" for sign in name):
        return InvalidRequest(f"{_shown(name)} is not UTF-8: workers and jobs have names that are")
    return NotFound(f"there is no worker and no job {_shown(name)}: {_workers_words(workers, name)}")


def label_hint(worker: WorkerRow, text: str) -> str:
    """What to type where somebody has named a mount without its colon; empty where nobody has."""
    label = text.rstrip("/")
    is_label = label != INPUT and find_mount(mounts_of(worker.properties), label) is not None
    return f"did you mean {worker.name}:{label}: ?" if is_label else ""


def place_of(worker: WorkerRow, text: str, *, writes: bool = False) -> Place:
    """The folder that `text` names on a worker: below its input folder, unless it begins with a mount's label and a colon or is a whole path.

    Of a whole path the longest prefix among the mounts' paths and aliases wins. `writes`: a folder that isn't there is made, so
    that what is only misspelled is refused. Raises Conflict, NotFound or InvalidRequest.
    """
    if not knows_mounts(worker.properties):
        raise Conflict(f"the agent of {worker.name} is too old to be asked for files: upgrade it")
    mounts = mounts_of(worker.properties)
    if text.startswith("/"):
        return _whole_path(worker, mounts, text)
    label, colon, rest = text.partition(":")
    mount = find_mount(mounts, label) if colon else None
    if mount is None and colon and MOUNT_LABEL.fullmatch(label) is not None:
        inside = f"; a name with a colon is written {INPUT}:{cut(text, _SHOWN_CHARACTERS)}" if rest else ""
        raise NotFound(f"{worker.name} has no mount {_shown(label)}, {_known(mounts)}{inside}")
    if writes and (hint := label_hint(worker, text)):
        raise InvalidRequest(f"{hint} A folder of the input folder with that name is {worker.name}:{INPUT}:{text}")
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
        raise NotFound(f"{_shown(text)} is below none of the folders of {worker.name}, {_known(mounts)}")
    return Place(best[1], _plain(text[best[0] :]))


def _plain(text: str) -> bytes:
    parts = [part for part in text.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise InvalidRequest(f"{_shown(text)} leads out of its folder: name the folder without ..")
    return os.fsencode("/".join(parts))


def _workers_words(workers: Sequence[WorkerRow], name: str) -> str:
    names = [worker.name for worker in workers]
    if near := near_names(name, names):
        return f"did you mean {' or '.join(near)}?"
    if not names:
        return "no worker has joined yet"
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return f"workers are {', '.join(names[:_NAMED_MAX])}{more}"


def _shown(text: str) -> str:
    return repr(cut(text, _SHOWN_CHARACTERS))


def _known(mounts: tuple[Mount, ...]) -> str:
    if not mounts:
        return "and no other: give its agent one with --input-path"
    return f"which has {', '.join(f'{mount.label} ({mount.path})' for mount in mounts)}"
