"""What is kept free for a gang that doesn't fit yet, so that it doesn't starve behind smaller jobs.

One gang at a time has its turn, the first in order that may. A turn lasts RESERVATION_MS and is followed by as long a
time without any, and a gang whose turns end in vain waits twice as long after each for the next: those that never fit
keep neither smaller jobs nor each other from working. None of this is stored.
"""

from collections.abc import Iterable

from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Job, Reserved
from opsconsole_coordinator.core.placement import Offer, promised_of
from opsconsole_protocol.ids import WorkerId

RESERVATION_MS = 60_000
_DOUBLINGS_MAX = 3


def may_reserve(fleet: Fleet, job: Job, now_ms: int) -> bool:
    """Whether it is this gang's turn, or a turn of it may begin."""
    if fleet.reserved:
        return False
    if now_ms <= job.turn_until_ms:
        return True
    wait_ms = RESERVATION_MS << min(max(job.turns - 1, 0), _DOUBLINGS_MAX)
    return now_ms > job.turn_until_ms + wait_ms and now_ms > fleet.turn_until_ms + RESERVATION_MS


def reserve(fleet: Fleet, job: Job, claims: Iterable[Offer], now_ms: int) -> None:
    """Keep free what the gang would use, as long as its turn lasts."""
    if now_ms > job.turn_until_ms:
        job.turn_until_ms = fleet.turn_until_ms = now_ms + RESERVATION_MS
        job.turns += 1
    by_worker: dict[WorkerId, list[Offer]] = {}
    for claim in claims:
        by_worker.setdefault(claim.worker.id, []).append(claim)
    one = promised_of(job.spec)
    for worker_id, offers in by_worker.items():
        keep(
            fleet,
            worker_id,
            Reserved(
                job_id=job.id,
                slots=len(offers),
                gpu_ids=frozenset(gpu for offer in offers for gpu in offer.gpu_ids),
                promised={key: need * len(offers) for key, need in one.items()},
            ),
        )


def keep(fleet: Fleet, worker_id: WorkerId, reserved: Reserved) -> None:
    """Note what is kept free on a worker."""
    fleet.reserved[worker_id] = fleet.workers[worker_id].reserved = reserved


def end_turn(fleet: Fleet, job: Job, now_ms: int) -> None:
    """The gang has what it waited for: nobody has to rest after its turn."""
    if now_ms <= job.turn_until_ms:
        fleet.turn_until_ms = 0
    job.turn_until_ms = job.turns = 0


def lift(fleet: Fleet) -> dict[WorkerId, Reserved]:
    """Take back all that is reserved; returns what it was. Those who come before the gang may have it."""
    lifted, fleet.reserved = fleet.reserved, {}
    for worker_id in lifted:
        fleet.workers[worker_id].reserved = None
    return lifted


def show(fleet: Fleet, before: dict[WorkerId, Reserved]) -> None:
    """Show the workers where something else is reserved than before."""
    for worker_id in {**before, **fleet.reserved}:
        if before.get(worker_id) != fleet.reserved.get(worker_id):
            fleet.show_worker(fleet.workers[worker_id])
