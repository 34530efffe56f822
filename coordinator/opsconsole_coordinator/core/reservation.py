"""What is kept free for those who are next in line and don't fit yet, so that they don't starve behind smaller jobs.

A job whose next task needs more than a slot has room for it kept on one worker, of the first such job of each kind. What
comes after it may use whatever the task can't: nothing is started that would make it wait for longer than for those
which ran before its turn, in whatever order they end. So it starts at the latest when these have ended.

A gang needs room on several workers at once, which may take for ever. One gang at a time has its turn, the first in
order that may. A turn lasts RESERVATION_MS and is followed by as long a time without any, and a gang whose turns end in
vain waits twice as long after each for the next: those that never fit keep neither smaller jobs nor each other from
working.

There is one reservation on a worker. None of this is stored.
"""

from collections.abc import Iterable, Sequence

from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Job, Reserved, Worker
from opsconsole_coordinator.core.placement import (
    Demand,
    Offer,
    capacities,
    fit_gpus,
    gpu_count,
    missing_input,
    promised_of,
    total,
)
from opsconsole_protocol.ids import WorkerId

RESERVATION_MS = 60_000
_DOUBLINGS_MAX = 3
_SUMS_MAX = 256


def may_reserve(fleet: Fleet, job: Job, now_ms: int) -> bool:
    """Whether it is this gang's turn, or a turn of it may begin."""
    if any(reserved.gang for reserved in fleet.reserved.values()):
        return False
    if now_ms <= job.turn_until_ms:
        return True
    wait_ms = RESERVATION_MS << min(max(job.turns - 1, 0), _DOUBLINGS_MAX)
    return now_ms > job.turn_until_ms + wait_ms and now_ms > fleet.turn_until_ms + RESERVATION_MS


def hold(
    fleet: Fleet, job: Job, demand: Demand, offers: Iterable[Offer], before: Worker | None, now_ms: int
) -> Worker | None:
    """Keep room for the next task of a job on one of the workers that would take it later; returns which. `before`: where it was."""
    if not (demand.spec.resources.cpus or demand.spec.resources.memory_mb or gpu_count(demand)):
        return None  # the next slot that is free is its own
    avoid = job.tasks[job.ready[0]].avoid if job.ready else ()
    full = [one.worker for one in offers if one.soon and one.worker.reserved is None and one.worker.id not in avoid]
    for worker in (
        [before]
        if before is not None and before in full
        else sorted(full, key=lambda one: (_lack(one, demand), one.name))
    ):
        if len(fit_gpus(worker, demand.spec.resources.gpu_memory_mb)) < gpu_count(demand):
            continue
        missing = missing_input(fleet, worker, demand.spec, now_ms)
        if missing is None:
            keep(fleet, worker.id, _room(worker, demand, job))
            return worker
        if missing[0] is None:
            return None  # it was asked just now
    return None


def _lack(worker: Worker, demand: Demand) -> float:
    """What is missing for the task, as the largest share of what the worker has of it."""
    lacks = [(need - _free(worker, key)) / total(worker, key) for need, key, _ in capacities(demand)]
    count = gpu_count(demand)
    if count:
        fit = fit_gpus(worker, demand.spec.resources.gpu_memory_mb)
        taken = worker.gpus_taken
        lacks.append((count - sum(gpu.uuid not in taken for gpu in fit)) / max(len(fit), 1))
    else:
        lacks.append((1 - worker.slots_left()) / worker.max_concurrent_jobs)
    return max(lacks)


def _free(worker: Worker, key: str) -> float:
    return total(worker, key) - sum(worker.promised(key).values())


def _room(worker: Worker, demand: Demand, job: Job) -> Reserved:
    """What of the worker's free room nobody else may have, so that the task doesn't wait for them, too."""
    live = list(worker.live.values())
    promised: dict[str, float] = {}
    for need, key, _ in capacities(demand):
        free = _free(worker, key)
        promised[key] = free - _spare(free, need, [one.promised.get(key, 0) for one in live])
    count = gpu_count(demand)
    gpu_ids: frozenset[str] = frozenset()
    if count:
        fit = sorted(fit_gpus(worker, demand.spec.resources.gpu_memory_mb), key=lambda gpu: gpu.memory_total_mb or 0)
        fitting = {gpu.uuid for gpu in fit}
        taken = worker.gpus_taken
        free_ids = [gpu.uuid for gpu in fit if gpu.uuid not in taken]
        spare = _spare(len(free_ids), count, [len(fitting.intersection(one.gpu_ids)) for one in live])
        gpu_ids = frozenset(free_ids[: len(free_ids) - round(spare)])
    return Reserved(
        job_id=job.id, slots=1, gpu_ids=gpu_ids, promised=promised, gang=False, with_gpus=count > 0
    )  # fmt: skip


def _spare(free: float, need: float, held: Sequence[float]) -> float:
    """How much of what is free others may have for good, so that `need` fits no later for it.

    Which of those who hold some end first isn't known: the room that is left over once it fits is the least that any of
    them leave together.
    """
    if free >= need:
        return free - need
    lack = need - free
    sums = {0.0}
    for size in held:
        sums |= {one + size for one in sums if one < lack}
        if len(sums) > _SUMS_MAX:
            return 0.0
    return min((one for one in sums if one >= lack), default=lack) - lack


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
