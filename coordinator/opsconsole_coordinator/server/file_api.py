"""What operators ask about files on workers, answered by the agent that has them. No file is stored here, or moved."""

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from opsconsole_coordinator.core.model import Attempt
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.file_locator import FileLocator, Located
from opsconsole_coordinator.server.identity import Caller
from opsconsole_coordinator.server.worker_asker import WorkerAsker
from opsconsole_coordinator.store import query
from opsconsole_coordinator.trust.credential import Role
from opsconsole_protocol import api, link
from opsconsole_protocol.error import InvalidRequest, from_code
from opsconsole_protocol.file_listing import (
    LISTING_ENTRIES_MAX,
    FileEntry,
    FileKind,
    FilePage,
    FileQuery,
    FileSort,
)
from opsconsole_protocol.stream.message import FileRoot, RootKind

ANSWER_WAIT_S = 15.0
"""Longer than an agent waits for a mount that hangs."""
QUESTIONS_MAX = 4
"""That one worker is asked at a time, and as many as its agent answers at a time."""

A = TypeVar("A", link.FileList, link.FilePartRead)


class FileApi:
    """Handlers of the requests about files; each takes the request and who asks."""

    def __init__(self, commit_loop: CommitLoop) -> None:
        self._commit_loop = commit_loop
        self._locator = FileLocator(commit_loop)
        self._asker = WorkerAsker(commit_loop, QUESTIONS_MAX)

    async def list_files(self, request: api.ListFiles, caller: Caller) -> api.FileList:
        del caller
        wanted = request.query
        tasks = await self._tasks_listed(wanted)
        if tasks is not None:
            return api.FileList(page=tasks)
        place = await self._locator.locate(request.worker, wanted.root, wanted.folder)
        found = replace(wanted, root=place.root, folder=place.path)
        said = await self._ask(place, lambda number: link.ListFiles(check_id=number, query=found), link.FileList)
        if said.page is None:
            raise from_code(said.code, said.error)
        return api.FileList(page=said.page, worker=place.worker.name)

    async def read_part(self, request: api.ReadFilePart, caller: Caller) -> api.FilePartAnswer:
        del caller
        place = await self._locator.locate(request.worker, request.query.root, request.query.path)
        found = replace(request.query, root=place.root, path=place.path)
        said = await self._ask(place, lambda number: link.ReadFilePart(check_id=number, query=found), link.FilePartRead)
        if said.part is None:
            raise from_code(said.code, said.error)
        return api.FilePartAnswer(part=said.part, worker=place.worker.name)

    async def _ask(self, place: Located, question: Callable[[int], link.CoordinatorMessage], kind: type[A]) -> A:
        self._locator.check_reachable(place)
        return await self._asker.ask(place.worker, question, kind, ANSWER_WAIT_S)

    async def _tasks_listed(self, wanted: FileQuery) -> FilePage | None:
        """The root of a job with several tasks: a folder for each. None for anything else."""
        if wanted.root.kind is RootKind.MOUNT or wanted.folder:
            return None
        job_id, index, num_tasks = await self._locator.job(wanted.root)
        if index is not None or num_tasks == 1:
            return None
        if wanted.pattern:
            raise InvalidRequest(f"job {job_id} has {num_tasks} tasks, which are searched one by one: name its task")
        is_small = num_tasks <= LISTING_ENTRIES_MAX
        indices = range(num_tasks) if is_small else range(wanted.offset, min(wanted.offset + wanted.limit, num_tasks))
        if not is_small and wanted.descending:
            indices = range(max(0, num_tasks - wanted.offset - wanted.limit), max(0, num_tasks - wanted.offset))

        def read(connection: sqlite3.Connection) -> dict[int, list[Attempt]]:
            return query.attempts(connection, job_id, indices.start, len(indices))

        attempts = await self._commit_loop.database.read(read)
        entries = [(number, _task_folder(number, attempts.get(number, []))) for number in indices]
        sorts = {FileSort.NAME: _number, FileSort.SIZE: _size, FileSort.TIME: _time}
        entries.sort(key=sorts[wanted.sort if is_small else FileSort.NAME], reverse=wanted.descending)
        page = entries[wanted.offset : wanted.offset + wanted.limit] if is_small else entries
        return FilePage(
            entries=tuple(entry for _, entry in page), total=num_tasks, more=wanted.offset + len(page) < num_tasks
        )


def _task_folder(index: int, attempts: list[Attempt]) -> FileEntry:
    last = attempts[-1] if attempts else None
    size = (last.seen.output_bytes or 0) if last is not None and last.seen is not None else 0
    changed_ms = 0 if last is None else last.finished_at_ms or last.assigned_at_ms
    return FileEntry(f"task-{index}".encode(), FileKind.FOLDER, size, changed_ms)


def _number(entry: tuple[int, FileEntry]) -> tuple[int, int]:
    return entry[0], 0


def _size(entry: tuple[int, FileEntry]) -> tuple[int, int]:
    return entry[1].size, entry[0]


def _time(entry: tuple[int, FileEntry]) -> tuple[int, int]:
    return entry[1].mtime_ms, entry[0]


def role_to_list(request: api.ListFiles) -> Role:
    """The role that is needed: everybody may look at jobs' folders, only an operator at all else on a mount."""
    return role_for(request.query.root)


def role_to_read(request: api.ReadFilePart) -> Role:
    """As for a listing."""
    return role_for(request.query.root)


def role_for(root: FileRoot) -> Role:
    return Role.OPERATOR if root.kind is RootKind.MOUNT else Role.VIEWER
