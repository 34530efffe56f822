"""How many tasks wait in all: kept up with each move, so that a submission costs what it brings, not what waits already."""

from opsconsole_coordinator.core.model import Job
from opsconsole_protocol.state import TaskState, is_task_waiting


class Tally:
    """The number of tasks in memory that wait, and the counts of each job by which it is known."""

    def __init__(self) -> None:
        self.waiting = 0

    def add_job(self, job: Job, sign: int = 1) -> None:
        """A job's tasks come in; with -1 they leave."""
        self.waiting += sign * sum(count for state, count in job.counts.items() if is_task_waiting(state))

    def add_task(self, job: Job, state: TaskState) -> None:
        """A job has one more task in this state."""
        job.counts[state] = job.counts.get(state, 0) + 1
        self.waiting += is_task_waiting(state)

    def move(self, job: Job, before: TaskState, after: TaskState) -> None:
        """A task of a job goes from one state to another."""
        left = job.counts[before] - 1
        if left:
            job.counts[before] = left
        else:
            del job.counts[before]
        self.waiting -= is_task_waiting(before)
        self.add_task(job, after)
