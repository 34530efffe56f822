"""All tasks of a gang are placed in one pass, or none is."""

import re
from collections.abc import Iterable, Mapping, Sequence

from opsconsole_coordinator.core.assignment import assign
from opsconsole_coordinator.core.checkpointing import awaits_copy, awaits_report, is_parked
from opsconsole_coordinator.core.demand import AVOID_WAIT_MS, Demand, demand_of
from opsconsole_coordinator.core.dry_run import DryRun
from opsconsole_coordinator.core.estimate import ends_on
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.forecast import places_ms
from opsconsole_coordinator.core.gang import living_attempts, restart_broken_round, start_over
from opsconsole_coordinator.core.gang_turn import end_turn, may_reserve, reserve
from opsconsole_coordinator.core.judgement import Offer
from opsconsole_coordinator.core.model import Attempt, Job, Reserved, Worker
from opsconsole_coordinator.core.preemption import Preemption
from opsconsole_coordinator.core.question import Answer, Question
from opsconsole_coordinator.core.reason import explain
from opsconsole_coordinator.core.reservation import put_reservation
from opsconsole_coordinator.core.task import Task
from opsconsole_protocol import link
from opsconsole_protocol.ids import WorkerId
from opsconsole_protocol.link import Mode
from opsconsole_protocol.state import TaskState, is_task_finished, is_task_live

PORT_ANSWER_MS_MAX = 5_000
"""How long an answer about a free port counts, and how long it is waited for."""
_HOST = re.compile(r"[A-Za-z0-9.:_%-]{1,200}")


def place(
    fleet: Fleet, job: Job, reserved_before: Mapping[WorkerId, Reserved], preemption: Preemption, now_ms: int,
    *, may_fit: bool, refresh: bool,
) -> None:  # fmt: skip
    """Assign all tasks of a gang that haven't ended, or none, and say why.

    `reserved_before` is what was reserved before this pass, and `may_fit` whether any slot is free. With `refresh` every worker is
    judged even where no slot is free.
    """
    unfinished = [task for task in job.tasks if not is_task_finished(task.state)]
    waiting = [task for task in unfinished if not is_task_live(task.state) or is_parked(fleet, task)]
    living = living_attempts(fleet, job)
    if living:
        if refresh:
            _wait_for_living(fleet, job, waiting, living, now_ms)
        return
    for task in waiting:
        if why := _why_absent(fleet, task, now_ms):
            fleet.note_reason(job, f"its gang waits for task-{task.index}: {why}")
            return
    has_cleared = any(one.has_cleared and one.job_id == job.id for one in reserved_before.values())
    if may_fit or refresh or not job.reason:
        explains = refresh or has_cleared or not job.reason
        _place_all(fleet, job, waiting, preemption, now_ms, explains=explains)
    else:
        for worker_id, reserved in reserved_before.items():
            if reserved.job_id == job.id and worker_id not in fleet.reserved:
                put_reservation(fleet, worker_id, reserved)


def count_waiting(fleet: Fleet, job: Job) -> int:
    """How many of a gang's tasks would be placed together."""
    return sum(
        not is_task_finished(one.state) and (not is_task_live(one.state) or is_parked(fleet, one)) for one in job.tasks
    )


def _why_absent(fleet: Fleet, task: Task, now_ms: int) -> str:
    """Why a waiting task can't take part in a round yet, or an empty text."""
    if task.state is not TaskState.PENDING:
        return f"it is {task.state}"
    if task.not_before_ms > now_ms:
        return "it is tried again after a while"
    if task.attempts and (awaits_report(fleet, task) or awaits_copy(fleet, task)):
        return "its newest checkpoint is on its way here"
    return ""


def _wait_for_living(fleet: Fleet, job: Job, waiting: Sequence[Task], living: Sequence[Attempt], now_ms: int) -> None:
    """Some tasks wait while others live: the others have to end first.

    Where a lost attempt may still return, the others are ended only if all tasks fit anew.
    """
    restart_broken_round(fleet, job, now_ms)
    if not any(attempt.want.mode is Mode.STOP for attempt in living):
        lost = waiting[0]  # if it weren't lost, the others would have been told to end
        with DryRun(fleet, job, demand_of(job), now_ms) as trial:
            trial.leave_out(living)
            trial.claim(len(waiting) + len(living))
        if len(trial.claims) < len(waiting) + len(living) or any(task.held for task in waiting):
            words = f"task-{lost.index} of its gang is lost: it may return, and there is no room for all anew"
            fleet.note_reason(job, words)
            return
        start_over(fleet, job, f"task-{lost.index} of its gang is lost", now_ms)
    fleet.note_reason(job, "it starts over once the rest of its gang has ended")


def _place_all(
    fleet: Fleet, job: Job, tasks: Sequence[Task], preemption: Preemption, now_ms: int, *, explains: bool
) -> None:
    demand = _demand(fleet, job, tasks, now_ms)
    count = len(tasks)
    with DryRun(fleet, job, demand, now_ms) as trial:
        offers = trial.claim(count)
    fitting = len(trial.claims)
    if fitting < count:
        words = preemption.make_way(job, demand, count) if explains else ""
        if words:
            fleet.note_reason(job, f"{_why_not(offers, demand, count, trial.claims, fitting)}; {words}")
        else:
            _wait_for_room(fleet, job, demand, count, now_ms, explains=explains)
        return
    claims = side_by_side(trial.claims)
    port = _free_port(fleet, claims[0].worker, job, now_ms) if job.spec.ports else None
    if job.spec.ports and port is None:
        if not any(claim.worker.id in fleet.reserved for claim in claims):
            reserve(fleet, job, claims, now_ms)
        fleet.note_reason(job, f"asks {claims[0].worker.name} for a free port")
        return
    for task, offer, known in zip(tasks, claims, gang_places(claims, port), strict=True):
        assign(fleet, job, task, offer, now_ms, known)
    job.ready = range(0)
    fleet.order.discard(job)
    end_turn(fleet, job, now_ms)
    fleet.note_reason(job, "")


def _wait_for_room(fleet: Fleet, job: Job, demand: Demand, count: int, now_ms: int, *, explains: bool) -> None:
    """Say how many fit and would fit if nothing else ran, and keep the room of those, where it is this gang's turn."""
    is_turn = may_reserve(fleet, job, now_ms)
    if not is_turn and not explains:
        return
    with DryRun(fleet, job, demand, now_ms) as trial:
        offers = trial.claim(count)
        fitting = len(trial.claims)
        trial.leave_out_all()
        trial.claim(count - fitting)
    is_free = not any(claim.worker.id in fleet.reserved for claim in trial.claims)
    if len(trial.claims) == count and is_turn and is_free:
        reserve(fleet, job, trial.claims, now_ms, _earliest_ms(fleet, offers, demand, count, now_ms))
    fleet.note_reason(job, _why_not(offers, demand, count, trial.claims, fitting))


def _earliest_ms(fleet: Fleet, offers: Iterable[Offer], demand: Demand, count: int, now_ms: int) -> int:
    """Before when a gang can't start, wherever that is, by the least that what runs there takes; 0 where that may be now."""
    workers = [one.worker for one in offers if one.accepted or one.soon]
    earliest_ms = places_ms(workers, demand, ends_on(fleet, workers, now_ms), count)
    return now_ms + earliest_ms if earliest_ms else 0


def side_by_side(claims: Sequence[Offer]) -> list[Offer]:
    """The claims in the order of their ranks: those on one worker follow each other."""
    order = {worker: place for place, worker in enumerate(dict.fromkeys(claim.worker.id for claim in claims))}
    return sorted(claims, key=lambda claim: order[claim.worker.id])


def gang_places(claims: Sequence[Offer], port: int | None) -> list[link.Gang]:
    """What each task of a gang is told of its rank and of the others, by rank."""
    hosts = tuple(_address(claim.worker) for claim in claims)
    told = hosts if len(hosts) <= link.GANG_HOSTS_MAX else ()
    return [
        link.Gang(rank=rank, size=len(hosts), address=hosts[0], host=host, hosts=told, port=port)
        for rank, host in enumerate(hosts)
    ]


def _address(worker: Worker) -> str:
    """Where other hosts reach a worker: at the address that its agent says, or else at its name."""
    told = worker.properties.get("advertise_host")
    return told if isinstance(told, str) and _HOST.fullmatch(told) else worker.name


def _free_port(fleet: Fleet, worker: Worker, job: Job, now_ms: int) -> int | None:
    """A port of the worker of rank 0 that was free just now, for one round of the gang; None until the worker has answered."""
    question = Question(worker.id, link.QuestionKind.PORT, str(job.id))
    answer = fleet.questions.answers.pop(question, None)
    if answer is not None and answer.port is not None and answer.good_until_ms > now_ms:
        return answer.port
    if answer is None or answer.port is not None or answer.good_until_ms <= now_ms:
        answer = Answer(None, "asking", now_ms + PORT_ANSWER_MS_MAX)
        fleet.send(worker, link.FindPort(check_id=fleet.questions.number_of(question)))
    fleet.questions.answers[question] = answer
    return None


def _demand(fleet: Fleet, job: Job, tasks: Sequence[Task], now_ms: int) -> Demand:
    """What one task needs. For AVOID_WAIT_MS all avoid the workers on which one has failed, if all fit elsewhere."""
    demand = demand_of(job)
    avoid = tuple(dict.fromkeys(worker for task in tasks for worker in task.avoid))
    if not avoid or now_ms - max(task.pending_since_ms for task in tasks) > AVOID_WAIT_MS:
        return demand
    elsewhere = Demand(demand.spec, demand.requirements, avoid=avoid, job_id=job.id, person=demand.person)
    with DryRun(fleet, job, elsewhere, now_ms) as trial:
        trial.leave_out_all()
        trial.claim(len(tasks))
    return elsewhere if len(trial.claims) == len(tasks) else demand


def _why_not(offers: Sequence[Offer], demand: Demand, count: int, claims: Sequence[Offer], fitting: int) -> str:
    """How many of the gang's tasks fit, and why the other workers refuse."""
    if len(claims) < count:
        fits = f"at most {len(claims)} would fit if nothing else ran" if claims else "none fits"
    else:
        fits = f"{fitting or 'none'} fit{'' if fitting > 1 else 's'} now"
    used = {claim.worker.id for claim in claims[:fitting]}
    others = [offer for offer in offers if offer.worker.id not in used and not (claims and offer.permanent)]
    return f"gang of {count}: {fits}" + (f"; {explain(others, demand).text}" if others or not offers else "")


def note_port(fleet: Fleet, worker: Worker, message: link.PortFound, now_ms: int) -> None:
    """A worker has found a free port."""
    answer = Answer(True, "free", now_ms + PORT_ANSWER_MS_MAX, message.port)
    fleet.note_answer(message.check_id, worker.id, answer)
