"""What is true of a fleet after every batch, whatever happened."""

from collections import Counter
from collections.abc import Collection, Iterator

from opsconsole_coordinator.core.checkpointing import awaits_report, bond_of, is_parked
from opsconsole_coordinator.core.demand import PREFETCH_MAX, Demand, demand_of
from opsconsole_coordinator.core.dependent import Root
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.gang import is_saving
from opsconsole_coordinator.core.judgement import Offer, judge
from opsconsole_coordinator.core.model import Job, ProjectStatus, Worker
from opsconsole_coordinator.core.offer import shortage_of
from opsconsole_coordinator.core.quota import refusal
from opsconsole_coordinator.core.ready import next_priority, ready_tasks
from opsconsole_coordinator.core.task import Task
from opsconsole_protocol.dependency import End
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.link import Mode
from opsconsole_protocol.spec import NUM_TASKS_MAX
from opsconsole_protocol.state import TaskState, is_task_finished, is_task_live, is_task_waiting
from tests.gpu_rule import gpu_faults


def check(fleet: Fleet) -> list[str]:
    """One line for everything that isn't as it has to be. Jobs whose tasks are kept in few words still are afterwards."""
    fresh = [(job, job.kept_tasks) for job in fleet.jobs.values() if job.is_fresh]
    found = _check_all(fleet)
    for job, kept in fresh:
        job.kept_tasks = kept
    return found


def _check_all(fleet: Fleet) -> list[str]:
    found: list[str] = []
    for job in fleet.jobs.values():
        found += _check_job(fleet, job)
        if job.spec.gang and not fleet.adopting:
            found += _check_gang(fleet, job)
        for task in job.tasks:
            found += (f"{job.task_id(task.index)}: {line}" for line in _check_task(fleet, job, task))
    for worker in fleet.workers.values():
        found += (f"worker {worker.name}: {line}" for line in _check_worker(fleet, worker))
    found += _check_attempts(fleet)
    waiting = sum(is_task_waiting(task.state) for job in fleet.jobs.values() for task in job.tasks)
    if fleet.tally.waiting != waiting:
        found.append(f"{fleet.tally.waiting} tasks are counted as waiting, but {waiting} do")
    found += _check_order(fleet)
    found += _check_shares(fleet)
    return found


def check_idle(fleet: Fleet, now_ms: int) -> list[str]:
    """After a scheduling pass: nobody waits for what is free."""
    found: list[str] = []
    for job_id in fleet.order:
        job = fleet.jobs[job_id]
        if fleet.adopting or fleet.waits_for(job) or fleet.project_status(job.spec.project) is not ProjectStatus.ACTIVE:
            continue
        due = [
            task
            for task in job.tasks
            if task.state is TaskState.PENDING and task.not_before_ms <= now_ms and not awaits_report(fleet, task)
        ]
        if job.spec.gang:
            if not refusal(fleet, job.spec.project, job.submitted_by, demand_of(job), len(due)):
                found += _check_idle_gang(fleet, job, due, now_ms)
            continue
        for task in due[:1]:
            demand = demand_of(job, task, bond_of(fleet, task))
            if refusal(fleet, job.spec.project, job.submitted_by, demand):
                continue
            offers = [_judge(fleet, worker, demand, now_ms) for worker in fleet.workers.values()]
            found += [
                f"{job.task_id(task.index)} waits though {one.worker.name} is free" for one in offers if one.accepted
            ]
    return found


def _check_idle_gang(fleet: Fleet, job: Job, due: list[Task], now_ms: int) -> Iterator[str]:
    """A gang waits only where not all of it fits, or not all of it may start."""
    if len(due) < sum(not is_task_finished(task.state) for task in job.tasks):
        return
    offers = [_judge(fleet, worker, demand_of(job), now_ms) for worker in fleet.workers.values()]
    room = sum(_room(fleet, offer.worker, job) for offer in offers if offer.accepted)
    avoids = any(task.avoid for task in due)
    if room >= len(due) and not avoids:
        yield f"gang {job.id} waits though {room} tasks of it fit and {len(due)} are due"


def _judge(fleet: Fleet, worker: Worker, demand: Demand, now_ms: int) -> Offer:
    return judge(worker, demand, fleet.questions.answers, shortage_of(fleet, demand), now_ms)


def _room(fleet: Fleet, worker: Worker, job: Job) -> int:
    """How many tasks of a job fit on a worker that takes one."""
    needs, kept = job.spec.resources, worker.reserved
    if kept is not None and kept.job_id != job.id:
        return 1
    if needs.share:
        return 1
    room = worker.slots_left(with_gpus=needs.gpus_asked > 0)
    if needs.gpus_asked:
        load = worker.live.load.gpus
        room = min(room, (len(worker.gpus) - len(load.whole) - len(load.shared)) // needs.gpus_asked)
    if needs.memory_mb:
        left = worker.properties.get("memory_mb", 0) - sum(
            one.promised.get("memory_mb", 0) for one in worker.live.holders()
        )
        room = min(room, int(left // needs.memory_mb))
    return room


def _check_gang(fleet: Fleet, job: Job) -> Iterator[str]:
    """None goes on without the others, but while one that is lost may return. One that is saving goes on nowhere."""
    going_on = waiting = parked = frozen = 0
    for task in job.tasks:
        current = fleet.current(task)
        if is_parked(fleet, task):
            parked += 1
        elif is_task_live(task.state):
            going_on += current is not None and current.want.mode is not Mode.STOP and not is_saving(current)
            frozen += current is not None and current.want.mode is Mode.PAUSE and not is_saving(current)
        elif not is_task_finished(task.state):
            waiting += current is None or not current.lost
    if going_on and waiting:
        yield f"gang {job.id}: {going_on} tasks go on while {waiting} wait"
    if going_on > frozen and parked:
        yield f"gang {job.id}: {going_on} tasks go on while {parked} have made way"
    ended = sum(is_task_finished(task.state) and task.state is not TaskState.SUCCEEDED for task in job.tasks)
    if going_on and ended:
        yield f"gang {job.id}: {going_on} tasks go on though {ended} have ended without success"


def _verdict(end: End, state: TaskState) -> str:
    """Whether what is waited for is still open, can't end as asked any more, or has."""
    if state is TaskState.BLOCKED:
        return "blocked"
    if end is End.ANY:
        return "met" if is_task_finished(state) else "open"
    if end is End.FAILURE:
        if state is TaskState.SUCCEEDED:
            return "blocked"
        return "met" if is_task_finished(state) else "open"
    if state is TaskState.SUCCEEDED:
        return "met"
    return "blocked" if is_task_finished(state) else "open"


def _check_needs(fleet: Fleet, job: Job) -> Iterator[str]:
    """What a job waits for, what blocks it and what does in the end, worked out from the beginning."""
    name = f"job {job.id}"
    for one in job.spec.dependencies:
        live = fleet.jobs.get(JobId(one.job))
        if job.id not in fleet.dependents.get(JobId(one.job), ()):
            yield f"{name}: {one.job} doesn't know that it comes after it"
        if live is None or one.end is End.RESULTS:
            continue
        for index in range(len(job.tasks)) if one.each else [None]:
            element = job.elements[index] if index is not None else None
            waiting: Collection[str] = job.waiting_on if element is None else element.waiting_on
            blocked: Collection[str] = job.blocked_by if element is None else element.blocked_by
            other = one.task_index if index is None else index
            key: str = live.id if other is None else live.task_id(other)
            verdict = _verdict(one.end, live.state if other is None else live.tasks[other].state)
            if (key in blocked) != (verdict == "blocked") or (key in waiting) != (verdict == "open"):
                yield f"{name}: waits on {waiting}, blocked by {blocked}, while {key} is {verdict} after {one.end}"
    counted = Counter(root for roots in job.blocked_by.values() for root in roots)
    if job.roots != dict(counted):
        yield f"{name}: its roots are {job.roots}, and those of what blocks it {counted}"
    for key, roots in job.blocked_by.items():
        live = fleet.jobs.get(JobId(key))
        if live is not None and live.state is TaskState.BLOCKED and roots != all_roots(live):
            yield f"{name}: {key} is blocked by {all_roots(live)}, and it thinks by {roots}"


def all_roots(job: Job) -> set[Root]:
    """What blocks a job or tasks of it in the end."""
    own = (roots for element in job.elements.values() for roots in element.blocked_by.values())
    return set(job.roots).union(*own)


def _check_job(fleet: Fleet, job: Job) -> Iterator[str]:
    name = f"job {job.id}"
    if job.counts != dict(Counter(task.state for task in job.tasks)):
        yield f"{name}: counts are {job.counts}"
    if job.failed_tasks != job.counts.get(TaskState.FAILED, 0):
        yield f"{name}: {job.failed_tasks} failed tasks counted"
    if (job.finished_at_ms is not None) != job.is_finished:
        yield f"{name}: {job.state}, but finished at {job.finished_at_ms}"
    opened = {one.id for one in fleet.attempts.values() if one.job_id == job.id and one.open}
    if job.open_attempts != opened:
        yield f"{name}: open attempts {job.open_attempts}, but {opened} are"
    if job.is_finished and not job.open_attempts:
        yield f"{name}: should have left memory"
    yield from _check_needs(fleet, job)
    for task in job.tasks:
        is_blocked = bool(job.blocked_by) or job.is_task_blocked(task.index)
        if is_blocked and task.state in {TaskState.PENDING, TaskState.HELD}:
            yield f"{name}: task {task.index} is blocked, yet {task.state}"
        if not is_blocked and task.state is TaskState.BLOCKED:
            yield f"{name}: nothing blocks task {task.index}, yet it is blocked"


def _check_task(fleet: Fleet, job: Job, task: Task) -> Iterator[str]:
    current = fleet.current(task)
    unfinished = [
        one for one in fleet.attempts.values()
        if one.job_id == job.id and one.index == task.index and not one.is_finished
    ]  # fmt: skip
    if len(unfinished) > 1:
        yield f"{len(unfinished)} attempts have not ended"
    if any(one is not current for one in unfinished):
        yield "an attempt that has not ended isn't the current one"
    if is_task_live(task.state):
        if is_parked(fleet, task):
            yield from _check_parked(fleet, task)
        elif current is None or current.lost or TaskState(current.state) is not task.state:
            yield f"{task.state}, but its attempt is {current and (current.state, current.lost)}"
    elif current is not None and not current.is_finished and not (is_task_waiting(task.state) and current.lost):
        yield f"{task.state}, but its attempt is {current.state}"
    if (task.current is None) != (task.attempts == 0):
        yield f"{task.attempts} attempts, current {task.current}"
    if task.state is TaskState.HELD and not task.held:
        yield "held by nobody"
    if task.preemptions < 0 or task.failures < 0:
        yield f"{task.failures} failures, {task.preemptions} preemptions"


def _check_parked(fleet: Fleet, task: Task) -> Iterator[str]:
    """It holds nothing, and nobody but an operator brings it back."""
    current = fleet.current(task)
    if current is not None and any(current.id in worker.live for worker in fleet.workers.values()):
        yield "it is paused without an attempt, and holds a slot"
    if task.held:
        yield "it is paused without an attempt, and held as well"


def _check_worker(fleet: Fleet, worker: Worker) -> Iterator[str]:
    live = list(worker.live.values())
    if any(one.is_finished or one.worker_id != worker.id for one in live):
        yield "an attempt that has ended has a slot"
    if any(not one.is_finished or not one.open for one in worker.ended.values()):
        yield "an attempt that hasn't ended, or is forgotten, counts as ended"
    if fleet.reserved.get(worker.id) != worker.reserved:
        yield f"reserved is {worker.reserved}, but {fleet.reserved.get(worker.id)} is noted"
    offers = worker.live.offers
    if offers != {one.job_id: one for one in fleet.reservations.offers.values() if one.worker_id == worker.id}:
        yield f"{offers} are reserved, but {fleet.reservations.offers} are noted"
    holders = list(worker.live.holders())
    yield from gpu_faults(
        ((one.gpu_ids, one.share_mb) for one in holders), {gpu.uuid: gpu.memory_total_mb or 0 for gpu in worker.gpus}
    )
    sharing = [one for one in holders if one.share_mb]
    with_gpus = sum(bool(one.gpu_ids) for one in holders) - len(sharing)
    with_gpus += min(len(sharing), len({gpu for one in sharing for gpu in one.gpu_ids}))
    if with_gpus > worker.max_concurrent_jobs:
        yield f"{with_gpus} attempts with GPUs in {worker.max_concurrent_jobs} slots"
    ahead = sum(not one.gpu_ids for one in live) - worker.max_concurrent_jobs
    # Whether a job's tasks are short may look different now than when they were assigned ahead.
    short = sum(fleet.jobs[one.job_id].mean_duration_ms is not None and not one.gpu_ids for one in live)
    if ahead > min(short, PREFETCH_MAX):
        yield f"{len(live)} attempts in {worker.max_concurrent_jobs} slots"
    for key, total in (("cpus", "cpus"), ("memory_mb", "memory_mb")):
        used = sum(one.promised.get(key, 0) for one in holders)
        if used and used > worker.properties.get(total, 0):
            yield f"{used} {key} promised"


def _check_attempts(fleet: Fleet) -> Iterator[str]:
    for attempt in fleet.attempts.values():
        worker = fleet.workers[attempt.worker_id]
        if (attempt.id in worker.live) != (not attempt.is_finished):
            yield f"attempt {attempt.id} is {attempt.state}, {'with' if attempt.id in worker.live else 'without'} a slot"
        if (attempt.id in worker.ended) != (attempt.is_finished and attempt.open):
            yield f"attempt {attempt.id} is {attempt.state}, open {attempt.open}, and wrongly filed"
        if attempt.lost and (attempt.is_finished or not attempt.reported):
            yield f"attempt {attempt.id} is lost, but {attempt.state}, reported {attempt.reported}"
        job = fleet.jobs.get(attempt.job_id)
        if job is None:
            yield f"attempt {attempt.id} stayed behind its job"
        elif not attempt.open and job.tasks[attempt.index].current != attempt.id:
            yield f"attempt {attempt.id} should have left memory"


def _check_shares(fleet: Fleet) -> Iterator[str]:
    """What is counted as held is what live attempts hold and offers keep, and no more than may be."""
    live = [one for worker in fleet.workers.values() for one in worker.live.values()]
    offers = fleet.reservations.offers.values()
    for name, held in (
        *((f"project {name}", one.held) for name, one in fleet.usage.projects.items()),
        *((f"person {name}", one) for name, one in fleet.usage.held_by.items()),
    ):
        kind, _, whose = name.partition(" ")
        jobs = [fleet.jobs[one.job_id] for one in live]
        theirs = [
            one
            for one, job in zip(live, jobs, strict=True)
            if whose == (job.spec.project if kind == "project" else job.submitted_by)
        ]
        kept = [one for one in offers if whose == (one.project if kind == "project" else one.person)]
        gpus = sum(one.gpus for one in theirs) + sum(one.gpus for one in kept)
        if held.tasks != len(theirs) + len(kept) or abs(held.gpus - gpus) > 1e-6:
            yield f"{name} is said to hold {held}, but has {len(theirs)} attempts and {len(kept)} offers"


def _priority_of(job: Job, task: Task) -> int:
    return job.priority if task.priority is None else task.priority


def _queued_with(fleet: Fleet, job: Job) -> int:
    group = fleet.order.group_of(job.id)
    return next_priority(job) if group is None else group.line.priority


def _check_order(fleet: Fleet) -> Iterator[str]:
    order = list(fleet.order)
    keys = [(-_queued_with(fleet, fleet.jobs[job]), fleet.jobs[job].number) for job in order]
    if keys != sorted(keys) or len(set(order)) != len(order):
        yield f"the order is {order}"
    for job in fleet.jobs.values():
        pending = {task.index for task in job.tasks if task.state is TaskState.PENDING}
        if pending and job.id in order and (job.waiting_on or job.fault):
            yield f"job {job.id} has pending tasks and is in a queue though it waits for more than a worker"
        if any(map(job.can_start, job.tasks)) and job.id not in order and not fleet.waits_for(job):
            yield f"job {job.id} has pending tasks and is in no queue"
        startable = {task.index for task in job.tasks if job.can_start(task)}
        ready = ready_tasks(job)
        if lost := startable - {task.index for task in ready}:
            yield f"job {job.id}: tasks {lost} would be pending for ever"
        in_turn = sorted(startable, key=lambda index: (-_priority_of(job, job.tasks[index]), index))
        queued = [rank % NUM_TASKS_MAX for rank in sorted(job.ready)]
        if [index for index in dict.fromkeys(queued) if index in startable] != in_turn:
            yield f"job {job.id}: the tasks {in_turn} are in the order {queued}"
        group = fleet.order.group_of(job.id)
        if group is not None and queued and queued[0] in startable:
            wanted = _priority_of(job, job.tasks[queued[0]])
            if group.line.priority != wanted:
                yield f"job {job.id} stands in the queue with {group.line.priority}, its next task with {wanted}"
        if any(job.ready[(place - 1) // 2] > job.ready[place] for place in range(1, len(job.ready))):
            yield f"job {job.id}: the heap of ready tasks is none: {job.ready}"
        if any(is_task_finished(task.state) and task.held for task in job.tasks if task.state is TaskState.SUCCEEDED):
            yield f"job {job.id}: a task that succeeded is held"
