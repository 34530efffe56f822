"""Reservations and windows of maintenance are made, taken back, begin and end; and what holds another's place then leaves it."""

from collections.abc import Iterable
from functools import partial
from typing import cast

from msgspec.structs import replace

from opsconsole_coordinator.core.calendar import Booked, Reservation, Reservations, clash
from opsconsole_coordinator.core.capacity import total
from opsconsole_coordinator.core.control import find_worker
from opsconsole_coordinator.core.ending import stop_task
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.gang import end_for_next_round, is_saving, living_attempts
from opsconsole_coordinator.core.leaving import can_save, is_late, leave
from opsconsole_coordinator.core.model import SYSTEM, Attempt, Worker
from opsconsole_coordinator.core.reservation_view import words_of
from opsconsole_protocol.api import RESERVATIONS_MAX, RESERVE_DAYS_MAX, Reserve
from opsconsole_protocol.end_cause import EndCause
from opsconsole_protocol.error import Conflict, InvalidRequest, LimitExceeded, NotFound
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import WorkerId, spell
from opsconsole_protocol.link import Mode
from opsconsole_protocol.quantity import spell_moment

PAST_MS = 60_000
"""A beginning that is no longer past than this is meant as now."""
_ID_LENGTH = 6


def reserve(fleet: Fleet, request: Reserve, actor: str, now_ms: int) -> Reservation:
    """Reserve workers. Raises InvalidRequest, NotFound, Conflict or LimitExceeded, and then nothing changed."""
    workers = list({one.id: one for one in (find_worker(fleet, name) for name in request.workers)}.values())
    from_ms = _checked_times(request, now_ms)
    _check_holder(request, workers)
    wanted = Reservation(
        id=f"r{spell(fleet.random_bits(5 * _ID_LENGTH), _ID_LENGTH)}",
        worker_ids=tuple(one.id for one in workers),
        from_ms=from_ms,
        until_ms=request.until_ms,
        project=request.project,
        person=request.person,
        maintenance=request.maintenance,
        gpus=request.gpus,
        reason=request.reason,
        made_by=actor,
    )
    found = clash(wanted, fleet.reservations)
    if found is not None:
        other, worker_id = found
        raise Conflict(
            f"{fleet.workers[worker_id].name} is reserved already {words_of(other)}: `opsconsole reserve cancel {other.id}` takes that back"
        )
    if len(fleet.reservations) >= RESERVATIONS_MAX:
        raise LimitExceeded(
            f"there are {RESERVATIONS_MAX} reservations already: `opsconsole reserve cancel ID` takes one back"
        )
    _put(fleet, wanted)
    for worker in workers:
        fleet.audit(now_ms, actor, EventKind.RESERVE, f"reserved by {actor} {words_of(wanted)}", worker.name)
    watch_reservations(fleet, now_ms)
    return wanted


def cancel_reservation(fleet: Fleet, reservation_id: str, actor: str, now_ms: int) -> str:
    """Take a reservation back. Raises NotFound. Returns in one line what was done."""
    reservation = fleet.reservations.get(reservation_id)
    if reservation is None:
        raise NotFound(f"there is no reservation {reservation_id} (opsconsole reserve list shows them)")
    _drop(fleet, reservation)
    words = f"reservation {words_of(reservation)} cancelled by {actor}"
    for worker_id in reservation.worker_ids:
        fleet.audit(now_ms, actor, EventKind.UNRESERVE, words, fleet.workers[worker_id].name)
    return words


def load_reservations(fleet: Fleet, reservations: Iterable[Reservation]) -> None:
    """Put what the store holds into memory, without noting anything as changed."""
    fleet.reservations = Reservations(reservations)
    for worker_id in {worker_id for one in fleet.reservations for worker_id in one.worker_ids}:
        _book(fleet, worker_id)


def forget_worker(fleet: Fleet, worker: Worker) -> None:
    """A worker is removed: nothing of it is reserved any more."""
    for reservation in [one for one in fleet.reservations if worker.id in one.worker_ids]:
        left = tuple(one for one in reservation.worker_ids if one != worker.id)
        if left:
            _put(fleet, replace(reservation, worker_ids=left))
        else:
            _drop(fleet, reservation)
    worker.booked = None


def watch_reservations(fleet: Fleet, now_ms: int) -> None:
    """Begin and end what is due, and have those leave who hold what is another's."""
    for reservation in list(fleet.reservations):
        if now_ms >= reservation.until_ms:
            _drop(fleet, reservation)
            _tell(fleet, reservation, EventKind.AVAILABLE, "is over", now_ms)
        elif now_ms >= reservation.from_ms:
            if not reservation.has_begun:
                _begin(fleet, reservation, now_ms)
            for worker_id in () if fleet.adopting else reservation.worker_ids:
                _empty(fleet, fleet.workers[worker_id], reservation, now_ms)


def _checked_times(request: Reserve, now_ms: int) -> int:
    """When it begins. Raises InvalidRequest."""
    if request.until_ms <= request.from_ms:
        raise InvalidRequest(
            f"it would end {spell_moment(request.until_ms)}, before it begins {spell_moment(request.from_ms)}: name a later --until"
        )
    if request.until_ms <= now_ms or request.from_ms < now_ms - PAST_MS:
        past = request.until_ms if request.until_ms <= now_ms else request.from_ms
        raise InvalidRequest(f"{spell_moment(past)} is past: it is {spell_moment(now_ms)} here")
    if request.until_ms - now_ms > RESERVE_DAYS_MAX * 86_400_000:
        raise InvalidRequest(
            f"it would end {spell_moment(request.until_ms)}: at most {RESERVE_DAYS_MAX} days ahead are planned"
        )
    return max(request.from_ms, now_ms)


def _check_holder(request: Reserve, workers: Iterable[Worker]) -> None:
    if sum((bool(request.project), bool(request.person), request.maintenance)) != 1:
        raise InvalidRequest("say for whom it is, in one way: --for-project, --for-person or --maintenance")
    if request.maintenance and request.gpus is not None:
        raise InvalidRequest("a window of maintenance is for the whole worker: leave --gpus out")
    for worker in workers:
        if request.gpus is not None and request.gpus > len(worker.gpus):
            raise InvalidRequest(f"{worker.name} has {len(worker.gpus)} GPUs, not {request.gpus}")
        if worker.revoked:
            raise InvalidRequest(f"{worker.name} can't be reserved: its credential was revoked")


def _put(fleet: Fleet, reservation: Reservation) -> None:
    fleet.reservations.put(reservation)
    _book_all(fleet, reservation)


def _drop(fleet: Fleet, reservation: Reservation) -> None:
    fleet.reservations.drop(reservation)
    _book_all(fleet, reservation)


def _book_all(fleet: Fleet, reservation: Reservation) -> None:
    for worker_id in reservation.worker_ids:
        if worker_id in fleet.workers:
            _book(fleet, worker_id)
            fleet.show_worker(fleet.workers[worker_id])
    fleet.must_schedule = True


def _book(fleet: Fleet, worker_id: WorkerId) -> None:
    """Note with a worker what is reserved of it."""
    worker = fleet.workers.get(worker_id)
    if worker is None:
        return
    found = sorted((one for one in fleet.reservations if worker_id in one.worker_ids), key=lambda one: one.from_ms)
    current = next((one for one in found if one.has_begun), None)
    worker.booked = Booked(tuple(found), fleet.jobs, partial(total, worker), current) if found else None


def _begin(fleet: Fleet, reservation: Reservation, now_ms: int) -> None:
    """It begins: what the scheduler kept free there for another's job isn't kept any more."""
    _put(fleet, replace(reservation, has_begun=True))
    kind = EventKind.MAINTENANCE if reservation.maintenance else EventKind.RESERVED
    _tell(fleet, reservation, kind, "begins", now_ms)
    for worker_id in reservation.worker_ids:
        kept = fleet.reserved.get(worker_id)
        job = fleet.jobs.get(kept.job_id) if kept is not None else None
        if kept is not None and not (job is not None and reservation.is_for(job.spec.project, job.submitted_by)):
            del fleet.reserved[worker_id]
            fleet.workers[worker_id].reserved = None


def _tell(fleet: Fleet, reservation: Reservation, kind: EventKind, what: str, now_ms: int) -> None:
    for worker_id in reservation.worker_ids:
        if worker_id in fleet.workers:
            words = f"reservation {reservation.id} {reservation.whose} {what}"
            fleet.audit(now_ms, SYSTEM, kind, words, fleet.workers[worker_id].name)


def _empty(fleet: Fleet, worker: Worker, reservation: Reservation, now_ms: int) -> None:
    """Those who hold what is another's leave, each with its gang: those that may be run again, and in maintenance all."""
    if worker.booked is None or not worker.live:
        return
    reason = f"{worker.name} is in maintenance" if reservation.maintenance else f"{worker.name} is reserved"
    reason += (
        f" {reservation.whose}" if not reservation.maintenance else f": {reservation.reason}" * bool(reservation.reason)
    )
    for attempt in worker.booked.unwelcome(worker, list(worker.live.values()), now_ms):
        job = fleet.jobs[attempt.job_id]
        first = cast("Attempt", attempt)
        may_be_run_again = bool(job.spec.max_retries_preemption) or can_save(job, first)
        if job.fault or not (may_be_run_again or reservation.maintenance):
            continue
        for one in living_attempts(fleet, job) if job.spec.gang else [first]:
            if one.want.mode is Mode.STOP:
                continue
            if not may_be_run_again:
                stop_task(
                    fleet,
                    job,
                    job.tasks[one.index],
                    f"{reason}, and it may not be run again",
                    now_ms,
                    EndCause.PREEMPTED,
                )
            elif one.want.mode is Mode.RUN:
                leave(fleet, one, reason, now_ms)
            elif not is_saving(one) or (is_late(job, one, now_ms) and not one.is_leaving):
                # what an operator has paused waits for that operator, elsewhere
                job.tasks[one.index].held = True
                end_for_next_round(fleet, job, one, reason)
