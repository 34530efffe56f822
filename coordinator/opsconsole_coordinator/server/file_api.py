"""What operators ask about files on workers, answered by the agent that has them. No file is stored here, or moved."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec.structs import replace

from opsconsole_coordinator.core.model import Attempt
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.file_locator import FileLocator, Located, LocatedTask
from opsconsole_coordinator.server.identity import Caller
from opsconsole_coordinator.server.kept_look import KeptLook
from opsconsole_coordinator.server.worker_asker import WorkerAsker
from opsconsole_coordinator.store.query import attempts as attempts_of
from opsconsole_coordinator.trust.credential import Role
from opsconsole_protocol import api, link
from opsconsole_protocol.bound import cut
from opsconsole_protocol.error import InvalidRequest, NotFound, Unavailable, from_code
from opsconsole_protocol.file_listing import (
    LISTING_ENTRIES_MAX,
    FileEntry,
    FileKind,
    FilePage,
    FileQuery,
    FileSort,
    PartQuery,
)
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.stream.message import FileRoot, OpenStream, ReadFiles, RootKind

ANSWER_WAIT_S = 15.0
"""Longer than an agent waits for a mount that hangs."""
QUESTIONS_MAX = 4
"""That one worker is asked at a time, and as many as its agent answers at a time."""

_COLLECTED = "this is what the coordinator has collected"
_NAMED_MAX = 4

A = TypeVar("A", link.FileList, link.FilePartRead)


class FileApi:
    """Handlers of the requests about files; each takes the request and who asks."""

    def __init__(self, commit_loop: CommitLoop, kept: KeptLook) -> None:
        self._commit_loop = commit_loop
        self._kept = kept
        self._locator = FileLocator(commit_loop)
        self._asker = WorkerAsker(commit_loop, QUESTIONS_MAX)

    async def list_files(self, request: api.ListFiles, caller: Caller) -> api.FileList:
        del caller
        wanted = request.query
        tasks = await self._tasks_listed(wanted)
        if tasks is not None:
            return api.FileList(page=tasks)
        try:
            place = await self._reached(request.worker, wanted.root, wanted.folder)
        except (NotFound, Unavailable) as away:
            task = await self._kept_task(wanted.root, wanted.folder)
            page = None if task is None else await self._kept.page(task, wanted)
            if page is None:
                raise
            return api.FileList(page=replace(page, note=cut(f"{away.message}: {_COLLECTED}")))
        found = replace(wanted, root=place.root, folder=place.path)
        said = await self._ask(place, lambda number: link.ListFiles(check_id=number, query=found), link.FileList)
        if said.page is None:
            raise from_code(said.code, said.error)
        return api.FileList(page=said.page, worker=place.worker.name)

    async def read_part(self, request: api.ReadFilePart, caller: Caller) -> api.FilePartAnswer:
        del caller
        query = request.query
        try:
            place = await self._reached(request.worker, query.root, query.path)
        except (NotFound, Unavailable):
            task = await self._kept_task(query.root, query.path)
            part = None if task is None else await self._kept.part(task, query)
            if part is None:
                raise
            return api.FilePartAnswer(part=part)
        found = replace(request.query, root=place.root, path=place.path)
        said = await self._ask(place, lambda number: link.ReadFilePart(check_id=number, query=found), link.FilePartRead)
        if said.part is None:
            raise from_code(said.code, said.error)
        return api.FilePartAnswer(part=said.part, worker=place.worker.name)

    async def _reached(self, worker: str, root: FileRoot, path: bytes) -> Located:
        """Where files are that can be asked for now. Raises what the locator raises."""
        place = await self._locator.locate(worker, root, path)
        self._locator.check_reachable(place)
        return place

    async def _kept_task(self, root: FileRoot, path: bytes) -> LocatedTask | None:
        """The task whose results are meant, which may be kept here; None for anything else."""
        return await self._locator.find_task(root, path) if root.kind is RootKind.OUTPUT else None

    async def _ask(self, place: Located, question: Callable[[int], link.CoordinatorMessage], kind: type[A]) -> A:
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
            return attempts_of(connection, job_id, indices.start, len(indices))

        attempts = await self._commit_loop.database.read(read)
        entries = [(number, _task_folder(number, attempts.get(number, []))) for number in indices]
        sorts = {FileSort.NAME: _number, FileSort.SIZE: _size, FileSort.TIME: _time}
        entries.sort(key=sorts[wanted.sort if is_small else FileSort.NAME], reverse=wanted.descending)
        page = entries[wanted.offset : wanted.offset + wanted.limit] if is_small else entries
        last = {number: found[-1] for number, found in attempts.items() if found}
        note = self._away_words(job_id, [(number, last[number]) for number, _ in page if number in last], wanted.root)
        return FilePage(
            entries=tuple(entry for _, entry in page),
            total=num_tasks,
            more=wanted.offset + len(page) < num_tasks,
            note=cut(note),
        )

    def _away_words(self, job_id: JobId, tasks: Sequence[tuple[int, Attempt]], root: FileRoot) -> str:
        """What can be had of tasks whose workers are away, in a line."""
        workers = self._commit_loop.fleet.workers
        away = [
            (number, one) for number, one in tasks if (w := workers.get(one.worker_id)) is None or not w.is_reachable
        ]
        if not away:
            return ""
        names = ", ".join(sorted({one.worker_name for _, one in away}))
        is_output = root.kind is RootKind.OUTPUT
        kept = [number for number, _ in away if is_output and self._kept.has(job_id, number)]
        lost = [number for number, _ in away if number not in set(kept)]
        parts = [f"what the coordinator has collected of {_task_words(kept)} can be had"] if kept else []
        parts += [f"{_task_words(lost)} can't be looked at"] if lost else []
        return f"{names} can't be asked: {', and '.join(parts)}"


def _task_words(numbers: Sequence[int]) -> str:
    names = ", ".join(f"task-{number}" for number in numbers[:_NAMED_MAX])
    return names if len(numbers) <= _NAMED_MAX else f"{names} and {len(numbers) - _NAMED_MAX:,} more"


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


def reads_mount(request: object) -> bool:
    """Whether a request looks at files on a worker's mount."""
    match request:
        case api.ListFiles(query=FileQuery(root=root)) | api.ReadFilePart(query=PartQuery(root=root)):
            return root.kind is RootKind.MOUNT
        case api.AskForStream(open=OpenStream(purpose=ReadFiles(root=root))):
            return root.kind is RootKind.MOUNT
        case _:
            return False


def role_for(root: FileRoot) -> Role:
    return Role.OPERATOR if root.kind is RootKind.MOUNT else Role.VIEWER
