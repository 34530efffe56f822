"""When a job that waits is expected to start: who has a turn before it, and when its workers have room after them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from opsconsole_coordinator.core import estimate
from opsconsole_coordinator.core.demand import Demand
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.forecast import Waiting, starts
from opsconsole_coordinator.core.judgement import Offer, judge_all
from opsconsole_coordinator.core.model import Job, ProjectStatus, Worker
from opsconsole_coordinator.core.offer import shortage_of
from opsconsole_coordinator.core.order import Group
from opsconsole_coordinator.core.quota import standing
from opsconsole_protocol.estimate import Estimate
from opsconsole_protocol.ids import JobId, WorkerId

AHEAD_JOBS_MAX = 100
"""How many jobs ahead are followed, in how many tasks of them, and how many offers are looked at for that: beyond, nothing is claimed."""
AHEAD_TASKS_MAX = 400
AHEAD_OFFERS_MAX = 20_000
FITS_OFFERS_MAX = 5_000
"""How many offers are looked at to leave out whom no worker fits: beyond, they are told as ahead, too."""
AHEAD_NAMED = 5
"""How many of those ahead are named."""
_NOW = Estimate(0, 0, 0)


class Ahead(NamedTuple):
    """The jobs that have their turn before another: those of which that is sure, and with them those that have it as things stand."""

    sure: Sequence[JobId]
    standing: Sequence[JobId]


NOBODY = Ahead((), ())


def ahead_of(fleet: Fleet, job: Job, now_ms: int) -> Ahead:
    """Who is before a job that waits, the first first. Nobody, where it isn't in the queue."""
    own = fleet.order.group_of(job.id)
    if own is None:
        return NOBODY
    if len(fleet.workers) <= FITS_OFFERS_MAX and not _takers(fleet, job, now_ms)[1]:
        return NOBODY  # no turn would help it
    mine = _key(fleet, own, now_ms)[:3]
    sure: list[tuple[tuple[float, ...], JobId]] = []
    maybe: list[tuple[tuple[float, ...], JobId]] = []
    for group in _competing(fleet, now_ms):
        key = _key(fleet, group, now_ms)[:3]
        if key > mine:
            continue
        is_own = group.line is own.line
        found = [
            ((*key, seq), job_id) for seq, job_id in group.jobs if job_id != job.id and (not is_own or seq < job.seq)
        ]
        (sure if is_own or group.line.priority > own.line.priority else maybe).extend(found)
    return Ahead([one for _, one in sorted(sure)], [one for _, one in sorted(sure + maybe)])


def ahead_of_new(fleet: Fleet, priority: int, now_ms: int) -> Ahead:
    """Who is before a job that isn't submitted yet: for sure those of a higher priority, and else all of its own."""
    found = sorted(
        ((*_key(fleet, group, now_ms)[:3], seq), job_id, group.line.priority > priority)
        for group in _competing(fleet, now_ms)
        if group.line.priority >= priority
        for seq, job_id in group.jobs[: AHEAD_JOBS_MAX + 1]
    )
    return Ahead([one for _, one, is_sure in found if is_sure], [one for _, one, _ in found])


def _competing(fleet: Fleet, now_ms: int) -> Iterable[Group]:
    """The groups that take what becomes free: none of projects that don't run, or that have as much as they may have, or that no worker fits."""
    groups = [
        one for one in fleet.order.groups
        if one not in fleet.order.over_quota and fleet.project_status(one.line.project) is ProjectStatus.ACTIVE
    ]  # fmt: skip
    if len(groups) * len(fleet.workers) > FITS_OFFERS_MAX:
        return groups
    return [one for one in groups if _takers(fleet, fleet.jobs[one.jobs[0][1]], now_ms)[1]]


def _takers(fleet: Fleet, job: Job, now_ms: int) -> tuple[Demand, list[Worker]]:
    """What a task of a job needs, and the workers that have room for it or will have."""
    demand = Demand(job.spec, job.requirements, job_id=job.id)
    offers = judge_all(fleet.workers.values(), demand, fleet.questions.answers, shortage_of(fleet, demand), now_ms)
    return demand, [one.worker for one in offers if one.accepted or one.soon]


def _key(fleet: Fleet, group: Group, now_ms: int) -> tuple[float, float, float, int]:
    project_ms, person_ms = standing(fleet, group.line.project, group.line.person, now_ms)
    return -group.line.priority, project_ms, person_ms, group.jobs[0][0]


def expected_starts(
    fleet: Fleet, offers: Iterable[Offer], demand: Demand, ahead: Ahead, now_ms: int
) -> dict[WorkerId, Estimate]:  # fmt: skip
    """When workers are expected to have room for a task, from now; without those of which nobody knows.

    As early as after those that are ahead for sure; as late as after all that are ahead as things stand.
    """
    found = {offer.worker.id: _NOW for offer in offers if offer.accepted}
    full = [offer.worker for offer in offers if offer.soon and not offer.accepted and not offer.lacks_file]
    if not full:
        return found
    first, last = _waiting(fleet, ahead.sure, now_ms), _waiting(fleet, ahead.standing, now_ms)
    if first is None or last is None:
        return found
    workers = {one.id: one for waiting in last for one in waiting.workers} | {one.id: one for one in full}
    ends = {
        attempt.id: estimate.remaining(fleet.jobs[attempt.job_id], attempt, now_ms)
        for worker in workers.values()
        for attempt in worker.live.values()
    }
    early = starts(full, demand, ends, first)
    late = starts(full, demand, ends, last) if ahead.sure != ahead.standing else early
    for worker_id in early.keys() & late.keys():
        low, high = early[worker_id], late[worker_id]
        found[worker_id] = Estimate(min(low.low_ms, high.low_ms), high.mid_ms, max(low.high_ms, high.high_ms))
    return found


def _waiting(fleet: Fleet, job_ids: Sequence[JobId], now_ms: int) -> list[Waiting] | None:
    """What those ahead need; None where they are too many to be followed."""
    if len(job_ids) > AHEAD_JOBS_MAX:
        return None
    jobs = [fleet.jobs[one] for one in job_ids]
    if sum(len(job.ready) for job in jobs) > AHEAD_TASKS_MAX or len(jobs) * len(fleet.workers) > AHEAD_OFFERS_MAX:
        return None
    found: list[Waiting] = []
    for job in jobs:
        demand, workers = _takers(fleet, job, now_ms)
        found.append(Waiting(len(job.ready), demand, workers, estimate.estimate(fleet, job.spec)))
    return found
