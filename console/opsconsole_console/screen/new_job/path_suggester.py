"""Completes a path by what lies on a worker."""

import os
from collections.abc import Callable

from textual.suggester import Suggester

from opsconsole.ask import ask
from opsconsole_console.service.source import FleetSource
from opsconsole_console.visible import is_clean
from opsconsole_protocol.api import FileList, ListFiles, WorkerRow
from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.file_listing import LISTING_ENTRIES_MAX, FileKind, FileQuery
from opsconsole_protocol.mount import Mount, mounts_of
from opsconsole_protocol.stream.message import FileRoot, RootKind


class PathSuggester(Suggester):
    """Suggests the first name in the folder that has been typed so far, where that is below one of the worker's mounts."""

    def __init__(self, source: FleetSource, worker: Callable[[], WorkerRow | None]) -> None:
        """`worker`: whose paths are meant at the moment."""
        super().__init__(use_cache=False, case_sensitive=True)
        self._source = source
        self._worker = worker

    async def get_suggestion(self, value: str) -> str | None:
        worker = self._worker()
        if worker is None or not value.startswith("/"):
            return None
        mounts = mounts_of(worker.properties)
        above = [mount.path for mount in mounts if mount.path.startswith(value) and mount.path != value]
        if above:
            return min(above)
        found = _mount_of(mounts, value)
        if found is None:
            return None
        folder, _, start = value.rpartition("/")
        below = folder[len(found.path.rstrip("/")) :].strip("/")
        query = FileQuery(
            root=FileRoot(kind=RootKind.MOUNT, mount=found.label), folder=os.fsencode(below), limit=LISTING_ENTRIES_MAX
        )
        try:
            page = (await ask(self._source, ListFiles(worker=worker.id, query=query), FileList)).page
        except OpsconsoleError:
            return None  # who can't be asked has nothing to suggest
        for entry in page.entries:
            name = os.fsdecode(entry.name)
            if name.startswith(start) and is_clean(name) and (name != start or entry.kind is FileKind.FOLDER):
                return f"{folder}/{name}{'/' if entry.kind is FileKind.FOLDER else ''}"
        return None


def _mount_of(mounts: tuple[Mount, ...], path: str) -> Mount | None:
    inside = [mount for mount in mounts if path.startswith(f"{mount.path.rstrip('/')}/")]
    return max(inside, key=lambda mount: len(mount.path), default=None)
