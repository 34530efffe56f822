"""What operators do to the queue as such: moving waiting jobs, taking them off, and how many tasks of one run at a time."""

from collections.abc import Sequence

import msgspec

from opsconsole_coordinator.core.control import Order, act
from opsconsole_coordinator.core.dependent import some_names
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Job
from opsconsole_coordinator.core.ready import next_priority
from opsconsole_protocol.api import Where
from opsconsole_protocol.error import Conflict, InvalidRequest, LimitExceeded, NotFound
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.spec import check_spec
from opsconsole_protocol.state import TaskState, is_task_waiting

PASSED_MAX = 10_000
"""Past how many jobs one is moved at once: each of them gets another place."""
_UNSTARTED = frozenset({TaskState.PENDING, TaskState.HELD, TaskState.BLOCKED})


def move(fleet: Fleet, job_id: JobId, where: str, other_id: JobId | None, actor: str, now_ms: int) -> str:
    """Give a waiting job another place among those of the same person, project and priority; return in one line what was done.

    These jobs exchange their places, so nobody else's turn changes. Raises Conflict where no order decides between the two,
    InvalidRequest or LimitExceeded, and then nothing changed.
    """
    if where not in tuple(Where):
        raise InvalidRequest(f"{where[:40]!r} is no place: use one of {', '.join(Where)}")
    job = _waiting_job(fleet, job_id)
    other = None if other_id is None else _waiting_job(fleet, other_id)
    if (other is None) == (where in {Where.BEFORE, Where.AFTER}):
        raise InvalidRequest("name the job to move it before or after; the other places take none")
    if other is not None:
        _check_equal(job, other)
    line = sorted((one for one in fleet.jobs.values() if _is_waiting(one) and _key(one) == _key(job)), key=_number)
    at = line.index(job)
    wanted = _wanted_place(line, at, Where(where), other)
    if wanted == at:
        return f"stands there already: {_standing(line, at)}"
    first, last = min(at, wanted), max(at, wanted)
    if last - first > PASSED_MAX:
        raise LimitExceeded(f"{last - first:,} jobs stand between, and a job is moved past {PASSED_MAX:,} at most")
    part = line[first : last + 1]
    numbers = [one.number for one in part]
    part.insert(wanted - first, part.pop(at - first))
    for one, number in zip(part, numbers, strict=True):
        if one.number != number:
            _place(fleet, one, number)
    line[first : last + 1] = part
    beside = "" if other is None else f" {where} {other.id}"
    words = f"moved{beside} by {actor}: {_standing(line, wanted)}{_still(job)}"
    fleet.audit(now_ms, actor, EventKind.MOVE, words, job.id)
    return words


def pop(fleet: Fleet, project: str, index: int, actor: str, now_ms: int, *, hold: bool) -> Job:
    """Cancel, or hold, one of the jobs of which nothing has started and that wait for nothing but a worker, and return it.

    `index` counts them in the order of priorities and places, from 0, or from the end: -1. `project` empty: of all projects. Raises
    NotFound where there is none at that place.
    """
    found = [
        job_id for job_id in fleet.order
        if (job := fleet.jobs[job_id]).counts.keys() == {TaskState.PENDING} and project in {"", job.terms.spec.project}
    ]  # fmt: skip
    if not -len(found) <= index < len(found):
        whose = f" of project {project}" if project else ""
        many = f"{len(found)} job{'s wait' if len(found) > 1 else ' waits'}" if found else "no job waits"
        raise NotFound(f"{many}{whose}: there is none to take" + (f" at place {index}" if found else ""))
    job = fleet.jobs[found[index]]
    act(fleet, "hold" if hold else "cancel", job.id, None, Order(actor, "taken off the queue"), now_ms)
    return job


def clear(
    fleet: Fleet, project: str, limit: int, actor: str, now_ms: int, *, dry_run: bool
) -> tuple[list[JobId], bool]:  # fmt: skip
    """Cancel a project's jobs of which nothing runs or has ended: at most `limit`, the last ones first.

    Returns them in the order of the queue, and whether there are others.
    """
    found = sorted(
        (job for job in fleet.jobs.values() if job.terms.spec.project == project and job.counts.keys() <= _UNSTARTED),
        key=lambda job: (-next_priority(job), job.number),
    )
    cleared = found[-limit:]
    if not dry_run:
        for job in reversed(cleared):  # so none of them is first blocked by another's end
            act(fleet, "cancel", job.id, None, Order(actor, f"queue of {project} cleared"), now_ms)
    return [job.id for job in cleared], len(cleared) < len(found)


def set_parallel(fleet: Fleet, job_id: JobId, most: int | None, actor: str, now_ms: int) -> str:
    """Change how many of a job's tasks may run at a time, and return in one line what was done. Those that run go on.

    None: as many as there is room for. Raises Conflict or InvalidRequest, and then nothing changed.
    """
    job = fleet.jobs.get(job_id)
    if job is None or job.is_finished:
        raise Conflict(f"job {job_id} has ended: how many of its tasks run at a time means nothing any more")
    spec = msgspec.structs.replace(job.spec, max_parallel=most)
    check_spec(spec)
    job.spec = spec
    fleet.touch_spec(job)
    if job.ready:
        fleet.queue(job)
        fleet.must_schedule = True
    said = "any number of its tasks runs" if most is None else f"at most {most} of its tasks run"
    words = f"{said} at a time, set by {actor}"
    fleet.audit(now_ms, actor, EventKind.PARALLEL, words, job.id)
    return words


def _waiting_job(fleet: Fleet, job_id: JobId) -> Job:
    job = fleet.jobs.get(job_id)
    if job is None or not _is_waiting(job):
        state = "has ended" if job is None or job.is_finished else "has no task that waits"
        raise Conflict(f"job {job_id} {state}: only jobs that wait have a place in the queue")
    return job


def _is_waiting(job: Job) -> bool:
    return any(map(is_task_waiting, job.counts))


def _key(job: Job) -> tuple[int, str, str]:
    return next_priority(job), job.terms.spec.project, job.submitted_by


def _number(job: Job) -> int:
    return job.number


def _check_equal(job: Job, other: Job) -> None:
    """Raise Conflict where something else than their order decides which of the two is next."""
    if job is other:
        raise InvalidRequest(f"job {job.id} can't be moved before or after itself")
    mine, others = next_priority(job), next_priority(other)
    if mine != others:
        raise Conflict(
            f"job {job.id} has priority {mine} and job {other.id} {others}: that decides, so change it with opsconsole priority"
        )
    if job.spec.project != other.spec.project:
        raise Conflict(
            f"job {job.id} is of project {job.spec.project} and job {other.id} of {other.spec.project}: "
            "which project is next is decided by their shares"
        )
    if job.submitted_by != other.submitted_by:
        raise Conflict(
            f"job {job.id} is {job.submitted_by}'s and job {other.id} {other.submitted_by}'s: "
            "who is next is decided by their shares"
        )


def _wanted_place(line: Sequence[Job], at: int, where: Where, other: Job | None) -> int:
    match where:
        case Where.FIRST:
            return 0
        case Where.LAST:
            return len(line) - 1
        case Where.EARLIER:
            return max(0, at - 1)
        case Where.LATER:
            return min(len(line) - 1, at + 1)
    assert other is not None  # noqa: S101 - checked before
    there = line.index(other)
    if where is Where.BEFORE:
        return there - (at < there)
    return there + (at > there)


def _place(fleet: Fleet, job: Job, number: int) -> None:
    job.place = number
    fleet.touch_job(job)
    if job.id in fleet.order:
        fleet.queue(job)
        fleet.must_schedule = True


def _standing(line: Sequence[Job], at: int) -> str:
    job = line[at]
    return f"{at + 1} of {len(line)} of {job.submitted_by}'s jobs in project {job.spec.project} with priority {next_priority(job)}"


def _still(job: Job) -> str:
    """What keeps it from being next all the same."""
    if TaskState.PENDING in job.counts:
        return f"; it still waits for {some_names(job.waiting_on)}" if job.waiting_on else ""
    return "; it is held" if TaskState.HELD in job.counts else "; it is blocked"
