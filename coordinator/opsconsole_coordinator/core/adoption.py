"""After a restored backup, attempts that workers have and that this store has forgotten are taken in again."""

from opsconsole_coordinator.core.assignment import replace_lost
from opsconsole_coordinator.core.demand import promised_of
from opsconsole_coordinator.core.desired import add_attempt
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.gpu_share import counted_gpus
from opsconsole_coordinator.core.model import SYSTEM, Attempt, Job, Worker
from opsconsole_coordinator.core.task import Task
from opsconsole_protocol import link
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import split_attempt_id
from opsconsole_protocol.link import Observed
from opsconsole_protocol.state import TaskState


def adopt(fleet: Fleet, worker: Worker, observed: Observed, now_ms: int) -> Attempt | None:
    """Take in an attempt that is newer than what the store knows of its task.

    Returns None where no such task waits, or where the worker can't prove that the attempt was given to it.
    """
    if fleet.seal.attempt_seq(worker.id, observed.attempt_id, observed.seal) is None:
        return None
    found = find_task(fleet, observed)
    if found is None:
        return None
    job, task, number = found
    replace_lost(fleet, job, task, now_ms)
    gpu_ids = tuple(gpu.uuid for gpu in worker.gpus if _uses(gpu, observed))
    share_mb = job.spec.resources.share_mb if gpu_ids else 0
    attempt = Attempt(
        id=observed.attempt_id,
        job_id=job.id,
        index=task.index,
        number=number,
        worker_id=worker.id,
        worker_name=worker.name,
        gpu_ids=gpu_ids,
        share_mb=share_mb,
        shared_gpus=counted_gpus(worker, gpu_ids, share_mb) if share_mb else 0.0,
        promised=promised_of(job.spec),
        assigned_at_ms=now_ms,
        want=link.Want(grace_ms=job.spec.grace_ms),
        reported=True,
        log_offsets=fleet.stored_logs(observed.attempt_id),
    )
    task.held = False
    add_attempt(fleet, job, task, worker, attempt, now_ms)
    text = f"attempt {number} on {worker.name} adopted: it is newer than this store"
    fleet.audit(now_ms, SYSTEM, EventKind.ADOPTED, text, job.task_id(task.index))
    return attempt


def find_task(fleet: Fleet, observed: Observed) -> tuple[Job, Task, int] | None:
    """The waiting task that an attempt's id names, and the attempt's number in it."""
    try:
        job_id, index, number = split_attempt_id(observed.attempt_id)
    except InvalidRequest:
        return None
    job = fleet.jobs.get(job_id)
    if job is None or index >= len(job.tasks):
        return None
    task = job.tasks[index]
    if task.state not in {TaskState.PENDING, TaskState.HELD} or number < task.attempts:
        return None
    return job, task, number


def _uses(gpu: link.Gpu, observed: Observed) -> bool:
    return gpu.uuid in observed.gpu_ids or any(user.attempt_id == observed.attempt_id for user in gpu.processes)
