"""What a worker says to a job, requirement by requirement, for people to read."""

from collections.abc import Iterator

from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.input_check import input_checks
from opsconsole_coordinator.core.model import Worker
from opsconsole_coordinator.core.placement import Demand, Offer, capacities, free_gpus, gpu_count, total
from opsconsole_protocol.api import Verdict

Check = tuple[str, bool, str]
"""A requirement in words, whether the worker meets it now, and what it has."""

_UNASKED = (None, "asking the worker", 0)


def verdict(fleet: Fleet, offer: Offer, demand: Demand, estimate_ms: float | None) -> Verdict:
    """An offer as people and scripts see it."""
    worker = offer.worker
    inputs = [f"{name}: {fleet.inputs.get((worker.id, name), _UNASKED)[1]}" for name in demand.spec.inputs]
    return Verdict(
        worker_id=worker.id,
        worker=worker.name,
        accepted=offer.accepted,
        reason=offer.reason,
        estimated_start_ms=0 if offer.accepted else None,
        estimated_duration_ms=round(estimate_ms) if estimate_ms is not None else None,
        gpus_free=len(free_gpus(worker)[0]),
        input="; ".join(inputs),
        checks=tuple(_checks(fleet, worker, demand)),
        inputs=input_checks(fleet, worker, demand.spec),
    )


def _checks(fleet: Fleet, worker: Worker, demand: Demand) -> Iterator[Check]:
    is_up = worker.connection == "connected" and worker.session is not None
    yield "up", is_up and not worker.maintenance, "in maintenance" if worker.maintenance else worker.connection
    left, slots = worker.slots_left(with_gpus=gpu_count(demand) > 0), worker.max_concurrent_jobs
    yield "a slot", left > 0, f"{slots - left} of {slots} taken"
    if demand.spec.worker is not None:
        yield demand.spec.worker, demand.spec.worker in {worker.name, worker.id}, worker.name
    count = gpu_count(demand)
    if count:
        memory_mb = demand.spec.resources.gpu_memory_mb
        words = f"{count} GPU{'s' if count > 1 else ''}" + (f" of {memory_mb} MB" if memory_mb else "")
        free = len(free_gpus(worker, memory_mb)[0])
        yield words, free >= count, f"{free} of {len(worker.gpus)} free"
    for need, key, label in capacities(demand):
        free_capacity = total(worker, key) - sum(worker.promised(key).values())
        yield f"{need:g} {label}", free_capacity >= need, f"{free_capacity:g} free"
    facts = worker.facts() if demand.requirements else {}
    for one in demand.requirements:
        is_met = one.matches(facts)
        yield str(one), is_met, "" if is_met else one.finding(facts)
    for name in demand.spec.inputs:
        found, detail, _ = fleet.inputs.get((worker.id, name), _UNASKED)
        yield name, found is True, detail
