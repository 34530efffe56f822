"""What the store holds is put into memory, without noting anything as changed."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from opsconsole_coordinator.core.checkpointing import hurry
from opsconsole_coordinator.core.dependency import note_loaded
from opsconsole_coordinator.core.estimate import is_guessed, note_guess
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.handing import lacking, note_stored_copies
from opsconsole_coordinator.core.model import Attempt, Job, OutputCopy
from opsconsole_coordinator.core.ready import rank_ready
from opsconsole_coordinator.core.seal import MARK_BITS
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.state import TaskState


def begin_epoch(fleet: Fleet, past: Mapping[int, str]) -> None:
    """The store's numbers go on in a new epoch. `past`: the marks of those before, by the first number of each."""
    fleet.seal.begin_epoch(past, fleet.seq + 1, fleet.random_bits(MARK_BITS))


class Alike(NamedTuple):
    """Jobs that wait for nothing but a worker: what they are told in is the same, but for their numbers and what is their own.

    Nothing has happened to any of their tasks.
    """

    jobs: list[Job]
    titles: list[str]
    """Of each."""


def load_alike(fleet: Fleet, alike: Iterable[Alike]) -> None:
    """Put jobs with their place in the queue into memory, all but their ids (`Fleet.jobs`)."""
    waiting: list[list[Job]] = []
    for jobs, titles in alike:
        fleet.tally.add_waiting(jobs)
        terms = jobs[0].terms.spec
        known = {title for title in set(titles) if is_guessed(fleet, terms, title)}
        if not known:
            waiting.append(jobs)
            continue
        by_guess: dict[int, list[Job]] = {}
        for job, title in zip(jobs, titles, strict=True):
            if title in known:
                note_guess(fleet, job, title)
            by_guess.setdefault(job.guess_ms, []).append(job)
        waiting += by_guess.values()
    fleet.order.fill(waiting)


def load_jobs(
    fleet: Fleet, jobs: Iterable[Job], attempts: Iterable[Attempt], stored: Mapping[str, TaskState],
    titles: Mapping[JobId, str] | None = None,
) -> None:  # fmt: skip
    """Put jobs with their attempts into memory.

    `stored` says how the jobs that they come after stand in the store, and their tasks where these are named; `titles` has those of
    the jobs, where they are known.
    """
    titles = {} if titles is None else titles
    loaded = list(jobs)
    for job in loaded:
        fleet.jobs[job.id] = job
        note_guess(fleet, job, titles.get(job.id))
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
            fleet.order.add(job)


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
