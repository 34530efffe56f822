"""Jobs are submitted: all of a batch or none. A submission that is repeated is the same job."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from opsconsole_coordinator.core.content import contents_of
from opsconsole_coordinator.core.dependency import apply_dependencies, count_tasks, note_stored
from opsconsole_coordinator.core.estimate import note_guess
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Job
from opsconsole_coordinator.core.offering import use_offer
from opsconsole_coordinator.core.project import check_takes_work, placed
from opsconsole_coordinator.core.ready import rank_ready
from opsconsole_coordinator.core.task import fresh
from opsconsole_coordinator.core.template import fill_in
from opsconsole_coordinator.core.terms import Terms, check_split, split_spec, whole
from opsconsole_protocol.api import Submission
from opsconsole_protocol.chain import check_cycle, check_dependency
from opsconsole_protocol.dependency import Dependency
from opsconsole_protocol.error import Conflict, InvalidRequest, LimitExceeded
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import JobId, check_job_id
from opsconsole_protocol.quantity import size_words
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.state import TaskState

PENDING_TASKS_MAX = 1_000_000
"""Jobs are refused where more tasks than this would wait, so that a script gone wild doesn't use up the memory."""


class Prepared(NamedTuple):
    """A submission that was looked at by itself: filled in, and nothing is wrong with it."""

    job_id: JobId
    terms: Terms
    own: bytes
    """As a job has both."""
    title: str


def prepare(fleet: Fleet, submission: Submission) -> Prepared:
    """Look at a submission by itself, which is most of the work. Raises InvalidRequest."""
    check_job_id(submission.job_id)
    spec = _filled_in(fleet, submission).spec
    terms, own = split_spec(spec)
    check_split(terms, own)
    return Prepared(submission.job_id, terms, own, spec.title)


def submit(
    fleet: Fleet, submissions: Sequence[Submission | Prepared], after: Mapping[str, TaskState], actor: str, now_ms: int
) -> list[Job]:
    """Add jobs. `after` says how the jobs stand of which `spec.dependencies` tells, and their tasks where it names these, by whole ids.

    Returns the jobs, those already there included. Raises InvalidRequest, Conflict or LimitExceeded and adds nothing.
    """
    prepared = [one if isinstance(one, Prepared) else prepare(fleet, one) for one in submissions]
    _check(fleet, prepared, after)
    jobs: list[Job] = []
    added: list[Job] = []
    for one in prepared:
        job = fleet.jobs.get(one.job_id)
        if job is None:
            job = _make_job(fleet, one, actor, now_ms)
            fleet.add_job(job)
            fleet.audit(now_ms, actor, EventKind.SUBMITTED, _headline(job, one.title), job.id)
            added.append(job)
        jobs.append(job)
    for job in added:
        note_stored(fleet, job, after)
        if job.elements:
            rank_ready(job)
        if job.blocked_by or job.waiting_on or job.elements:
            apply_dependencies(fleet, job, now_ms)
        if job.ready:
            use_offer(fleet, job, now_ms)
        if job.ready:
            fleet.queue(job)
            fleet.must_schedule = True
    return jobs


def _filled_in(fleet: Fleet, submission: Submission) -> Submission:
    """With what its template and its project say."""
    filled, known = fill_in(fleet, submission), fleet.jobs.get(submission.job_id)
    return Submission(filled.job_id, placed(fleet, filled.spec, None if known is None else known.spec))


def _headline(job: Job, title: str) -> str:
    tasks = f", {job.num_tasks} tasks" if job.num_tasks > 1 else ""
    return f"submitted {title}{tasks}, priority {job.priority}"


def _check(fleet: Fleet, submissions: Sequence[Prepared], after: Mapping[str, TaskState]) -> None:
    batch = {submission.job_id: submission.terms.spec for submission in submissions}
    if len(batch) != len(submissions):
        raise InvalidRequest("two jobs of one batch have the same id")
    new_tasks = 0
    for submission in submissions:
        spec = submission.terms.spec
        known = fleet.jobs.get(submission.job_id)
        if known is not None and known.spec != _spec_of(submission):
            raise Conflict(f"job {submission.job_id} exists already with another spec: a new job needs a new id")
        if known is None:
            check_takes_work(fleet, spec.project)
            check_contents(fleet, spec)
        for one in submission.terms.dependencies:
            _check_dependency(fleet, spec, one, batch, after)
        new_tasks += spec.num_tasks if known is None else 0
    check_cycle({job: spec.comes_after for job, spec in batch.items() if spec.names_jobs})
    check_room_for(fleet, new_tasks)


def check_room_for(fleet: Fleet, new_tasks: int) -> None:
    """Raise LimitExceeded where more tasks would wait than may."""
    waiting = fleet.tally.waiting
    if waiting + new_tasks > PENDING_TASKS_MAX:
        raise LimitExceeded(f"{waiting} tasks wait already and at most {PENDING_TASKS_MAX} may: wait or cancel some")


def _check_dependency(
    fleet: Fleet, spec: JobSpec, one: Dependency, batch: Mapping[JobId, JobSpec], after: Mapping[str, TaskState]
) -> None:
    """Raise InvalidRequest for what nobody can wait for."""
    other_id = JobId(one.job)
    live = fleet.jobs.get(other_id)
    other = batch.get(other_id) or (live.spec if live is not None else None)
    if other is None and other_id not in after:
        raise InvalidRequest(f"{one.end.option} {one.text}: there is no such job")
    is_counted = one.task_index is not None or one.each
    count = other.num_tasks if other is not None else count_tasks(other_id, after) if is_counted else 0
    check_dependency(spec, one, other, count)


def check_contents(fleet: Fleet, spec: JobSpec) -> None:
    """Raise InvalidRequest for a job with a tree that nobody has and nobody will send: it would wait for ever."""
    for one in contents_of(spec):
        if not one.host_id and not fleet.contents.can_be_had(one.content_id, fleet.workers):
            raise InvalidRequest(
                f"{one.what} ({size_words(one.size_bytes)}) isn't kept here any more: submit it again, so that it is sent once more"
            )


def _spec_of(submission: Prepared) -> JobSpec:
    return whole(submission.terms, submission.own) if submission.own else submission.terms.spec


def _make_job(fleet: Fleet, submission: Prepared, actor: str, now_ms: int) -> Job:
    fleet.job_seq += 1
    spec = submission.terms.spec
    first = TaskState.HELD if spec.held else TaskState.PENDING
    tasks = fresh(spec.num_tasks, first, now_ms, spec.held)
    job = Job(
        id=submission.job_id,
        terms=submission.terms,
        own=submission.own,
        seq=fleet.job_seq,
        submitted_by=actor,
        created_at_ms=now_ms,
        priority=spec.priority,
        after=tuple(JobId(other) for other in spec.comes_after) if spec.names_jobs else (),
        kept_tasks=tasks,
        counts=tasks.counts,
        ready=tasks.ready,
    )
    note_guess(fleet, job, submission.title)
    return job
