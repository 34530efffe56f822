"""What WORKER:FOLDER and JOB[/task-N]:FOLDER mean, for what takes either."""

from __future__ import annotations

from typing import NamedTuple

from opsconsole.ask import Requester, ask
from opsconsole.transfer.place import unknown, worker_named
from opsconsole_protocol.api import DetailAnswer, JobRow, ListWorkers, ShowJob, WorkerList, WorkerRow
from opsconsole_protocol.error import InvalidRequest, NotFound
from opsconsole_protocol.ids import split_task_id


class AtWorker(NamedTuple):
    """A worker. `folder`: what stands behind the colon."""

    worker: WorkerRow
    folder: str


class AtJob(NamedTuple):
    """A job, and perhaps one of its tasks. `folder`: what stands behind the colon."""

    job: JobRow
    task_index: int | None
    folder: str


async def find_where(requester: Requester, text: str) -> AtWorker | AtJob:
    """What is meant; a worker's name goes before a job's id. Raises NotFound that says which workers there are."""
    name, _, folder = text.partition(":")
    workers = (await ask(requester, ListWorkers(), WorkerList)).workers
    worker = worker_named(workers, name)
    if worker is not None:
        return AtWorker(worker, folder)
    try:
        job, index = split_task_id(name)
        asked = ShowJob(id=job, tasks_limit=0, events_limit=0)
        row = (await ask(requester, asked, DetailAnswer)).detail.job
    except (NotFound, InvalidRequest):
        raise unknown(workers, name) from None
    return AtJob(row, index, folder)
