"""What is at work on one worker. Pure but for asking."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from opsconsole_console import format as fmt
from opsconsole_console.model.model import Model
from opsconsole_console.screen.part.spec_text import used_text
from opsconsole_console.service.source import FleetSource, ask
from opsconsole_console.widget.column import Column
from opsconsole_console.widget.sign import sign
from opsconsole_protocol.api import DetailAnswer, JobRow, ShowJob, TaskRow

_JOBS_ASKED_MAX = 20
_TASKS_MAX = 5_000
_LIVE = frozenset({"running", "paused", "building", "assigned"})


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
        """The task's id."""
        return f"{self.job.id}/task-{self.index}"


async def tasks_on(source: FleetSource, model: Model, worker: str) -> dict[str, WorkerTask]:
    """Live tasks on a worker, by id. Jobs with several tasks are asked for, at most twenty. Raises OpsconsoleError."""
    found: dict[str, WorkerTask] = {}
    several: list[JobRow] = []
    for job in model.fleet.jobs.values():
        if job.finished_at_ms is not None or not any(job.task_counts.get(state) for state in _LIVE):
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
        if task.worker == worker and task.state in _LIVE
    ]  # fmt: skip


def worker_task_columns(model: Model) -> Sequence[Column[WorkerTask]]:
    """Whose task, in which state, for how long."""

    def elapsed(task: WorkerTask) -> str:
        return "" if task.started_at_ms is None else fmt.duration(model.clock() - task.started_at_ms, figures=2)

    return (
        Column("task", "TASK", lambda t: f"{model.short_ids.show(t.job.id)}/{t.index}", 8, priority=10, tone="text-muted",
               sort_key=lambda t: t.id),
        Column("name", "NAME", lambda t: t.job.name, 14, flex=2, priority=9, sort_key=lambda t: t.job.name),
        Column("state", "STATE", lambda t: sign(t.state).cell, 11, priority=8, sort_key=lambda t: t.state),
        Column("time", "TIME", elapsed, 7, align="right", priority=7, sort_key=lambda t: t.started_at_ms),
        Column("memory", "MEM", lambda t: "" if t.memory_mb is None else used_text(t.memory_mb), 5,
               align="right", priority=5),
        Column("by", "BY", lambda t: t.job.submitted_by, 6, priority=4, tone="text-muted"),
    )  # fmt: skip
