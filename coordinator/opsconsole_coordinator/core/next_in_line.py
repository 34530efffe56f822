"""Room that is kept on one worker for the next task of a job that doesn't fit yet.

Only a job whose next task needs more than a slot has room kept for it, of each kind of job the first. Jobs after it may
use what the task can't: nothing is started that would make it wait for longer than for the tasks that ran before its
turn, in whatever order these end. So it starts at the latest when they have ended. What ends before the task is expected
to start at the earliest may use all of it (`judgement.py`): by its time-out for sure, or else by what like runs took.
"""

from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heappop
from math import isfinite

from opsconsole_coordinator.core.capacity import fit_gpus, free_capacity, total
from opsconsole_coordinator.core.demand import Demand
from opsconsole_coordinator.core.estimate import ends_on
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.forecast import earliest_ms
from opsconsole_coordinator.core.gpu_share import fit_for_share, left_mb
from opsconsole_coordinator.core.judgement import Offer, search_files
from opsconsole_coordinator.core.model import Job, Reserved, Worker
from opsconsole_coordinator.core.offer import ask
from opsconsole_coordinator.core.order import needs_room
from opsconsole_coordinator.core.ready import next_ready
from opsconsole_coordinator.core.reservation import put_reservation
from opsconsole_protocol.link import Gpu

KEPT_ROOMS_MAX = 16
"""How many jobs at most have room kept for their next task at a time."""
_SUMS_MAX = 256


def reserve_room(
    fleet: Fleet, job: Job, demand: Demand, offers: Iterable[Offer], before: Worker | None, now_ms: int
) -> Worker | None:
    """Keep room for a job's next task on one of the workers that would accept it later, and return that worker, if any.

    `before` is the worker where room was kept in the last pass: it is taken again if it still will do.
    """
    if not needs_room(demand):
        return None
    if before is None and len(fleet.reserved) >= KEPT_ROOMS_MAX:
        return None
    following = next_ready(job)
    avoid = () if following is None else following.avoid
    full = [one.worker for one in offers if one.soon and one.worker.reserved is None and one.worker.id not in avoid]
    count = demand.gpus
    for worker in [before] if before is not None and before in full else _best_first(full, demand):
        if count and len(_fit(worker, demand)) < count:
            continue
        refusal, is_open, questions = search_files(worker, demand, fleet.questions.answers, now_ms)
        ask(fleet, questions, now_ms)
        if not refusal:
            put_reservation(fleet, worker.id, _reserved_part(fleet, worker, demand, job, now_ms))
            return worker
        if is_open:
            return None  # its answer is waited for
    return None


def _fit(worker: Worker, demand: Demand) -> list[Gpu]:
    """The GPUs that would do if no other task of ours had any."""
    if demand.share_mb:
        return fit_for_share(worker, demand.share_mb)
    return fit_gpus(worker, demand.spec.resources.gpu_memory_mb)


def _best_first(workers: Sequence[Worker], demand: Demand) -> Iterator[Worker]:
    """The workers, first those that lack least. Lazy, because mostly the first one will do."""
    ranked = [(_shortage(one, demand), one.name, place) for place, one in enumerate(workers)]
    heapify(ranked)
    while ranked:
        yield workers[heappop(ranked)[2]]


def _shortage(worker: Worker, demand: Demand) -> float:
    """How much the worker lacks for the task: of slots, GPUs and capacities the largest share of what it has in all."""
    lacks = [(need - free_capacity(worker, key)) / total(worker, key) for need, key in demand.capacities]
    count = demand.gpus
    if count:
        if demand.share_mb:
            free = sum(left_mb(worker, gpu) >= demand.share_mb for gpu in worker.gpus)
            lacks.append((count - free) / len(worker.gpus))
        else:
            fit = _fit(worker, demand)
            is_free = worker.live.load.gpus.is_free
            lacks.append((count - sum(is_free(gpu.uuid) for gpu in fit)) / max(len(fit), 1))
    else:
        lacks.append((1 - worker.slots_left()) / worker.max_concurrent_jobs)
    return max(lacks)


def _reserved_part(fleet: Fleet, worker: Worker, demand: Demand, job: Job, now_ms: int) -> Reserved:
    """The part of the worker's free room that other jobs may not have, so that the task doesn't wait for these, too."""
    promised: dict[str, float] = {}
    for need, key in demand.capacities:
        free = free_capacity(worker, key)
        promised[key] = free - _spare(free, need, [one.promised.get(key, 0) for one in worker.live.holders()])
    shares, load = _kept_shares(worker, demand) if demand.share_mb else {}, worker.live.load.gpus
    return Reserved(
        job_id=job.id,
        slots=load.slots_with(shares) - load.slots if shares else 1,
        gpu_ids=frozenset(_kept_gpus(worker, demand) if demand.gpus and not demand.share_mb else ()),
        shares=shares,
        promised=promised,
        gang=False,
        with_gpus=demand.gpus > 0,
        until_ms=_earliest_ms(fleet, worker, demand, now_ms),
        is_overstayed=any(0 < one.fills_until_ms < now_ms for one in worker.live.values()),
    )


def _earliest_ms(fleet: Fleet, worker: Worker, demand: Demand, now_ms: int) -> int:
    """Before when the worker isn't expected to have room for a task, by the least that its tasks take; 0 where that may be now."""
    within_ms = earliest_ms(worker, demand, ends_on(fleet, [worker], now_ms))
    return now_ms + round(within_ms) if isfinite(within_ms) and round(within_ms) else 0


def _kept_gpus(worker: Worker, demand: Demand) -> list[str]:
    """The GPUs to keep for a task that has them for itself.

    Where too few are free and tasks share others, no more are let in on as many of these as it takes, first those that are least full:
    else some would always be left there.
    """
    load, count = worker.live.load.gpus, demand.gpus
    fit = sorted(_fit(worker, demand), key=lambda gpu: gpu.memory_total_mb or 0)
    fitting = {gpu.uuid for gpu in fit}
    free_ids = [gpu.uuid for gpu in fit if load.is_free(gpu.uuid)]
    shared_ids = sorted(fitting & load.shared.keys(), key=lambda one: (load.shared[one], one))
    held = [len(fitting.intersection(one.gpu_ids)) for one in worker.live.holders() if not one.share_mb]
    spare = _spare(len(free_ids), count, held + [1] * len(shared_ids))
    return free_ids[: len(free_ids) - round(spare)] + shared_ids[: max(0, count - len(free_ids))]


def _kept_shares(worker: Worker, demand: Demand) -> dict[str, int]:
    """How much of GPUs' memory to keep for a task that shares them: on those that lack least."""
    load, need = worker.live.load.gpus, demand.share_mb
    fit = _fit(worker, demand)
    lefts = {gpu.uuid: left_mb(worker, gpu) for gpu in fit}
    fit.sort(key=lambda gpu: (lefts[gpu.uuid] < need, gpu.uuid in load.whole, -lefts[gpu.uuid], gpu.index))
    kept: dict[str, int] = {}
    for gpu in fit[: demand.gpus]:
        held = [one.share_mb for one in worker.live.holders() if gpu.uuid in one.gpu_ids]
        kept[gpu.uuid] = lefts[gpu.uuid] - round(_spare(lefts[gpu.uuid], need, held))
    return kept


def _spare(free: float, need: float, held: Sequence[float]) -> float:
    """How much of what is `free` other jobs may have for good, without making a task wait longer that needs `need`.

    `held` is what each live task has. In which order these end isn't known, so other jobs may have what is left over
    at the least, once some of them have ended and the task fits.
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
