"""Whose log is meant."""

from collections.abc import Sequence
from dataclasses import dataclass

from opsconsole_protocol.api import TaskRow
from opsconsole_protocol.state import TaskState

_LIKELY = (
    TaskState.RUNNING,
    TaskState.PAUSED,
    TaskState.BUILDING,
    TaskState.ASSIGNED,
    TaskState.FAILED,
    TaskState.WORKER_FAILED,
    TaskState.KILLED,
    TaskState.SUCCEEDED,
)
"""Whose log is most likely meant where a job has several tasks."""


@dataclass(frozen=True)
class LogTarget:
    """Whose log: a job's task (None: the one most likely meant) and attempt (None: the latest, and the next)."""

    job_id: str
    name: str
    num_tasks: int = 1
    task_index: int | None = None
    attempt: int | None = None


def likely_task(tasks: Sequence[TaskRow]) -> int:
    """The task whose log a reader most likely means: one at work, else one that failed, else the first."""
    for state in _LIKELY:
        for task in tasks:
            if task.state == state:
                return task.index
    return 0
