"""Attempts that wait behind others on a worker move to one that is free."""

from opsconsole_coordinator.core.capacity import has_room
from opsconsole_coordinator.core.demand import Demand
from opsconsole_coordinator.core.desired import set_want
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.offer import collect_offer
from opsconsole_coordinator.core.ranking import Ranking
from opsconsole_protocol import link
from opsconsole_protocol.ids import WorkerId
from opsconsole_protocol.state import AttemptState

RETRACT_AFTER_MS = 2_000
"""An attempt that waits for a slot for longer than this may move to a free worker."""


def retract_waiting(fleet: Fleet, now_ms: int) -> None:
    """Take back attempts that wait behind others on a worker while another worker could start them."""
    taken: dict[WorkerId, int] = {}
    for worker in fleet.workers.values():
        if worker.slots_left() >= 0:
            continue
        for attempt in list(worker.live.values()):
            if attempt.state is not AttemptState.ASSIGNED or now_ms - attempt.assigned_at_ms < RETRACT_AFTER_MS:
                continue
            job = fleet.jobs.get(attempt.job_id)
            if job is None or job.spec.gang or job.fault or attempt.want.mode is not link.Mode.RUN:
                continue
            demand = Demand(job.spec, job.requirements, person=job.submitted_by)
            others = (
                collect_offer(fleet, other, demand, now_ms)
                for other in fleet.workers.values()
                if other is not worker and has_room(other, demand.gpus, demand.capacities, demand.share_mb)
            )
            best = Ranking(fleet, job.spec, job.id).choose(others)
            if best is None:
                break
            room = best.worker.slots_left()
            if taken.get(best.worker.id, 0) >= room:
                break
            taken[best.worker.id] = taken.get(best.worker.id, 0) + 1
            set_want(fleet, attempt, link.Want(mode=link.Mode.RETRACT, reason="moves to a free worker"))
