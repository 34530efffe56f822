"""What WORKER:FOLDER and JOB[/task-N]:FOLDER mean, for the verbs that take either."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from opsconsole_protocol.error import InvalidRequest, NotFound
from opsconsole_protocol.ids import split_task_id

if TYPE_CHECKING:
    from opsconsole.client import Client
    from opsconsole_protocol.api import JobRow, WorkerRow


class AtWorker(NamedTuple):
    """A worker. `folder`: what stands behind the colon."""

    worker: WorkerRow
    folder: str


class AtJob(NamedTuple):
    """A job, and perhaps one of its tasks. `folder`: what stands behind the colon."""

    job: JobRow
    task_index: int | None
    folder: str


async def find_where(client: Client, text: str) -> AtWorker | AtJob:
    """What is meant; a worker's name goes before a job's id. Raises NotFound that says which workers there are."""
    from opsconsole.transfer.place import unknown, worker_named

    name, _, folder = text.partition(":")
    workers = await client.workers()
    worker = worker_named(workers, name)
    if worker is not None:
        return AtWorker(worker, folder)
    try:
        job, index = split_task_id(name)
        row = (await client.show(job, tasks_limit=0, events_limit=0)).job
    except (NotFound, InvalidRequest):
        raise unknown(workers, name) from None
    return AtJob(row, index, folder)
