"""What WORKER:FOLDER and JOB[/task-N]:FOLDER mean, for the verbs that take either."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from opsconsole_protocol.error import InvalidRequest, NotFound
from opsconsole_protocol.ids import split_task_id

if TYPE_CHECKING:
    from opsconsole.client import Client
    from opsconsole_protocol.api import JobRow, WorkerRow


class Where(NamedTuple):
    """Either a worker, or a job and perhaps one of its tasks. `folder`: what stands behind the colon."""

    worker: WorkerRow | None
    job: JobRow | None
    task_index: int | None
    folder: str


async def find_where(client: Client, text: str) -> Where:
    """What is meant; a worker's name goes before a job's id. Raises NotFound that says which workers there are."""
    from opsconsole.transfer.place import unknown

    name, _, folder = text.partition(":")
    workers = await client.workers()
    for worker in workers:
        if name in {worker.name, worker.id}:
            return Where(worker, None, None, folder)
    try:
        job, index = split_task_id(name)
        row = (await client.show(job, tasks_limit=0, events_limit=0)).job
    except (NotFound, InvalidRequest):
        raise unknown(workers, name) from None
    return Where(None, row, index, folder)
