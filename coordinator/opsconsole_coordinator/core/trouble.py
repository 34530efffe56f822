"""What a worker's agent says is wrong with the whole worker. It is shown, and what blocks keeps new tasks away."""

from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Job, Worker
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.link import Trouble
from opsconsole_protocol.state import AttemptState, TaskState, WorkerConnection


def note_troubles(fleet: Fleet, worker: Worker, troubles: tuple[Trouble, ...], now_ms: int) -> None:
    """The worker has said all that is wrong with it now: each trouble that begins or ends is an event."""
    if troubles == worker.troubles:
        return
    before = {one.code: one for one in worker.troubles}
    now = {one.code: one for one in troubles}
    for code in [code for code in now if code not in before]:
        fleet.audit(now_ms, worker.actor, EventKind.TROUBLE, f"{worker.name}: {spell_trouble(now[code])}", worker.name)
    for code in [code for code in before if code not in now]:
        fleet.audit(
            now_ms,
            worker.actor,
            EventKind.RECOVERED,
            f"{worker.name}: no longer: {spell_trouble(before[code])}",
            worker.name,
        )
    said = blocking(worker)
    worker.troubles = troubles
    fleet.show_worker(worker)
    if blocking(worker) != said:
        fleet.must_schedule = True
        _tell_tasks(fleet, worker)


def spell_trouble(trouble: Trouble) -> str:
    """A trouble in one line of words."""
    return trouble.text or trouble.code.replace("_", " ")


def blocking(worker: Worker) -> str:
    """Why no new task goes to this worker, in the words of its agent; empty where none of its troubles blocks."""
    return next((spell_trouble(one) for one in worker.troubles if one.blocks), "")


def holding_up(fleet: Fleet, job: Job) -> str:
    """What keeps a job's attempts from ending, where that is known: `gpu-a: its keeper doesn't answer`."""
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
    """Say for assigned tasks that haven't started why they wait, and show all jobs that live on the worker."""
    reason = blocking(worker)
    for attempt in worker.live.values():
        job = fleet.jobs.get(attempt.job_id)
        if job is None or attempt.is_finished:
            continue
        task = job.tasks[attempt.index]
        if attempt.state is AttemptState.ASSIGNED and task.state is TaskState.ASSIGNED and task.current == attempt.id:
            fleet.set_task(job, task, task.state, f"{worker.name}: {reason}" if reason else "")
        fleet.touch_job(job)
