"""Which states a task is at work in, and how many of a job's tasks are."""

from opsconsole_protocol.api import JobRow
from opsconsole_protocol.state import TaskState, is_task_live

LIVE_STATES = frozenset(state for state in TaskState if is_task_live(state))


def live_tasks(job: JobRow) -> int:
    """How many of a job's tasks have a live attempt."""
    return sum(job.task_counts.get(state, 0) for state in LIVE_STATES)
