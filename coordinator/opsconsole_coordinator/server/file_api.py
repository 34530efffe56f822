"""What operators ask about files on workers, answered by the agent that has them. No file is stored here, or moved."""

import asyncio
import re
import sqlite3
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from opsconsole_coordinator.core.model import Attempt, Worker
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.identity import Caller
from opsconsole_coordinator.server.job_lookup import resolve
from opsconsole_coordinator.store import query
from opsconsole_coordinator.trust.credential import Role
from opsconsole_protocol import api, link
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound, Unavailable, from_code
from opsconsole_protocol.file_listing import (
    LISTING_ENTRIES_MAX,
    FileEntry,
    FileKind,
    FilePage,
    FileQuery,
    FileSort,
)
from opsconsole_protocol.ids import JobId, WorkerId
from opsconsole_protocol.mount import find_mount, knows_mounts, mounts_of
from opsconsole_protocol.quantity import spell_duration
from opsconsole_protocol.stream.message import FileRoot, RootKind

ANSWER_WAIT_S = 15.0
"""Longer than an agent waits for a mount that hangs."""
QUESTIONS_MAX = 4
"""That one worker is asked at a time, and as many as its agent answers at a time."""

_TASK_FOLDER = re.compile(rb"task-(0|[1-9][0-9]{0,5})")
A = TypeVar("A", link.FileList, link.FilePartRead)


class Located(NamedTuple):
    """Where files are: a worker, the root as its agent understands it, and the path below that."""

    worker: Worker
    root: FileRoot
    path: bytes
    what: str
    """For people: whose files they are."""


class FileApi:
    """Handlers of the requests about files; each takes the request and who asks."""

    def __init__(self, commit_loop: CommitLoop) -> None:
        self._commit_loop = commit_loop
        self._slots: dict[WorkerId, asyncio.Semaphore] = {}

    async def list_files(self, request: api.ListFiles, caller: Caller) -> api.FileList:
        del caller
        wanted = request.query
        tasks = await self._tasks_listed(wanted)
        if tasks is not None:
            return api.FileList(page=tasks)
        place = await self._locate(request.worker, wanted.root, wanted.folder)
        found = replace(wanted, root=place.root, folder=place.path)
        said = await self._ask(place, lambda number: link.ListFiles(check_id=number, query=found), link.FileList)
        if said.page is None:
            raise from_code(said.code, said.error)
        return api.FileList(page=said.page, worker=place.worker.name)

    async def read_part(self, request: api.ReadFilePart, caller: Caller) -> api.FilePartAnswer:
        del caller
        place = await self._locate(request.worker, request.query.root, request.query.path)
        found = replace(request.query, root=place.root, path=place.path)
        said = await self._ask(place, lambda number: link.ReadFilePart(check_id=number, query=found), link.FilePartRead)
        if said.part is None:
            raise from_code(said.code, said.error)
        return api.FilePartAnswer(part=said.part, worker=place.worker.name)

    async def _ask(self, place: Located, question: Callable[[int], link.CoordinatorMessage], kind: type[A]) -> A:
        worker = place.worker
        if not worker.is_reachable:
            last_ms = self._commit_loop.clock.now_ms() - worker.last_seen_ms
            since = (
                f", it was last heard of {spell_duration(last_ms // 1000 * 1000)} ago" if worker.last_seen_ms else ""
            )
            raise Unavailable(f"{place.what} on {worker.name}, which is not connected{since}")
        if not knows_mounts(worker.properties):
            raise Unavailable(f"the agent of {worker.name} is too old to be asked for files: update opsconsole there")
        async with self._slots.setdefault(worker.id, asyncio.Semaphore(QUESTIONS_MAX)):
            said = await self._commit_loop.questions.ask(worker.id, question, kind, ANSWER_WAIT_S)
        if said is None:
            raise Unavailable(f"{worker.name} didn't answer within {ANSWER_WAIT_S:g} s: try again")
        return said

    # --- which worker, which folder ----------------------------------------------------------------------------

    async def _locate(self, worker_name: str, root: FileRoot, path: bytes) -> Located:
        """Raises InvalidRequest, NotFound, Ambiguous, or Conflict where there is nothing to be looked at yet."""
        if root.kind is RootKind.MOUNT:
            return self._locate_mount(worker_name, root, path)
        job_id, index, num_tasks = await self._job(root)
        if index is None and num_tasks > 1:
            first, _, path = path.partition(b"/")
            named = _TASK_FOLDER.fullmatch(first)
            if named is None:
                raise NotFound(
                    f"job {job_id} has {num_tasks} tasks: name one of the folders task-0 to task-{num_tasks - 1}"
                )
            index = int(named[1])
        index = index or 0
        if index >= num_tasks:
            raise NotFound(f"job {job_id} has {num_tasks} tasks, from task-0 to task-{num_tasks - 1}")
        name = job_id if num_tasks == 1 else f"{job_id}/task-{index}"
        attempt = await self._attempt(job_id, index, name, worker_name)
        worker = self._commit_loop.fleet.workers.get(attempt.worker_id)
        if worker is None:
            raise NotFound(f"the files of {name} are on {attempt.worker_name}, which was removed")
        output_path = attempt.seen.output_path if attempt.seen is not None else ""
        if root.kind is RootKind.OUTPUT and not output_path:
            if not attempt.is_finished:
                raise Conflict(f"{name} has not started yet: it has no outputs")
            raise NotFound(f"{name} has no outputs: {worker.name} had no place for them")
        found = FileRoot(
            kind=root.kind, job_id=job_id, task_index=index, attempt_id=attempt.id, output_path=output_path or ""
        )
        return Located(worker, found, path, f"the files of {name} are")

    def _locate_mount(self, worker_name: str, root: FileRoot, path: bytes) -> Located:
        if not worker_name:
            raise InvalidRequest("whose mount? Name a worker (opsconsole workers lists them)")
        worker = self._commit_loop.reactor.find_worker(worker_name)
        mounts = mounts_of(worker.properties)
        if find_mount(mounts, root.mount) is None:
            known = ", ".join(mount.label for mount in mounts) or "none"
            raise NotFound(f"{worker.name} has no mount {root.mount!r}; it has {known}")
        return Located(worker, FileRoot(kind=RootKind.MOUNT, mount=root.mount), path, f"{root.mount} is")

    async def _job(self, root: FileRoot) -> tuple[JobId, int | None, int]:
        """The job, the task's index where one was named, and how many tasks the job has."""
        job_id, index = await resolve(self._commit_loop, root.job_id)
        job = self._commit_loop.fleet.jobs.get(job_id)
        if job is not None:
            num_tasks = job.spec.num_tasks
        else:
            row = await self._commit_loop.database.read(lambda connection: query.job_row(connection, job_id))
            if row is None:
                raise NotFound(f"there is no job {job_id} (opsconsole jobs lists them)")
            num_tasks = row.num_tasks
        return job_id, index if root.task_index is None else root.task_index, num_tasks

    async def _attempt(self, job_id: JobId, index: int, name: str, worker_name: str) -> Attempt:
        """The task's last attempt, or its last one on the worker that was named."""

        def read(connection: sqlite3.Connection) -> list[Attempt]:
            return query.attempts(connection, job_id, index, 1).get(index, [])

        found = await self._commit_loop.database.read(read)
        if not found:
            raise Conflict(f"{name} has not started yet: it has no files")
        if worker_name:
            worker = self._commit_loop.reactor.find_worker(worker_name)
            found = [attempt for attempt in found if attempt.worker_id == worker.id]
            if not found:
                raise NotFound(f"no attempt of {name} was on {worker.name}")
        return found[-1]

    async def _tasks_listed(self, wanted: FileQuery) -> FilePage | None:
        """The root of a job with several tasks: a folder for each. None for anything else."""
        if wanted.root.kind is RootKind.MOUNT or wanted.folder:
            return None
        job_id, index, num_tasks = await self._job(wanted.root)
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
    return _role_for(request.query.root)


def role_to_read(request: api.ReadFilePart) -> Role:
    """As for a listing."""
    return _role_for(request.query.root)


def _role_for(root: FileRoot) -> Role:
    return Role.OPERATOR if root.kind is RootKind.MOUNT else Role.VIEWER
