"""All tasks of a gang are placed in one pass, or none is."""

import re
from collections.abc import Mapping, Sequence

from opsconsole_coordinator.core.assignment import assign
from opsconsole_coordinator.core.dry_run import Rehearsal
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.gang import keep_together, living_attempts, start_over
from opsconsole_coordinator.core.model import Answer, Attempt, Job, Reserved, Task, Worker
from opsconsole_coordinator.core.placement import AVOID_PATIENCE_MS, Demand, Offer, demand_of
from opsconsole_coordinator.core.reason import explain, note_reason
from opsconsole_coordinator.core.reservation import end_turn, keep, may_reserve, reserve
from opsconsole_protocol import link
from opsconsole_protocol.ids import WorkerId
from opsconsole_protocol.link import Mode
from opsconsole_protocol.state import TaskState, is_task_finished, is_task_live

PORT_ANSWER_MS_MAX = 5_000
_HOST = re.compile(r"[A-Za-z0-9.:_%-]{1,200}")


def place(
    fleet: Fleet, job: Job, kept: Mapping[WorkerId, Reserved], now_ms: int, *, may_fit: bool, refresh: bool
) -> None:
    """Assign all of a gang's tasks, or none and say why.

    `kept` is what was reserved before this pass, `may_fit` whether any slot is free; `refresh` asks every worker anyway.
    """
    waiting = [task for task in job.tasks if not is_task_finished(task.state) and not is_task_live(task.state)]
    living = living_attempts(fleet, job)
    if living:
        if refresh:
            _await_living(fleet, job, waiting, living, now_ms)
        return
    absent = next((one for one in waiting if one.state is not TaskState.PENDING or one.not_before_ms > now_ms), None)
    if absent is not None:
        why = "it is tried again after a while" if absent.state is TaskState.PENDING else f"it is {absent.state}"
        note_reason(fleet, job, f"its gang waits for task-{absent.index}: {why}")
        return
    if may_fit or refresh or not job.reason:
        _place_all(fleet, job, waiting, now_ms, explains=refresh or not job.reason)
    else:
        for worker_id, reserved in kept.items():
            if reserved.job_id == job.id and worker_id not in fleet.reserved:
                keep(fleet, worker_id, reserved)


def _await_living(fleet: Fleet, job: Job, waiting: Sequence[Task], living: Sequence[Attempt], now_ms: int) -> None:
    """Some tasks wait while others live: these have to end first; where a lost one may return, only if all fit anew."""
    keep_together(fleet, job, now_ms)
    if not any(attempt.want.mode is Mode.STOP for attempt in living):
        lost = waiting[0]  # else the others would have been ended
        with Rehearsal(fleet, job, demand_of(job), now_ms) as rehearsal:
            rehearsal.leave_out(living)
            rehearsal.claim(len(waiting) + len(living))
        if len(rehearsal.claims) < len(waiting) + len(living) or any(task.held for task in waiting):
            words = f"task-{lost.index} of its gang is lost: it may return, and there is no room for all anew"
            note_reason(fleet, job, words)
            return
        start_over(fleet, job, f"task-{lost.index} of its gang is lost", now_ms)
    note_reason(fleet, job, "it starts over once the rest of its gang has ended")


def _place_all(fleet: Fleet, job: Job, tasks: Sequence[Task], now_ms: int, *, explains: bool) -> None:
    demand = _demand(fleet, job, tasks, now_ms)
    count = len(tasks)
    with Rehearsal(fleet, job, demand, now_ms) as rehearsal:
        offers = rehearsal.claim(count)
        fitting = len(rehearsal.claims)
        if fitting < count:
            is_turn = may_reserve(fleet, job, now_ms)
            if is_turn or explains:
                rehearsal.leave_out_all()
                rehearsal.claim(count - fitting)
                is_free = not any(claim.worker.id in fleet.reserved for claim in rehearsal.claims)
                if len(rehearsal.claims) == count and is_turn and is_free:
                    reserve(fleet, job, rehearsal.claims, now_ms)
                note_reason(fleet, job, _why_not(offers, demand, count, rehearsal.claims, fitting))
            return
        claims = side_by_side(rehearsal.claims)
        port = _port(fleet, claims[0].worker, job, now_ms) if job.spec.ports else None
        if job.spec.ports and port is None:
            if not any(claim.worker.id in fleet.reserved for claim in claims):
                reserve(fleet, job, claims, now_ms)
            note_reason(fleet, job, f"asks {claims[0].worker.name} for a free port")
            return
    for task, offer, known in zip(tasks, claims, places(claims, port), strict=True):
        assign(fleet, job, task, offer, now_ms, known)
    job.ready.clear()
    fleet.order.discard(job)
    end_turn(fleet, job, now_ms)
    note_reason(fleet, job, "")


def side_by_side(claims: Sequence[Offer]) -> list[Offer]:
    """The tasks of one worker one after the other, as their ranks are counted."""
    order = {worker: place for place, worker in enumerate(dict.fromkeys(claim.worker.id for claim in claims))}
    return sorted(claims, key=lambda claim: order[claim.worker.id])


def places(claims: Sequence[Offer], port: int | None) -> list[link.Gang]:
    """What each task of a gang is told of the others."""
    hosts = tuple(_address(claim.worker) for claim in claims)
    told = hosts if len(hosts) <= link.GANG_HOSTS_MAX else ()
    return [
        link.Gang(rank=rank, size=len(hosts), address=hosts[0], host=host, hosts=told, port=port)
        for rank, host in enumerate(hosts)
    ]


def _address(worker: Worker) -> str:
    """Where other hosts reach a worker: as its agent says, or its name."""
    told = worker.properties.get("advertise_host")
    return told if isinstance(told, str) and _HOST.fullmatch(told) else worker.name


def _port(fleet: Fleet, worker: Worker, job: Job, now_ms: int) -> int | None:
    """A port of the worker of rank 0 that was free just now, good for one round; asks for it."""
    question = (worker.id, link.Kind.PORT, str(job.id))
    answer = fleet.inputs.pop(question, None)
    if answer is not None and answer.port is not None and answer.good_until_ms > now_ms:
        return answer.port
    if answer is None or answer.port is not None or answer.good_until_ms <= now_ms:
        answer = Answer(None, "asking", now_ms + PORT_ANSWER_MS_MAX)
        fleet.send(worker, link.FindPort(check_id=fleet.check_id(question)))
    fleet.inputs[question] = answer
    return None


def _demand(fleet: Fleet, job: Job, tasks: Sequence[Task], now_ms: int) -> Demand:
    """What one task asks for. All avoid where one has failed, for a while, if there is room for all elsewhere."""
    demand = demand_of(job)
    avoid = tuple(dict.fromkeys(worker for task in tasks for worker in task.avoid))
    if not avoid or now_ms - max(task.pending_since_ms for task in tasks) > AVOID_PATIENCE_MS:
        return demand
    elsewhere = Demand(demand.spec, demand.requirements, avoid=avoid, job_id=job.id)
    with Rehearsal(fleet, job, elsewhere, now_ms) as rehearsal:
        rehearsal.leave_out_all()
        rehearsal.claim(len(tasks))
    return elsewhere if len(rehearsal.claims) == len(tasks) else demand


def _why_not(offers: Sequence[Offer], demand: Demand, count: int, claims: Sequence[Offer], fitting: int) -> str:
    """How many of the gang's tasks fit, and what the other workers say."""
    if len(claims) < count:
        fits = f"at most {len(claims)} fit on the workers that are here" if claims else "none fits"
    else:
        fits = f"{fitting or 'none'} fit{'' if fitting > 1 else 's'} now"
    used = {claim.worker.id for claim in claims[:fitting]}
    others = [offer for offer in offers if offer.worker.id not in used and not (claims and offer.permanent)]
    return f"gang of {count}: {fits}" + (f"; {explain(others, demand)}" if others or not offers else "")
