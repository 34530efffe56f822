"""What is kept free on workers for jobs that don't fit yet, so that they don't starve behind smaller ones.

There is at most one reservation on a worker. Reservations are made anew in every pass of the scheduler and aren't stored.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from opsconsole_coordinator.core.demand import promised_of
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.judgement import Offer
from opsconsole_coordinator.core.model import Job, Reserved
from opsconsole_protocol.ids import WorkerId


def put_reservation(fleet: Fleet, worker_id: WorkerId, reserved: Reserved) -> None:
    """Reserve a part of a worker, in the place of what was reserved there."""
    fleet.reserved[worker_id] = fleet.workers[worker_id].reserved = reserved


def keep_claims(
    fleet: Fleet, job: Job, claims: Iterable[Offer], *, has_cleared: bool = False, until_ms: int = 0
) -> None:  # fmt: skip
    """Keep free what tasks of a job would have on these workers; it can't start before `until_ms`, where that is known."""
    by_worker: dict[WorkerId, list[Offer]] = {}
    for claim in claims:
        by_worker.setdefault(claim.worker.id, []).append(claim)
    one, share_mb = promised_of(job.spec), job.spec.resources.share_mb
    for worker_id, offers in by_worker.items():
        given = [gpu_id for offer in offers for gpu_id in offer.gpu_ids]
        reserved = Reserved(
            job_id=job.id,
            slots=min(len(offers), len(set(given))) if share_mb else len(offers),
            gpu_ids=frozenset(() if share_mb else given),
            shares={gpu_id: count * share_mb for gpu_id, count in Counter(given).items()} if share_mb else {},
            promised={key: need * len(offers) for key, need in one.items()},
            gang=job.spec.gang,
            with_gpus=bool(given) and not job.spec.gang,
            has_cleared=has_cleared,
            until_ms=until_ms,
        )
        put_reservation(fleet, worker_id, reserved)


def withdraw(fleet: Fleet, kept: Iterable[WorkerId]) -> None:
    """Take reservations back: jobs that come first in order may have what was reserved for later ones."""
    for worker_id in kept:
        del fleet.reserved[worker_id]
        fleet.workers[worker_id].reserved = None


def show_changes(fleet: Fleet, before: Mapping[WorkerId, Reserved]) -> None:
    """Show the workers on which something else is reserved than before. What was given up may be another's: a pass follows."""
    for worker_id in {**before, **fleet.reserved}:
        known, worker = before.get(worker_id), fleet.workers.get(worker_id)
        if worker is None or known is worker.reserved or known == worker.reserved:
            continue
        now = worker.reserved
        if known is not None and now is not None and known == replace(now, job_id=known.job_id):
            fleet.show_readings(worker)  # as much is reserved as before, for another job that asks the same
            continue
        fleet.show_worker(worker)
        fleet.must_schedule = fleet.must_schedule or known is not None
