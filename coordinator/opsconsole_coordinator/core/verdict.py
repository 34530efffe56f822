"""What a worker says to a job, requirement by requirement, as people and scripts see it."""

from collections.abc import Iterable, Iterator

from opsconsole_coordinator.core.capacity import capacity_words, free_capacity, free_gpus
from opsconsole_coordinator.core.content import missing_bytes, supply_words
from opsconsole_coordinator.core.demand import Demand
from opsconsole_coordinator.core.file_check import IN_MOUNTS, FileCheck, file_checks
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.gpu_share import left_mb
from opsconsole_coordinator.core.holder import holders_words
from opsconsole_coordinator.core.judgement import Offer, is_named
from opsconsole_protocol.api import InputCheck, InputState, Verdict
from opsconsole_protocol.estimate import Estimate
from opsconsole_protocol.quantity import memory_words

Check = tuple[str, bool, str]
"""A requirement in words, whether the worker meets it now, and what it has."""


def verdict(fleet: Fleet, offer: Offer, demand: Demand, takes: Estimate | None, start: Estimate | None) -> Verdict:
    """An offer as a row."""
    worker = offer.worker
    files = file_checks(fleet, worker, demand)
    lacks_bytes = missing_bytes(demand.contents, worker)
    supply = supply_words(demand.contents, lacks_bytes)
    return Verdict(
        worker_id=worker.id,
        worker=worker.name,
        accepted=offer.accepted,
        reason=offer.reason + holders_words(fleet, offer, with_gpus=demand.gpus > 0),
        estimated_start_ms=start.mid_ms if start is not None else None,
        estimated_duration_ms=takes.mid_ms if takes is not None else None,
        start=start,
        takes=takes,
        gpus_free=len(free_gpus(worker)),
        input="; ".join(f"{one.name}: {one.detail}" for one in files),
        checks=tuple(_checks(offer, demand, files, supply)),
        asking=not offer.permanent and any(one.is_awaited for one in files),
        inputs=tuple(
            InputCheck(name=one.name, state=one.state, detail=one.detail) for one in files if one.kind in IN_MOUNTS
        ),
        lacks_file=offer.lacks_file,
        lacks_content=offer.lacks_content,
        lacks_bytes=lacks_bytes,
        supply=supply,
    )


def _checks(offer: Offer, demand: Demand, files: Iterable[FileCheck], supply: str) -> Iterator[Check]:
    worker = offer.worker
    yield (
        "up",
        worker.is_reachable and not worker.is_in_maintenance,
        "in maintenance" if worker.is_in_maintenance else worker.connection,
    )
    left, slots = worker.slots_left(with_gpus=demand.gpus > 0), worker.max_concurrent_jobs
    if not demand.share_mb:  # it may need none
        yield "a slot", left > 0, f"{slots - left} of {slots} taken"
    named = demand.named
    if named:
        yield f"named {' or '.join(named)}", is_named(worker, named), worker.name
    count = demand.gpus
    if count and demand.share_mb:
        room = sum(left_mb(worker, gpu) >= demand.share_mb for gpu in worker.gpus)
        words = f"{memory_words(demand.share_mb)} of {f'{count} GPUs' if count > 1 else 'a GPU'}"
        yield words, room >= count, f"{room} of {len(worker.gpus)} have that much left to share"
    elif count:
        memory_mb = demand.spec.resources.gpu_memory_mb
        words = f"{count} GPU{'s' if count > 1 else ''}" + (f" of {memory_words(memory_mb)}" if memory_mb else "")
        free = len(free_gpus(worker, memory_mb))
        yield words, free >= count, f"{free} of {len(worker.gpus)} free"
    for need, key in demand.capacities:
        is_left = free_capacity(worker, key)
        yield capacity_words(key, need), is_left >= need, f"{capacity_words(key, is_left, with_noun=False)} free"
    facts = worker.facts() if demand.requirements else {}
    for one in demand.requirements:
        is_met = one.matches(facts)
        yield str(one), is_met, "" if is_met else one.finding(facts)
    for file in files:
        yield file.name, file.state is InputState.FOUND, file.detail
    if demand.contents:
        yield "the job's data", not offer.lacks_content, offer.reason if offer.lacks_content else supply
