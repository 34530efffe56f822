"""What a worker says to a job, requirement by requirement, for people to read."""

from collections.abc import Iterable, Iterator

from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.input_check import input_checks
from opsconsole_coordinator.core.model import Answer, Worker
from opsconsole_coordinator.core.placement import (
    UNASKED,
    Demand,
    Offer,
    free_gpus,
    has_input_folder,
    is_named,
    total,
)
from opsconsole_protocol.api import Verdict
from opsconsole_protocol.link import Kind

Check = tuple[str, bool, str]
"""A requirement in words, whether the worker meets it now, and what it has."""


def verdict(fleet: Fleet, offer: Offer, demand: Demand, estimate_ms: float | None) -> Verdict:
    """An offer as people and scripts see it."""
    worker = offer.worker
    answers = [(name, _answer(fleet, worker, kind, name)) for kind, name in demand.files]
    return Verdict(
        worker_id=worker.id,
        worker=worker.name,
        accepted=offer.accepted,
        reason=offer.reason,
        estimated_start_ms=0 if offer.accepted else None,
        estimated_duration_ms=round(estimate_ms) if estimate_ms is not None else None,
        gpus_free=len(free_gpus(worker)[0]),
        input="; ".join(f"{name}: {answer.detail}" for name, answer in answers),
        checks=tuple(_checks(worker, demand, answers)),
        asking=not offer.permanent and any(answer.found is None and answer.good_until_ms for _, answer in answers),
        inputs=input_checks(fleet, worker, demand.spec),
    )


def _answer(fleet: Fleet, worker: Worker, kind: Kind, name: str) -> Answer:
    if kind is Kind.INPUT and not has_input_folder(worker):
        return Answer(False, "no input folder", 0)
    return fleet.inputs.get((worker.id, kind, name), UNASKED)


def _checks(worker: Worker, demand: Demand, answers: Iterable[tuple[str, Answer]]) -> Iterator[Check]:
    is_up = worker.connection == "connected" and worker.session is not None
    yield "up", is_up and not worker.maintenance, "in maintenance" if worker.maintenance else worker.connection
    left, slots = worker.slots_left(with_gpus=demand.gpus > 0), worker.max_concurrent_jobs
    yield "a slot", left > 0, f"{slots - left} of {slots} taken"
    named = demand.named
    if named:
        yield " or ".join(named), is_named(worker, named), worker.name
    count = demand.gpus
    if count:
        memory_mb = demand.spec.resources.gpu_memory_mb
        words = f"{count} GPU{'s' if count > 1 else ''}" + (f" of {memory_mb} MB" if memory_mb else "")
        free = len(free_gpus(worker, memory_mb)[0])
        yield words, free >= count, f"{free} of {len(worker.gpus)} free"
    for need, key, label in demand.capacities:
        free_capacity = total(worker, key) - sum(worker.promised(key).values())
        yield f"{need:g} {label}", free_capacity >= need, f"{free_capacity:g} free"
    facts = worker.facts() if demand.requirements else {}
    for one in demand.requirements:
        is_met = one.matches(facts)
        yield str(one), is_met, "" if is_met else one.finding(facts)
    for name, answer in answers:
        yield name, answer.found is True, answer.detail
