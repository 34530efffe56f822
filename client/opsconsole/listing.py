"""What lies in a folder of a worker or of a job, page by page."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import NamedTuple

from msgspec.structs import replace

from opsconsole.ask import Requester, ask
from opsconsole.transfer.place import label_hint, place_of
from opsconsole.where import AtWorker, find_where
from opsconsole_protocol.api import FileList, ListFiles
from opsconsole_protocol.error import InvalidRequest, NotFound, Unavailable
from opsconsole_protocol.file_listing import LISTING_ENTRIES_MAX, FileEntry, FilePage, FileQuery, FileSort
from opsconsole_protocol.stream.message import FileRoot, RootKind

_OF = tuple(kind.value for kind in RootKind if kind is not RootKind.MOUNT)
_NOTES_MAX = 4


class Listing(NamedTuple):
    """What was found, and the last page, which says how many there are and what else is to be known; None where none was asked for."""

    entries: list[FileEntry]
    page: FilePage | None


class Looked(NamedTuple):
    """How a folder is looked at. `find`: search all that lies below for this name or pattern. `limit`: of entries."""

    sort: FileSort
    reverse: bool
    find: str
    limit: int


async def list_files(requester: Requester, where: str, of: str, looked: Looked) -> Listing:
    """What lies at WORKER[:FOLDER] or JOB[/task-N][:FOLDER]. Raises NotFound, InvalidRequest, and what the way there raises."""
    worker, root, folder, hint, tasks = await _where(requester, where, of)
    if looked.find and tasks > 1:
        return await _found_in_tasks(requester, root, tasks, looked)
    found: list[FileEntry] = []
    last = None
    try:
        async for page in _pages(requester, looked, worker, root, folder):
            found += page.entries
            last = page
    except NotFound as error:
        raise NotFound(f"{error.message}; {hint}" if hint else error.message) from None
    return Listing(found, last)


async def _where(requester: Requester, text: str, of: str) -> tuple[str, FileRoot, bytes, str, int]:
    """Which worker, below what, which folder, what may have been meant where that isn't there, and of how many tasks it is."""
    where = await find_where(requester, text)
    if isinstance(where, AtWorker):
        if of:
            raise InvalidRequest(f"--of is about a job's folders: {where.worker.name} is a worker")
        place = place_of(where.worker, where.folder)
        return where.worker.id, place.root, place.folder, label_hint(where.worker, where.folder), 1
    if of and of not in _OF:
        raise InvalidRequest(f"{of[:40]!r} is none of a job's folders: {', '.join(_OF)}")
    parts = [part for part in where.folder.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise InvalidRequest(f"{where.folder!r} leads out of its folder: name the folder without ..")
    root = FileRoot(kind=RootKind(of or RootKind.OUTPUT), job_id=where.job.id, task_index=where.task_index)
    tasks = where.job.num_tasks if where.task_index is None and not parts else 1
    return "", root, os.fsencode("/".join(parts)), "", tasks


async def _found_in_tasks(requester: Requester, root: FileRoot, tasks: int, looked: Looked) -> Listing:
    """What is found in the folders of a job's tasks, one after the other, as far as their workers can be asked."""
    found: list[FileEntry] = []
    notes: dict[str, list[int]] = {}
    is_cut = False
    for index in range(tasks):
        if len(found) >= looked.limit:
            is_cut = True
            break
        try:
            async for page in _pages(requester, looked, "", replace(root, task_index=index), b"", len(found)):
                found += (replace(one, name=b"task-%d/%s" % (index, one.name)) for one in page.entries)
                is_cut = is_cut or page.truncated
                if page.note:
                    notes.setdefault(page.note, []).append(index)
                if page.more and len(found) >= looked.limit:
                    is_cut = True
        except (NotFound, Unavailable) as error:
            notes.setdefault(error.message, []).append(index)
    note = "; ".join(f"{_tasks_words(indexes)}: {words}" for words, indexes in list(notes.items())[:_NOTES_MAX])
    more = f"; and {len(notes) - _NOTES_MAX} more" if len(notes) > _NOTES_MAX else ""
    return Listing(found, FilePage(entries=(), total=len(found), truncated=is_cut, note=note + more))


def _tasks_words(indexes: list[int]) -> str:
    names = ", ".join(f"task-{index}" for index in indexes[:_NOTES_MAX])
    return names if len(indexes) <= _NOTES_MAX else f"{names} and {len(indexes) - _NOTES_MAX:,} more"


async def _pages(
    requester: Requester, looked: Looked, worker: str, root: FileRoot, folder: bytes, before: int = 0
) -> AsyncIterator[FilePage]:
    """`before`: how many entries of the limit are found already."""
    offset = 0
    while before + offset < looked.limit:
        query = FileQuery(
            root=root, folder=folder, sort=looked.sort, descending=looked.reverse, offset=offset,
            limit=min(LISTING_ENTRIES_MAX, looked.limit - before - offset), pattern=looked.find,
        )  # fmt: skip
        page = (await ask(requester, ListFiles(worker=worker, query=query), FileList)).page
        yield page
        offset += len(page.entries)
        if not page.more or not page.entries:
            return
