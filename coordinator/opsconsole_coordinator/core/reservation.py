"""What is kept free on workers for jobs that don't fit yet, so that they don't starve behind smaller ones.

There is at most one reservation on a worker. Reservations are made anew in every pass of the scheduler and aren't stored.
"""

from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Reserved
from opsconsole_protocol.ids import WorkerId


def put_reservation(fleet: Fleet, worker_id: WorkerId, reserved: Reserved) -> None:
    """Reserve a part of a worker, in the place of what was reserved there."""
    fleet.reserved[worker_id] = fleet.workers[worker_id].reserved = reserved


def withdraw_all(fleet: Fleet) -> dict[WorkerId, Reserved]:
    """Take all reservations back and return them: jobs that come first in order may have what was reserved for later ones."""
    withdrawn, fleet.reserved = fleet.reserved, {}
    for worker_id in withdrawn:
        fleet.workers[worker_id].reserved = None
    return withdrawn


def show_changes(fleet: Fleet, before: dict[WorkerId, Reserved]) -> None:
    """Show the workers on which something else is reserved than before. What was given up may be another's: a pass follows."""
    for worker_id in {**before, **fleet.reserved}:
        if before.get(worker_id) != fleet.reserved.get(worker_id) and worker_id in fleet.workers:
            fleet.show_worker(fleet.workers[worker_id])
            fleet.must_schedule = fleet.must_schedule or worker_id in before
