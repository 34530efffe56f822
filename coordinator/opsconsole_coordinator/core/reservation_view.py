"""Reservations as people and scripts see them, and when what they keep from starting may start."""

from collections.abc import Iterable

from msgspec.structs import replace

from opsconsole_coordinator.core.booking import free_ms
from opsconsole_coordinator.core.calendar import Reservation
from opsconsole_coordinator.core.demand import Demand
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.judgement import Offer, judge
from opsconsole_coordinator.core.model import Worker
from opsconsole_protocol.api import ReservationRow
from opsconsole_protocol.quantity import spell_moment


def words_of(reservation: Reservation) -> str:
    """Such as `for project vision from 2026-12-01 09:00 UTC until 2026-12-01 17:00 UTC (r7k3m9q)`."""
    gpus = "" if reservation.gpus is None else f" with {reservation.gpus} GPUs"
    times = f"from {spell_moment(reservation.from_ms)} until {spell_moment(reservation.until_ms)}"
    return f"{reservation.whose}{gpus} {times} ({reservation.id})"


def reservation_row(
    fleet: Fleet, reservation: Reservation, now_ms: int, worker: Worker | None = None
) -> ReservationRow:
    """A reservation as it stands; `worker`: of its workers only this one is named."""
    workers = [worker] if worker is not None else [fleet.workers[one] for one in reservation.worker_ids]
    return ReservationRow(
        id=reservation.id,
        workers=tuple(one.name for one in workers),
        project=reservation.project,
        person=reservation.person,
        maintenance=reservation.maintenance,
        gpus=reservation.gpus,
        from_ms=reservation.from_ms,
        until_ms=reservation.until_ms,
        reason=reservation.reason,
        made_by=reservation.made_by,
        in_force=reservation.is_in_force(now_ms),
    )


def possible_start(fleet: Fleet, offers: Iterable[Offer], demand: Demand, now_ms: int) -> str:
    """When a task should start of which only reservations stand in the way; empty where something else does, or none."""
    hopeful = [one for one in offers if not one.permanent]
    if not hopeful or any(one.reserved_until_ms is None for one in hopeful):
        return ""
    anyhow = replace(demand, takes_reserved=True)
    found = (judge(one.worker, anyhow, fleet.questions.answers, "", now_ms) for one in hopeful)
    free = [free_ms(one.worker, demand, now_ms) for one in found if one.accepted]
    return f"; it should start {spell_moment(min(free))}" if free else ""
