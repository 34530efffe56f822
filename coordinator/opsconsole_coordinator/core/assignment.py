"""Tasks are assigned to workers. From then on a lost attempt of the task can't come back any more."""

from collections.abc import Sequence

from opsconsole_coordinator.core.checkpointing import at_step, choose_resume, source_of, step_words
from opsconsole_coordinator.core.demand import promised_of
from opsconsole_coordinator.core.desired import add_attempt, desired_of, forget
from opsconsole_coordinator.core.estimate import estimate
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.gpu_share import counted_gpus
from opsconsole_coordinator.core.judgement import Offer
from opsconsole_coordinator.core.model import SYSTEM, Attempt, Job
from opsconsole_coordinator.core.task import Task
from opsconsole_protocol import link
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import attempt_id
from opsconsole_protocol.quantity import memory_words
from opsconsole_protocol.state import AttemptState


def assign(
    fleet: Fleet, job: Job, task: Task, offer: Offer, now_ms: int, gang: link.Gang | None = None
) -> Attempt:  # fmt: skip
    """Make the task's next attempt, and put it into the desired set of the worker that made the offer."""
    replace_lost(fleet, job, task, now_ms)
    worker = offer.worker
    number, share_mb = task.attempts, job.spec.resources.share_mb
    attempt = Attempt(
        id=attempt_id(job.id, task.index, number, fleet.random_bits(20)),
        job_id=job.id,
        index=task.index,
        number=number,
        worker_id=worker.id,
        worker_name=worker.name,
        gpu_ids=offer.gpu_ids,
        share_mb=share_mb,
        shared_gpus=counted_gpus(worker, offer.gpu_ids, share_mb) if share_mb else 0.0,
        gang=gang,
        promised=promised_of(job.spec),
        assigned_at_ms=now_ms,
        estimate=estimate(fleet, job.spec, worker, task.index),
        fills_until_ms=offer.fills_until_ms,
        want=link.Want(grace_ms=job.spec.grace_ms),
    )
    attempt.resume, attempt.resumed_from = choose_resume(job, task, worker)
    add_attempt(fleet, job, task, worker, attempt, now_ms)
    job.way_until_ms = 0
    supply, because = (
        (f", which {offer.supply}" if offer.supply else ""),
        (f": {offer.because}" if offer.because else ""),
    )
    where = f"{worker.name}{_gpu_words(offer.gpu_ids, share_mb)}{supply}"
    words = f"attempt {number} assigned to {where}{_resume_words(source_of(job, task), attempt)}{because}"
    fleet.audit(now_ms, SYSTEM, EventKind.ASSIGNED, words, job.task_id(task.index))
    attempt.assigned_seq = fleet.next_seq(worker)
    fleet.send(worker, link.JobAssignment(seq=attempt.assigned_seq, desired=desired_of(fleet, job, attempt)))
    return attempt


def _gpu_words(gpu_ids: Sequence[str], share_mb: int) -> str:
    """` with 2 GPUs`, ` with 6G of a GPU, shared`; empty without any."""
    count = len(gpu_ids)
    if not share_mb:
        return f" with {count} GPU{'s' if count > 1 else ''}" if count else ""
    return f" with {memory_words(share_mb)} of {f'{count} GPUs each' if count > 1 else 'a GPU'}, shared"


def _resume_words(task: Task, attempt: Attempt) -> str:
    newest = task.latest.checkpoint if task.latest is not None else None
    if attempt.resume is None:
        return f", from the beginning: its checkpoint{at_step(newest)} is lost" if newest is not None else ""
    words = f", goes on from {step_words(attempt.resumed_from)}"
    is_older = newest is not None and newest != attempt.resumed_from
    return f"{words}: the newest, {step_words(newest)}, is lost" if is_older else words


def replace_lost(fleet: Fleet, job: Job, task: Task, now_ms: int) -> None:
    """A replacement is about to be assigned: the lost attempt before it can't come back any more."""
    attempt = fleet.current(task)
    if attempt is not None and attempt.lost:
        if attempt.worker_id not in task.strays:
            task.strays = (*task.strays, attempt.worker_id)
        fleet.set_attempt(attempt, AttemptState.WORKER_FAILED)
        attempt.finished_at_ms = now_ms
        attempt.lost = False
        fleet.release_slot(job, attempt, now_ms)
        forget(fleet, attempt)
        fleet.audit(
            now_ms, SYSTEM, EventKind.REPLACED, f"attempt {attempt.number} on {attempt.worker_name} is replaced",
            job.task_id(task.index),
        )  # fmt: skip
