"""What the store holds is put into memory, without noting anything as changed."""

from collections.abc import Callable, Iterable, Mapping

from opsconsole_coordinator.core.checkpointing import hurry
from opsconsole_coordinator.core.dependency import note_loaded
from opsconsole_coordinator.core.estimate import note_guess
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.handing import lacking, note_stored_copies
from opsconsole_coordinator.core.model import Attempt, Job, OutputCopy
from opsconsole_coordinator.core.ready import rank_ready
from opsconsole_coordinator.core.seal import MARK_BITS
from opsconsole_coordinator.core.task import Fresh
from opsconsole_coordinator.core.terms import Terms
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.state import TaskState


def begin_epoch(fleet: Fleet, past: Mapping[int, str]) -> None:
    """The store's numbers go on in a new epoch. `past`: the marks of those before, by the first number of each."""
    fleet.seal.begin_epoch(past, fleet.seq + 1, fleet.random_bits(MARK_BITS))


def load_jobs(
    fleet: Fleet, jobs: Iterable[Job], attempts: Iterable[Attempt], stored: Mapping[str, TaskState],
    titles: Mapping[JobId, str] | None = None,
) -> None:  # fmt: skip
    """Put jobs with their attempts into memory.

    `stored` says how the jobs that they come after stand in the store, and their tasks where these are named; `titles` has those of
    the jobs, where they are known.
    """
    titles = {} if titles is None else titles
    loaded: list[Job] = []
    waiting: list[Job] = []
    plain: dict[Terms, bool] = {}
    for job in jobs:
        fleet.jobs[job.id] = job
        note_guess(fleet, job, titles.get(job.id))
        is_plain = plain.get(job.terms)
        if is_plain is None:
            is_plain = plain[job.terms] = job.terms.is_plain
        if is_plain and isinstance(job.kept_tasks, Fresh) and not job.handed:
            fleet.tally.add_job(job)
            if ready := job.kept_tasks.ready:
                job.ready = ready
                waiting.append(job)
            continue
        loaded.append(job)
        fleet.index_job(job)
        for task in () if job.is_fresh else job.tasks:
            if task.latest is not None:
                hurry(fleet, job, task, 0)
    for attempt in attempts:
        load_attempt(fleet, attempt)
    note_loaded(fleet, loaded, stored)
    for job in loaded:
        rank_ready(job)
        if job.fault:
            job.reason = job.fault
        elif job.ready and not fleet.waits_for(job):
            waiting.append(job)
    fleet.order.fill(waiting)


def load_results(fleet: Fleet, copies_of: Callable[[JobId], Mapping[int, OutputCopy]], now_ms: int) -> None:
    """Hand to jobs in memory what became of the results that they take. `copies_of`: what the store has of a job's, by its tasks."""
    for job in fleet.jobs.values():
        for other in sorted(lacking(job)) if job.terms.spec.takes else ():
            note_stored_copies(fleet, job, other, copies_of(other), now_ms)


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
