"""Which of a job's waiting tasks is the next: the one with the highest priority, and of these the one with the lowest index.

`Job.ready` is a heap of ranks. A task's rank is its index, moved by NUM_TASKS_MAX for each step by which its own priority
lies below its job's. A task that waits no more stays in the heap until it is met there.
"""

from heapq import heappop, heappush

from opsconsole_coordinator.core.dependent import some_names
from opsconsole_coordinator.core.model import Job
from opsconsole_coordinator.core.task import Fresh, Task
from opsconsole_protocol.spec import NUM_TASKS_MAX
from opsconsole_protocol.state import TaskState


def add_ready(job: Job, index: int) -> None:
    """A task waits for a worker."""
    heappush(_heap(job), _rank(job, job.tasks[index]))


def take_ready(job: Job) -> Task:
    """Take out the next task."""
    return job.tasks[heappop(_heap(job)) % NUM_TASKS_MAX]


def ready_tasks(job: Job) -> list[Task]:
    """All of them, in no order but the first one."""
    return [job.tasks[rank % NUM_TASKS_MAX] for rank in job.ready]


def next_ready(job: Job) -> Task | None:
    """The next task."""
    return job.tasks[job.ready[0] % NUM_TASKS_MAX] if job.ready else None


def _heap(job: Job) -> list[int]:
    if isinstance(job.ready, range):
        job.ready = list(job.ready)
    return job.ready


def priority_of(job: Job, task: Task) -> int:
    """The priority of one of its tasks."""
    return job.priority if task.priority is None else task.priority


def next_priority(job: Job) -> int:
    """With what priority the job stands in the queue: that of its next task."""
    task = None if job.is_fresh else next_ready(job)
    return job.priority if task is None else priority_of(job, task)


def waiting_since_ms(job: Job) -> int | None:
    """Since when a job could have begun that hasn't; None where it is held or waits for other jobs."""
    if job.started_at_ms is not None or job.state is not TaskState.PENDING:
        return None
    if job.waiting_on or (job.elements and not job.met_ms):
        return None
    tasks = job.kept_tasks
    if isinstance(tasks, Fresh):
        since_ms = tasks.since_ms
    else:
        since_ms = next(one.pending_since_ms for one in tasks if one.state is TaskState.PENDING)
    return max(job.created_at_ms, job.met_ms, since_ms)


def drop_stale(job: Job) -> None:
    """Take out the next tasks as far as they no longer wait for a worker."""
    if job.is_fresh and not job.elements:
        return
    while (task := next_ready(job)) is not None and not job.can_start(task):
        take_ready(job)


def rank_ready(job: Job) -> None:
    """Find all tasks that wait for a worker, and their order: the priorities are others than before."""
    if isinstance(job.kept_tasks, Fresh) and not job.elements:
        job.ready = job.kept_tasks.ready
    else:
        job.ready = sorted(_rank(job, task) for task in job.tasks if job.can_start(task))


def _rank(job: Job, task: Task) -> int:
    return task.index if task.priority is None else task.index - (task.priority - job.priority) * NUM_TASKS_MAX


def tasks_wait_for(job: Job) -> str:
    """What all pending tasks of a job wait for, each on its own, that isn't a worker; empty where one of them could start."""
    if not job.elements or TaskState.PENDING not in job.counts:
        return ""
    drop_stale(job)
    if job.ready:
        return ""
    return next((words for task in job.tasks if (words := task_waits_for(job, task))), "")


def task_waits_for(job: Job, task: Task) -> str:
    """What a pending task waits for on its own that isn't a worker; empty where it is one."""
    element = job.elements.get(task.index)
    if task.state is not TaskState.PENDING or element is None or not job.is_task_waiting(task.index):
        return ""
    return f"waits for {some_names({*element.waiting_on, *element.blocked_by})}"
