"""Looks at what the coordinator itself keeps of jobs' results, where the worker that has them can't be asked."""

from msgspec.structs import replace

from opsconsole_coordinator.server.collection import Collection
from opsconsole_coordinator.server.file_locator import LocatedTask
from opsconsole_coordinator.server.transfer_process import TransferProcess
from opsconsole_protocol.file_listing import FilePage, FilePart, FileQuery, PartQuery
from opsconsole_protocol.ids import JobId


class KeptLook:
    """Answers with None for a task of which nothing is kept."""

    def __init__(self, collection: Collection, process: TransferProcess) -> None:
        self._collection = collection
        self._process = process

    def has(self, job_id: JobId, index: int) -> bool:
        """Whether something of a task is kept."""
        return self._collection.of_task(job_id, index) is not None

    async def page(self, task: LocatedTask, query: FileQuery) -> FilePage | None:
        """A page of a folder. Raises OpsconsoleError."""
        kept = self._collection.of_task(task.job_id, task.task_index)
        if kept is None:
            return None
        return (await self._process.look(kept.content_id, listing=replace(query, folder=task.path))).page

    async def part(self, task: LocatedTask, query: PartQuery) -> FilePart | None:
        """A piece of a file. Raises OpsconsoleError."""
        kept = self._collection.of_task(task.job_id, task.task_index)
        if kept is None:
            return None
        return (await self._process.look(kept.content_id, part=replace(query, path=task.path))).part
