"""Pending tasks are placed: jobs in order, each task on the best worker that accepts it."""

from heapq import heappop, heappush

from opsconsole_coordinator.core import checkpointing, estimate, gang_placement, reservation
from opsconsole_coordinator.core.assignment import assign
from opsconsole_coordinator.core.demand import AVOID_WAIT_MS, Demand, demand_of, has_gpus, is_particular, prefetch_of
from opsconsole_coordinator.core.desired import set_want
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.judgement import Offer
from opsconsole_coordinator.core.model import Job, ProjectStatus, Reserved, Task, Worker
from opsconsole_coordinator.core.next_in_line import reserve_room
from opsconsole_coordinator.core.offer import collect_offer, collect_offers, renew_offer
from opsconsole_coordinator.core.ranking import choose, rank, ranked
from opsconsole_coordinator.core.reason import explain, note_reason
from opsconsole_protocol import link
from opsconsole_protocol.ids import WorkerId
from opsconsole_protocol.state import AttemptState, TaskState, WorkerConnection

RETRACT_AFTER_MS = 2_000
"""An attempt that waits for a slot for longer than this may move to a free worker."""


def schedule(fleet: Fleet, now_ms: int, *, refresh_reasons: bool = False) -> None:
    """Assign as many tasks as fit, jobs in order.

    Where no slot is free no worker is judged, which makes a pass cheap. With `refresh_reasons` workers are judged all
    the same, to say why each job waits.
    """
    fleet.must_schedule = False
    reserved_before = reservation.withdraw_all(fleet) if fleet.reserved else {}
    if fleet.adopting:
        _wait_for_confirmation(fleet)
    else:
        _place_jobs(fleet, reserved_before, now_ms, refresh_reasons=refresh_reasons)
    if reserved_before or fleet.reserved:
        reservation.show_changes(fleet, reserved_before)


def _place_jobs(fleet: Fleet, reserved_before: dict[WorkerId, Reserved], now_ms: int, *, refresh_reasons: bool) -> None:
    room = _Room(fleet)
    held = {one.job_id: fleet.workers[worker_id] for worker_id, one in reserved_before.items() if not one.gang}
    refused: dict[tuple[object, ...], str] = {}
    for job_id in fleet.order:
        job = fleet.jobs[job_id]
        if not _is_runnable(fleet, job, now_ms):
            continue
        may_fit = room.is_left(with_gpus=has_gpus(job.spec))
        if job.spec.gang:
            gang_placement.place(fleet, job, reserved_before, now_ms, may_fit=may_fit, refresh=refresh_reasons)
            room.look_again()
            continue
        before = held.get(job_id)
        is_idle = not may_fit and not refresh_reasons and job.reason and not prefetch_of(job)
        if is_idle and before is None:
            continue
        demand = demand_of(job)
        if is_idle and before is not None:
            reserve_room(fleet, job, demand, [collect_offer(fleet, before, demand, now_ms)], before, now_ms)
            continue
        key = _signature(job, demand)
        if key in refused:
            note_reason(fleet, job, refused[key])
            continue
        reason = _place_job(fleet, job, demand, before, now_ms)
        if reason:
            refused[key] = reason
        room.look_again()


class _Room:
    """Whether any worker could start one more task at once; found out when it is first asked for."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._free: dict[bool, list[Worker]] = {}

    def is_left(self, *, with_gpus: bool) -> bool:
        """Whether there is room for a task with or without GPUs."""
        if with_gpus not in self._free:
            workers = self._fleet.workers.values()
            self._free[with_gpus] = [one for one in workers if _has_room(one, with_gpus=with_gpus)]
        return bool(self._free[with_gpus])

    def look_again(self) -> None:
        """Tasks were placed since: keep only the workers that still have room."""
        for with_gpus, free in self._free.items():
            self._free[with_gpus] = [one for one in free if _has_room(one, with_gpus=with_gpus)]


def _has_room(worker: Worker, *, with_gpus: bool) -> bool:
    if worker.session is None or (with_gpus and len(worker.gpus) <= len(worker.gpus_taken)):
        return False
    return worker.slots_left(with_gpus=with_gpus) > 0


def _is_runnable(fleet: Fleet, job: Job, now_ms: int) -> bool:
    while job.ready and job.tasks[job.ready[0]].state is not TaskState.PENDING:
        heappop(job.ready)
    if not job.ready:
        fleet.order.discard(job)
        return False
    if job.fault:
        note_reason(fleet, job, job.fault)
        return False
    status = fleet.project_status(job.spec.project)
    if status is not ProjectStatus.ACTIVE:
        note_reason(fleet, job, f"project {job.spec.project} is {status}")
        return False
    if job.waiting_on:
        note_reason(fleet, job, f"waits for {', '.join(sorted(job.waiting_on))}")
        return False
    return any(job.tasks[index].not_before_ms <= now_ms for index in job.ready)


def _signature(job: Job, demand: Demand) -> tuple[object, ...]:
    """Jobs of one signature get the same offers. A job whose next task has demands of its own has a signature of its own."""
    spec = job.spec
    alone = job.id if is_particular(job.tasks[job.ready[0]]) else ""
    where = (demand.named, spec.project, spec.workdir)
    finds = (spec.inputs, spec.datasets, demand.contents)
    return (alone, where, spec.requirements, spec.resources, finds, demand.prefetch)


def _place_job(fleet: Fleet, job: Job, demand: Demand, before: Worker | None, now_ms: int) -> str:
    """Place the job's tasks one after the other. Returns why the next one doesn't fit, or an empty text.

    Every worker is judged once, and then only the one that was just given a task is judged again. Room is kept for the
    task that doesn't fit: on `before`, where it was kept in the last pass, if that worker will still do.
    """
    known = estimate.estimates(fleet, job.spec)
    offers = collect_offers(fleet, demand, now_ms)
    accepted = ranked(offers, known)
    later: set[int] = set()
    while job.ready and accepted:
        index = heappop(job.ready)
        task = job.tasks[index]
        if task.state is not TaskState.PENDING or index in later:
            continue
        if task.not_before_ms > now_ms or (task.attempts and checkpointing.awaits_report(fleet, task)):
            later.add(index)
            continue
        if is_particular(task):
            if not _place_particular(fleet, job, task, now_ms):
                later.add(index)
                continue
            offers = collect_offers(fleet, demand, now_ms)  # a worker has just been given a task
            accepted = ranked(offers, known)
            continue
        _, place, offer = heappop(accepted)
        assign(fleet, job, task, offer, now_ms)
        again = renew_offer(fleet, offer, demand, now_ms)
        offers[place] = again
        if again.accepted:
            heappush(accepted, (rank(again, known), place, again))
    is_waiting = any(job.tasks[index].not_before_ms <= now_ms for index in job.ready)
    for index in later:
        heappush(job.ready, index)
    if not job.ready:
        fleet.order.discard(job)
    reason = explain(offers, demand) if is_waiting else ""
    kept_on = reserve_room(fleet, job, demand, offers, before, now_ms) if reason else None
    note_reason(fleet, job, f"{reason}; {kept_on.name} keeps room for it" if kept_on is not None else reason)
    return reason


def _place_particular(fleet: Fleet, job: Job, task: Task, now_ms: int) -> bool:
    """Place a task that avoids workers, or has a checkpoint, and return whether it was placed.

    Where no other worker would take it, or none did for AVOID_WAIT_MS, the workers that it avoids will do.
    """
    bond = checkpointing.bond_of(fleet, task)
    demand = demand_of(job, task, bond)
    offers = collect_offers(fleet, demand, now_ms)
    is_early = now_ms - task.pending_since_ms <= AVOID_WAIT_MS
    if task.avoid and (not is_early or not any(_may_take_later(offer, task) for offer in offers)):
        demand = demand_of(job, task, bond, may_avoid=False)
        offers = collect_offers(fleet, demand, now_ms)
    best = choose(offers, estimate.estimates(fleet, job.spec))
    if best is None:
        reason = explain(offers, demand)
        if task.reason != reason:
            fleet.set_task(job, task, task.state, reason)
        return False
    assign(fleet, job, task, best, now_ms)
    return True


def _may_take_later(offer: Offer, task: Task) -> bool:
    """Whether the task should wait for this worker rather than go back to one on which it failed."""
    worker = offer.worker
    is_there = worker.connection == WorkerConnection.CONNECTED and not worker.maintenance
    return is_there and not offer.permanent and worker.id not in task.avoid


def _wait_for_confirmation(fleet: Fleet) -> None:
    """After a restored backup nothing is started: many tasks that seem to wait may have run already."""
    for job_id in fleet.order:
        note_reason(fleet, fleet.jobs[job_id], "the store was restored from a backup: an admin has to confirm that")


def retract_waiting(fleet: Fleet, now_ms: int) -> None:
    """Take back attempts that wait behind others on a worker while another worker could start them."""
    taken: dict[WorkerId, int] = {}
    for worker in fleet.workers.values():
        if len(worker.live) <= worker.max_concurrent_jobs:
            continue
        for attempt in list(worker.live.values()):
            if attempt.state is not AttemptState.ASSIGNED or now_ms - attempt.assigned_at_ms < RETRACT_AFTER_MS:
                continue
            job = fleet.jobs.get(attempt.job_id)
            if job is None or job.spec.gang or job.fault or attempt.want.mode is not link.Mode.RUN:
                continue
            demand = Demand(job.spec, job.requirements)
            others = (
                collect_offer(fleet, other, demand, now_ms) for other in fleet.workers.values() if other is not worker
            )
            best = choose(others)
            if best is None:
                break
            room = best.worker.slots_left()
            if taken.get(best.worker.id, 0) >= room:
                break
            taken[best.worker.id] = taken.get(best.worker.id, 0) + 1
            set_want(fleet, attempt, link.Want(mode=link.Mode.RETRACT, reason="moves to a free worker"))
