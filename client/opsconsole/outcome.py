"""How jobs ended: whether they have, and with which exit code."""

from collections.abc import Iterable

from opsconsole_protocol.api import AttemptRow, JobRow, TaskRow
from opsconsole_protocol.state import TaskState, is_task_finished

EXIT_FAILED = 1
SIGNAL_BASE = 128
_FINISHED = frozenset(state for state in TaskState if is_task_finished(state))
RECOVERABLE = frozenset({TaskState.WORKER_FAILED, TaskState.PREEMPTED, TaskState.UNSCHEDULABLE, TaskState.BLOCKED})
"""States in which nothing is wrong with the job itself."""
_BEFORE_START = (TaskState.PENDING, TaskState.ASSIGNED, TaskState.BUILDING, TaskState.HELD, TaskState.BLOCKED)


def is_finished_state(state: str) -> bool:
    """Whether a job or task in this state has ended. A state that this version doesn't know doesn't count as an end."""
    return state in _FINISHED


def may_begin(row: JobRow) -> bool:
    """Whether a job has tasks that haven't begun, so that they may still want what it brings along."""
    return any(row.task_counts.get(state) for state in _BEFORE_START)


def ran_ms(row: JobRow | TaskRow | AttemptRow, now_ms: int) -> int | None:
    """For how long it has run, or ran until it ended; None where it never started."""
    return None if row.started_at_ms is None else (row.finished_at_ms or now_ms) - row.started_at_ms


def is_settled(row: JobRow) -> bool:
    """Whether a job has ended or is blocked by the failure of another, so that it won't change by itself."""
    return row.state == TaskState.BLOCKED or is_finished_state(row.state)


def exit_code(tasks: Iterable[TaskRow]) -> int:
    """0 when all succeeded; else the exit code of the task that failed first, 128 + n for signal n, 1 where it has neither."""
    failing = first_failing(tasks)
    return 0 if failing is None else _task_exit_code(failing)


def first_failing(tasks: Iterable[TaskRow]) -> TaskRow | None:
    """The task that failed first; None when all succeeded. One that was killed because another failed comes after that one."""
    return min((task for task in tasks if task.state != TaskState.SUCCEEDED), key=_failing_order, default=None)


def _failing_order(task: TaskRow) -> tuple[bool, bool, int, int]:
    ended_at_ms = task.finished_at_ms
    return (task.state != TaskState.FAILED, ended_at_ms is None, ended_at_ms or 0, task.index)


def _task_exit_code(task: TaskRow) -> int:
    last = task.attempts[-1] if task.attempts else None
    if last is not None and last.signal:
        return SIGNAL_BASE + last.signal
    return task.exit_code or EXIT_FAILED
