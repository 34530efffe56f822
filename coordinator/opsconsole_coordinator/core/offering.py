"""Offers are reserved by who chooses them, used by the job that follows, and free again after a while.

What is reserved counts as if the task was there: for what is free on the worker, for limits, and for what was had. The scheduler has a
pass before each new one, so nothing is reserved that a waiting job can have, and one that waits for reserved room gets it after
OFFER_RESERVED_MS at the latest: it isn't reserved anew before that job's turn.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from opsconsole_coordinator.core.assignment import assign
from opsconsole_coordinator.core.control import find_worker
from opsconsole_coordinator.core.demand import Demand, demand_of, promised_of
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.gpu_share import counted_gpus
from opsconsole_coordinator.core.judgement import Offer
from opsconsole_coordinator.core.model import Job, ProjectStatus, Worker
from opsconsole_coordinator.core.offer import collect_offer, collect_offers
from opsconsole_coordinator.core.project import check_takes_work, placed
from opsconsole_coordinator.core.quota import refusal
from opsconsole_coordinator.core.ranking import Ranking
from opsconsole_coordinator.core.ready import add_ready, take_ready
from opsconsole_coordinator.core.reserved_offer import OFFER_RESERVED_MS, OFFERS_RESERVED_MAX, Refused, ReservedOffer
from opsconsole_coordinator.core.schedule import schedule
from opsconsole_protocol import requirement
from opsconsole_protocol.error import Conflict
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.spec import JobSpec


def reserve_offer(
    fleet: Fleet, job_id: JobId, spec: JobSpec, worker_name: str, actor: str, now_ms: int
) -> ReservedOffer | Refused:  # fmt: skip
    """Reserve what a worker, or without a name the best one, offers a job, in the place of what was reserved for that job before.

    Raises NotFound, InvalidRequest, Conflict or Forbidden, and then nothing changed.
    """
    worker = find_worker(fleet, worker_name) if worker_name else None
    spec = placed(fleet, spec)
    demand = Demand(spec, requirement.parse_all(spec.requirements), person=actor)
    check_takes_work(fleet, spec.project)
    before = fleet.reservations.offers.get(job_id)
    if job_id in fleet.jobs or (before is not None and before.person != actor):
        raise Conflict(f"there is a job {job_id} already: a new job needs a new id")
    if before is not None:
        free_offer(fleet, before, now_ms)
    if fleet.must_schedule:
        schedule(fleet, now_ms)
    reason = _unreservable(fleet, spec, actor) or refusal(fleet, spec.project, actor, demand)
    if reason:
        return Refused(reason)
    offer = _chosen(fleet, worker, demand, now_ms)
    if offer is None:
        return Refused("no worker takes it now")
    if not offer.accepted:
        return Refused(f"{offer.worker.name} {offer.reason}", bool(offer.questions))
    if offer.fills_until_ms:
        return Refused(f"{offer.worker.name} has room only until another job starts there, which is next in line")
    until_ms = now_ms + OFFER_RESERVED_MS
    if before is not None and before.worker_id == offer.worker.id and before.until_ms > now_ms:
        until_ms = before.until_ms
    made = _made(offer, job_id, spec, actor, until_ms)
    fleet.reservations.offers[job_id] = made
    offer.worker.live.reserve(made)
    fleet.usage.reserve(made, now_ms)
    fleet.show_worker(offer.worker)
    return made


def free_offer(fleet: Fleet, offer: ReservedOffer, now_ms: int) -> None:
    """What was reserved is anybody's again."""
    del fleet.reservations.offers[offer.job_id]
    fleet.usage.free(offer, now_ms)
    fleet.order.note_release(offer.project, offer.person)
    fleet.must_schedule = True
    worker = fleet.workers.get(offer.worker_id)
    if worker is not None:
        worker.live.free(offer.job_id)
        fleet.show_worker(worker)


def use_offer(fleet: Fleet, job: Job, now_ms: int) -> None:
    """A job has come in: its first task gets what was reserved for it, unless it asks for more, or may not have it any more."""
    offer = fleet.reservations.offers.get(job.id)
    if offer is None or offer.person != job.submitted_by:
        return
    free_offer(fleet, offer, now_ms)
    worker = fleet.workers.get(offer.worker_id)
    is_active = fleet.project_status(job.spec.project) is ProjectStatus.ACTIVE
    if worker is None or not is_active or fleet.adopting or fleet.waits_for(job) or not _is_within(job.spec, offer):
        return
    demand = demand_of(job)
    if refusal(fleet, job.spec.project, job.submitted_by, demand):
        return
    found = collect_offer(fleet, worker, demand, now_ms)
    task = take_ready(job)
    if found.accepted and job.can_start(task):
        assign(fleet, job, task, replace(found, because="its offer was reserved for this job"), now_ms)
    else:
        add_ready(job, task.index)


def watch_offers(fleet: Fleet, now_ms: int) -> None:
    """Free what isn't used in time, and what its worker can't give any more."""
    for offer in list(fleet.reservations.offers.values()):
        worker = fleet.workers.get(offer.worker_id)
        if now_ms >= offer.until_ms or worker is None or _has_left(worker, offer, now_ms):
            free_offer(fleet, offer, now_ms)


@contextmanager
def without_offer(fleet: Fleet, job_id: JobId | None) -> Iterator[None]:
    """Within this context what is reserved for a job is free: it is free to that job."""
    offer = fleet.reservations.offers.get(job_id) if job_id is not None else None
    worker = None if offer is None else fleet.workers.get(offer.worker_id)
    if offer is None or worker is None:
        yield
        return
    worker.live.free(offer.job_id)
    try:
        with fleet.usage.without(offer):
            yield
    finally:
        worker.live.reserve(offer)


def _unreservable(fleet: Fleet, spec: JobSpec, person: str) -> str:
    """Why nothing can be reserved, whatever workers say; empty where it can."""
    if fleet.adopting:
        return "the store was restored from a backup: an admin has to confirm that"
    if fleet.project_status(spec.project) is not ProjectStatus.ACTIVE:
        return f"project {spec.project} is {fleet.project_status(spec.project)}: the job will wait"
    if spec.held or spec.dependencies:
        return "the job will wait for something else than a worker: nothing is reserved for it"
    if spec.gang:
        return "the tasks of a gang are placed together: nothing is reserved for one of them"
    if sum(one.person == person for one in fleet.reservations.offers.values()) >= OFFERS_RESERVED_MAX:
        return (
            f"{OFFERS_RESERVED_MAX} offers are reserved for {person} already: submit one of those jobs, or give it up"
        )
    return ""


def _chosen(fleet: Fleet, worker: Worker | None, demand: Demand, now_ms: int) -> Offer | None:
    if worker is not None:
        return collect_offer(fleet, worker, demand, now_ms)
    return Ranking(fleet, demand.spec).choose(collect_offers(fleet, demand, now_ms))


def _made(offer: Offer, job_id: JobId, spec: JobSpec, person: str, until_ms: int) -> ReservedOffer:
    share_mb = spec.resources.share_mb
    return ReservedOffer(
        job_id=job_id,
        person=person,
        project=spec.project,
        worker_id=offer.worker.id,
        until_ms=until_ms,
        gpu_ids=offer.gpu_ids,
        share_mb=share_mb,
        shared_gpus=counted_gpus(offer.worker, offer.gpu_ids, share_mb) if share_mb else 0.0,
        promised=promised_of(spec),
    )


def _is_within(spec: JobSpec, offer: ReservedOffer) -> bool:
    """Whether a task asks for no more than was reserved: for more it has its turn among all others."""
    needs = spec.resources
    return (
        not spec.gang
        and needs.gpus_asked <= len(offer.gpu_ids)
        and needs.share_mb <= offer.share_mb
        and bool(needs.share_mb) == bool(offer.share_mb)
        and all(need <= offer.promised.get(key, 0.0) for key, need in promised_of(spec).items())
    )


def _has_left(worker: Worker, offer: ReservedOffer, now_ms: int) -> bool:
    """Whether the worker is gone, in maintenance, or another's by an admin's reservation."""
    if not worker.is_reachable or worker.is_in_maintenance or worker.revoked:
        return True
    current = None if worker.booked is None else worker.booked.in_force(now_ms)
    if current is None or current.is_for(offer.project, offer.person):
        return False
    return current.gpus is None or bool(offer.gpu_ids)
