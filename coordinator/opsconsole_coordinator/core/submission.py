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
from opsconsole_coordinator.core.task import Fresh, fresh
from opsconsole_coordinator.core.template import fill_in
from opsconsole_coordinator.core.terms import Terms, check_split, split_spec
from opsconsole_protocol.api import Submission
from opsconsole_protocol.chain import check_cycle, check_dependency
from opsconsole_protocol.dependency import Dependency
from opsconsole_protocol.error import Conflict, InvalidRequest, LimitExceeded
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import JobId, check_job_id
from opsconsole_protocol.job_content import Upload
from opsconsole_protocol.quantity import size_words
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.state import TaskState

PENDING_TASKS_MAX = 1_000_000
"""Jobs are refused where more tasks than this would wait, so that a script gone wild doesn't use up the memory."""

_NO_RESULTS: dict[str, Upload] = {}
"""The results that a new job was handed: one for all, as it is replaced and never changed."""


class Prepared(NamedTuple):
    """A submission that was looked at by itself: nothing is wrong with it, and its job is made but for what it gets as it comes in."""

    job: Job
    headline: str
    """What an event tells of it."""


def prepare(fleet: Fleet, submission: Submission) -> Prepared:
    """Look at a submission by itself, which is most of the work. Raises InvalidRequest."""
    check_job_id(submission.job_id)
    spec = _filled_in(fleet, submission).spec
    terms, own = split_spec(spec)
    check_split(terms, own)
    after = tuple(dict.fromkeys(JobId(one.job) for one in terms.dependencies))
    # A copy: what is left of a message that is let go would keep the memory all around it from being given back.
    job_id = JobId("".join((submission.job_id[:1], submission.job_id[1:])))
    tasks = _fresh_tasks(terms, 0)
    job = Job(
        id=job_id, terms=terms, own=own, seq=0, created_at_ms=0, priority=spec.priority, after=after,
        kept_tasks=tasks, counts=tasks.counts, handed=_NO_RESULTS,
    )  # fmt: skip
    title = spec.title
    note_guess(fleet, job, title)
    many = f", {spec.num_tasks} tasks" if spec.num_tasks > 1 else ""
    return Prepared(job, f"submitted {title}{many}, priority {spec.priority}")


def submit(
    fleet: Fleet, submissions: Sequence[Submission | Prepared], after: Mapping[str, TaskState], actor: str, now_ms: int
) -> list[Job]:
    """Add jobs. `after` says how the jobs stand of which `spec.dependencies` tells, and their tasks where it names these, by whole ids.

    Returns the jobs, those already there included. Raises InvalidRequest, Conflict or LimitExceeded and adds nothing.

    Nobody else has a turn meanwhile, and there may be 10,000: what can be done for each by itself is done in `prepare`.
    """
    prepared = [one if isinstance(one, Prepared) else prepare(fleet, one) for one in submissions]
    _check(fleet, prepared, after)
    new = [one for one in prepared if one.job.id not in fleet.jobs]
    added = [job for job, _ in new]
    for job in added:
        _let_in(fleet, job, actor, now_ms)
    fleet.add_jobs(added)
    for job, headline in new:
        fleet.audit(now_ms, actor, EventKind.SUBMITTED, headline, job.id)
    _line_up(fleet, added, after, now_ms)
    return [fleet.jobs[job.id] for job, _ in prepared]


def _let_in(fleet: Fleet, job: Job, actor: str, now_ms: int) -> None:
    """Give a new job its number and its tasks."""
    fleet.job_seq += 1
    job.seq, job.submitted_by, job.created_at_ms = fleet.job_seq, actor, now_ms
    tasks = _fresh_tasks(job.terms, now_ms)
    job.kept_tasks, job.counts, job.ready = tasks, tasks.counts, tasks.ready


def _fresh_tasks(terms: Terms, now_ms: int) -> Fresh:
    held = terms.spec.held
    return fresh(terms.spec.num_tasks, TaskState.HELD if held else TaskState.PENDING, now_ms, held)


def _line_up(fleet: Fleet, jobs: Sequence[Job], after: Mapping[str, TaskState], now_ms: int) -> None:
    """Put new jobs where the scheduler looks, as far as they wait for nothing else. What is alike is put there at once."""
    alike: dict[tuple[Terms, int], tuple[Job, list[Job]]] = {}
    offers = fleet.reservations.offers
    for job in jobs:
        is_plain = job.terms.is_plain and job.id not in offers
        if is_plain and (found := alike.get((job.terms, job.guess_ms))) is not None:
            found[1].append(job)
            continue
        if not is_plain:
            note_stored(fleet, job, after)
            if job.elements:
                rank_ready(job)
            if job.blocked_by or job.elements:
                apply_dependencies(fleet, job, now_ms)
            if job.ready:
                use_offer(fleet, job, now_ms)
        elif job.ready:
            alike[job.terms, job.guess_ms] = job, []
        if job.ready:
            fleet.queue(job)
            fleet.must_schedule = True
    for first, others in alike.values():
        group = fleet.order.add_like(first, others)
        if group.reason and not group.must_explain:
            for job in others:
                fleet.note_reason(job, group.reason)


def _filled_in(fleet: Fleet, submission: Submission) -> Submission:
    """With what its template and its project say."""
    filled, known = fill_in(fleet, submission), fleet.jobs.get(submission.job_id)
    return Submission(filled.job_id, placed(fleet, filled.spec, None if known is None else known.spec))


def _check(fleet: Fleet, submissions: Sequence[Prepared], after: Mapping[str, TaskState]) -> None:
    batch = {one.job.id: one.job.terms for one in submissions}
    if len(batch) != len(submissions):
        raise InvalidRequest("two jobs of one batch have the same id")
    new_tasks = 0
    checked: set[Terms] = set()
    for job, _ in submissions:
        terms = job.terms
        known = fleet.jobs.get(job.id)
        if known is not None and known.spec != job.spec:
            raise Conflict(f"job {job.id} exists already with another spec: a new job needs a new id")
        if known is None:
            new_tasks += terms.spec.num_tasks
            if terms not in checked:
                check_takes_work(fleet, terms.spec.project)
                check_contents(fleet, terms.spec)
                checked.add(terms)
        for one in terms.dependencies:
            _check_dependency(fleet, terms.spec, one, batch, after)
    check_cycle({job.id: job.after for job, _ in submissions if job.after})
    check_room_for(fleet, new_tasks)


def check_room_for(fleet: Fleet, new_tasks: int) -> None:
    """Raise LimitExceeded where more tasks would wait than may."""
    waiting = fleet.tally.waiting
    if waiting + new_tasks > PENDING_TASKS_MAX:
        raise LimitExceeded(f"{waiting} tasks wait already and at most {PENDING_TASKS_MAX} may: wait or cancel some")


def _check_dependency(
    fleet: Fleet, spec: JobSpec, one: Dependency, batch: Mapping[JobId, Terms], after: Mapping[str, TaskState]
) -> None:
    """Raise InvalidRequest for what nobody can wait for."""
    other_id = JobId(one.job)
    live, new = fleet.jobs.get(other_id), batch.get(other_id)
    terms = new if new is not None else live.terms if live is not None else None
    other = None if terms is None else terms.spec
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
