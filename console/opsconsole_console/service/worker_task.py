"""Asking for what is at work on one worker."""

from collections.abc import Iterable
from dataclasses import dataclass

from opsconsole.ask import ask
from opsconsole_console.model.live_task import LIVE_STATES, live_tasks
from opsconsole_console.model.model import Model
from opsconsole_console.service.source import FleetSource
from opsconsole_protocol.api import DetailAnswer, JobRow, ShowJob, TaskRow

_JOBS_ASKED_MAX = 20
_TASKS_MAX = 5_000


@dataclass(frozen=True)
class WorkerTask:
    """A task on the worker: whose, in which state, since when."""

    job: JobRow
    index: int
    state: str
    started_at_ms: int | None
    memory_mb: int | None = None

    @property
    def id(self) -> str:
        """The task's id: job and index."""
        return f"{self.job.id}/task-{self.index}"


async def tasks_on(source: FleetSource, model: Model, worker: str) -> dict[str, WorkerTask]:
    """Live tasks on a worker, by id. Jobs with several tasks are asked for, at most twenty. Raises OpsconsoleError."""
    found: dict[str, WorkerTask] = {}
    several: list[JobRow] = []
    for job in model.fleet.jobs.values():
        if job.finished_at_ms is not None or not live_tasks(job):
            continue
        if job.num_tasks > 1 and job.worker in (None, worker):
            several.append(job)
        elif job.worker == worker:
            task = WorkerTask(job, 0, job.state, job.started_at_ms)
            found[task.id] = task
    for job in several[:_JOBS_ASKED_MAX]:
        request = ShowJob(id=job.id, tasks_limit=_TASKS_MAX, events_limit=0)
        detail = (await ask(source, request, DetailAnswer)).detail
        found.update((task.id, task) for task in _of_job(job, detail.tasks, worker))
    return found


def _of_job(job: JobRow, tasks: Iterable[TaskRow], worker: str) -> list[WorkerTask]:
    return [
        WorkerTask(job, task.index, task.state, task.started_at_ms,
                   None if task.resource_usage is None else task.resource_usage.current_memory_mb)
        for task in tasks
        if task.worker == worker and task.state in LIVE_STATES
    ]  # fmt: skip
