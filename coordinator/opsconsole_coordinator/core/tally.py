"""How many tasks wait in all: kept up with each move, so that a submission costs what it brings, not what waits already."""

from collections.abc import Iterable

from opsconsole_coordinator.core.model import Job
from opsconsole_protocol.state import TaskState, is_task_waiting


class Tally:
    """The number of tasks in memory that wait, and the counts of each job by which it is known."""

    def __init__(self) -> None:
        self.waiting = 0

    def add_job(self, job: Job, sign: int = 1) -> None:
        """A job's tasks come in; with -1 they leave."""
        for state, count in job.counts.items():
            if is_task_waiting(state):
                self.waiting += sign * count

    def add_waiting(self, jobs: Iterable[Job]) -> None:
        """Jobs come in all of whose tasks wait."""
        self.waiting += sum(job.num_tasks for job in jobs)

    def add_task(self, job: Job, state: TaskState) -> None:
        """A job has one more task in this state."""
        job.counts = {**job.counts, state: job.counts.get(state, 0) + 1}
        self.waiting += is_task_waiting(state)

    def move(self, job: Job, before: TaskState, after: TaskState) -> None:
        """A task of a job goes from one state to another."""
        counts = {**job.counts, after: job.counts.get(after, 0) + 1}
        counts[before] -= 1
        if not counts[before]:
            del counts[before]
        job.counts = counts
        self.waiting += is_task_waiting(after) - is_task_waiting(before)
