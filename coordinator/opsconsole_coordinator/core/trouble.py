"""What is wrong with a worker as a whole, as its agent sees it: shown, and nothing new goes there while it lasts."""

from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Job, Worker
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.link import Trouble
from opsconsole_protocol.state import AttemptState, TaskState, WorkerConnection


def hear(fleet: Fleet, worker: Worker, troubles: tuple[Trouble, ...], now_ms: int) -> None:
    """The worker says all that is wrong with it now; what is new or over is an event."""
    if troubles == worker.troubles:
        return
    before = {one.code: one for one in worker.troubles}
    now = {one.code: one for one in troubles}
    for code in now.keys() - before.keys():
        fleet.audit(now_ms, worker.name, EventKind.TROUBLE, f"{worker.name}: {words(now[code])}", worker.name)
    for code in before.keys() - now.keys():
        fleet.audit(
            now_ms, worker.name, EventKind.RECOVERED, f"{worker.name}: no longer: {words(before[code])}", worker.name
        )
    said = blocking(worker)
    worker.troubles = troubles
    fleet.show_worker(worker)
    if blocking(worker) != said:
        fleet.must_schedule = True
        _tell_tasks(fleet, worker)


def words(trouble: Trouble) -> str:
    """A trouble in one line."""
    return trouble.text or trouble.code.replace("_", " ")


def blocking(worker: Worker) -> str:
    """Why nothing new goes to this worker; empty where its agent sees no reason against it."""
    return next((words(one) for one in worker.troubles if one.blocks), "")


def holding_up(fleet: Fleet, job: Job) -> str:
    """What keeps the end of a job's attempts from coming, where that is known: `gpu-a: its keeper doesn't answer`."""
    for attempt in fleet.live_attempts(job):
        worker = fleet.workers.get(attempt.worker_id)
        if worker is None:
            continue
        if worker.connection != WorkerConnection.CONNECTED:
            return f"{worker.name}, which is {worker.connection}"
        if blocking(worker):
            return f"{worker.name}: {blocking(worker)}"
    return ""


def _tell_tasks(fleet: Fleet, worker: Worker) -> None:
    """What is assigned there says why it doesn't start, or no longer does; the rows of all that live there follow."""
    reason = blocking(worker)
    for attempt in worker.live.values():
        job = fleet.jobs.get(attempt.job_id)
        if job is None or attempt.is_finished:
            continue
        task = job.tasks[attempt.index]
        if attempt.state is AttemptState.ASSIGNED and task.state is TaskState.ASSIGNED and task.current == attempt.id:
            fleet.set_task(job, task, task.state, f"{worker.name}: {reason}" if reason else "")
        fleet.touch_job(job)
