"""A job's working folder and its inputs, as a screen lists them: with what the job's own record tells of them."""

import asyncio
from collections.abc import Callable

from msgspec.structs import replace

from opsconsole.ask import Requester, ask
from opsconsole.transfer.place import place_of
from opsconsole_console.model.file_spot import FileRow, FileSpot
from opsconsole_console.model.job_folder import base_name, input_rows, inputs_note, work_gone_words, work_note
from opsconsole_console.service.file_source import FileSource
from opsconsole_protocol.api import DetailAnswer, JobDetail, ShowJob, TaskRow, WorkerRow
from opsconsole_protocol.error import NotFound, OpsconsoleError
from opsconsole_protocol.file_listing import FileKind, FilePage, FileSort
from opsconsole_protocol.stream.message import RootKind

_LOOKED_AT_MAX = 50
"""Inputs on a worker whose sizes are asked for."""
_AT_A_TIME = 4


def is_job_folder(spot: FileSpot, pattern: str) -> bool:
    """Whether a spot is listed by `JobFolders`."""
    root = spot.root
    kinds = {RootKind.WORK, RootKind.INPUT}
    return root is not None and root.kind in kinds and not (spot.folder or spot.is_task_list or pattern)


class JobFolders:
    """`find_worker` finds a worker's row by its name."""

    def __init__(self, source: Requester, files: FileSource, find_worker: Callable[[str], WorkerRow | None]) -> None:
        self._source = source
        self._files = files
        self._find_worker = find_worker

    async def entries(self, spot: FileSpot, sort: FileSort, *, descending: bool) -> tuple[str, list[FileRow], FilePage]:
        """As `FileSource.entries`; raises OpsconsoleError, whose message may have several lines."""
        root = spot.root
        if root is None:
            raise NotFound("choose a folder first")
        index = root.task_index or 0
        asked = ShowJob(id=root.job_id, tasks_from=index, tasks_limit=1, events_limit=0)
        detail = (await ask(self._source, asked, DetailAnswer)).detail
        task = next((one for one in detail.tasks if one.index == index), None)
        failure: OpsconsoleError | None = None
        worker, listed, page = (task.worker or "" if task is not None else ""), list[FileRow](), FilePage()
        try:
            worker, listed, page = await self._files.entries(spot, sort, descending=descending)
        except OpsconsoleError as error:
            failure = error
        if root.kind is RootKind.WORK:
            return worker, listed, _of_work(detail, task, page, failure)
        rows = input_rows(detail, listed, await self._found(detail, worker))
        if failure is not None:
            if not rows:
                raise NotFound("the job has no inputs") if isinstance(failure, NotFound) else failure
            page = FilePage(total=len(rows), note=inputs_note(task, failure.message))
        return worker, rows, page

    async def _found(self, detail: JobDetail, worker_name: str) -> dict[str, FileRow]:
        """Those inputs that lie on the worker, by their names."""
        worker = self._find_worker(worker_name)
        gate = asyncio.Semaphore(_AT_A_TIME)

        async def look(name: str) -> FileRow:
            async with gate:
                return await self._look(worker, name)

        names = detail.spec.inputs[:_LOOKED_AT_MAX]
        return dict(zip(names, await asyncio.gather(*map(look, names)), strict=True))

    async def _look(self, worker: WorkerRow | None, name: str) -> FileRow:
        unknown = FileRow(base_name(name), FileKind.OTHER, note=f"on the worker: {name}")
        if worker is None:
            return unknown
        try:
            place = place_of(worker, name)
            spot = FileSpot(worker=worker.name, root=place.root, folder=place.folder.rpartition(b"/")[0])
            part = await self._files.part(spot, place.folder, limit=1)
        except OpsconsoleError as error:
            return FileRow(unknown.name, FileKind.OTHER, note=error.message, away=error.message)
        own = place.folder.rpartition(b"/")[2]
        return FileRow(
            own, FileKind.FILE, part.size, part.mtime_ms, note=f"{worker.name}:{place.words}", path=place.words, lies_in=spot
        )  # fmt: skip


def _of_work(detail: JobDetail, task: TaskRow | None, page: FilePage, failure: OpsconsoleError | None) -> FilePage:
    if isinstance(failure, NotFound):
        raise NotFound(work_gone_words(task, detail.spec.workdir, failure.message))
    if failure is not None:
        raise failure
    note = "; ".join(part for part in (page.note, work_note(task, detail.spec.workdir)) if part)
    return replace(page, note=note)
