"""What the store holds is put into memory, without noting anything as changed."""

from collections.abc import Iterable, Mapping

from opsconsole_coordinator.core.checkpointing import hurry
from opsconsole_coordinator.core.dependency import note_dependency
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Attempt, Job
from opsconsole_coordinator.core.ready import rank_ready
from opsconsole_coordinator.core.seal import MARK_BITS
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.state import TaskState


def begin_epoch(fleet: Fleet, past: Mapping[int, str]) -> None:
    """The store's numbers go on in a new epoch. `past`: the marks of those before, by the first number of each."""
    fleet.seal.begin_epoch(past, fleet.seq + 1, fleet.random_bits(MARK_BITS))


def load_jobs(
    fleet: Fleet, jobs: Iterable[Job], attempts: Iterable[Attempt], stored: Mapping[JobId, TaskState]
) -> None:
    """Put jobs with their attempts into memory. `stored` says how the jobs that they come after stand in the store."""
    loaded = list(jobs)
    for job in loaded:
        fleet.jobs[job.id] = job
        fleet.index_job(job)
        rank_ready(job)
        for task in job.tasks:
            if task.latest is not None:
                hurry(fleet, job, task, 0)
    for attempt in attempts:
        load_attempt(fleet, attempt)
    for job in loaded:
        for other in job.after:
            live = fleet.jobs.get(other)
            note_dependency(job, other, live.state if live is not None else stored.get(other, TaskState.FAILED))
        if job.fault:
            job.reason = job.fault
        elif job.ready and not fleet.waits_for(job):
            fleet.order.add(job)


def load_attempt(fleet: Fleet, attempt: Attempt) -> None:
    """Put an attempt into memory, and where it belongs on its worker."""
    fleet.attempts[attempt.id] = attempt
    worker = fleet.workers.get(attempt.worker_id)
    if worker is None:
        return
    if not attempt.is_finished:
        worker.live[attempt.id] = attempt
        fleet.usage.resume(fleet.jobs[attempt.job_id], attempt)
    elif attempt.open:
        worker.ended[attempt.id] = attempt
