"""What a task asks of workers that are reserved, and what these answer."""

from opsconsole_coordinator.core.calendar import ALLOWED, Asker, Decision, known_length_ms
from opsconsole_coordinator.core.demand import Demand
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Worker


def booked_words(worker: Worker, demand: Demand, now_ms: int) -> Decision:
    """Whether reservations of the worker let a task have a place there now, or why not and until when."""
    if worker.booked is None:
        return ALLOWED
    return worker.booked.refuse(worker, worker.live.holders(), _asker(demand, now_ms), now_ms)


def free_ms(worker: Worker, demand: Demand, now_ms: int) -> int:
    """When no reservation of the worker keeps a task from having a place there."""
    if worker.booked is None:
        return now_ms
    return worker.booked.free_ms(worker, worker.live.holders(), _asker(demand, now_ms), now_ms)


def asks_of(fleet: Fleet, demand: Demand) -> tuple[object, ...]:
    """What tells those apart who get other offers only because something is reserved; nothing where nothing is."""
    return (demand.person,) if fleet.reservations else ()


def _asker(demand: Demand, now_ms: int) -> Asker:
    length_ms = known_length_ms(demand.spec, demand.guess_ms or None)
    ends_ms = None if length_ms is None else now_ms + length_ms
    amounts = {key: need for need, key in demand.capacities}
    return Asker(demand.spec.project, demand.person, demand.gpus, ends_ms, amounts)
