"""Pending tasks are placed: jobs in order, each task on the best worker that accepts it."""

from collections.abc import Iterable
from itertools import chain, islice

from msgspec.structs import replace

from opsconsole_coordinator.core import checkpointing, gang_placement, reservation
from opsconsole_coordinator.core.assignment import assign
from opsconsole_coordinator.core.demand import AVOID_WAIT_MS, Demand, demand_of, is_particular
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.judgement import Offer
from opsconsole_coordinator.core.market import Market, Room
from opsconsole_coordinator.core.model import Job, ProjectStatus, Reserved, Worker
from opsconsole_coordinator.core.next_in_line import KEPT_ROOMS_MAX, reserve_room
from opsconsole_coordinator.core.offer import collect_offer, collect_offers
from opsconsole_coordinator.core.order import Group, Line, Size, Standing
from opsconsole_coordinator.core.preemption import TASKS_AT_ONCE, Preemption
from opsconsole_coordinator.core.project import standstill
from opsconsole_coordinator.core.quota import Standings, refusal
from opsconsole_coordinator.core.ranking import Ranking
from opsconsole_coordinator.core.ready import (
    add_ready,
    drop_stale,
    next_priority,
    next_ready,
    ready_tasks,
    take_ready,
    tasks_wait_for,
)
from opsconsole_coordinator.core.reason import explain
from opsconsole_coordinator.core.reservation import put_reservation
from opsconsole_coordinator.core.task import Task
from opsconsole_coordinator.core.turns import Turns
from opsconsole_protocol.ids import JobId, WorkerId
from opsconsole_protocol.state import WorkerConnection

JUDGED_A_TICK = 2_000
"""How many offers are looked at in a tick, to say anew why jobs wait: some groups' after the other where that is less than all.

Where there are no more than these, all are looked at in each pass: why jobs wait is then always of this moment.
"""
SAMPLE = 8
"""How many workers are judged to find one that keeps room for a task. Where none of them would do, a tick judges all."""
TOLD_MAX = 100
"""How many jobs of a group have the reason written into them: those after them are told once they come near."""


def schedule(fleet: Fleet, now_ms: int, *, explains: bool = False) -> None:
    """Assign as many tasks as fit, in turn.

    A pass costs what has changed since the last one: a group of jobs that all workers have refused is only shown to those
    that have changed since. `explains`: of some groups it is said anew why they wait, for which every worker is judged.
    """
    fleet.must_schedule = False
    if fleet.all_changed:
        fleet.order.wake()
    if explains:
        fleet.order.explain_next(max(1, JUDGED_A_TICK // max(1, len(fleet.workers))))
    reserved_before = dict(fleet.reserved)
    if fleet.adopting:
        reservation.withdraw(fleet, reserved_before)
        _wait_for_confirmation(fleet)
    else:
        _Pass(fleet, now_ms).run()
    fleet.changed.clear()
    fleet.all_changed = fleet.adopting  # nobody was shown anything
    if reserved_before or fleet.reserved:
        reservation.show_changes(fleet, reserved_before)


class _Pass:
    """One pass of the scheduler."""

    def __init__(self, fleet: Fleet, now_ms: int) -> None:
        for job_id in fleet.order.due(now_ms):
            if (job := fleet.jobs.get(job_id)) is not None:
                fleet.queue(job)
        self._fleet = fleet
        self._now_ms = now_ms
        self._room = Room(fleet)
        self._market = Market(fleet, self._room, now_ms)
        self._preemption = Preemption(fleet, now_ms)
        self._standings = Standings(fleet, now_ms)
        self._visited: set[JobId] = set()
        self._active: set[str] = set()
        """Projects of which tasks may start, as far as they were looked at."""
        self._is_small = fleet.order.count_groups() * len(fleet.workers) <= JUDGED_A_TICK
        self._open = self._open_sizes()
        self._before: dict[WorkerId, Reserved] = {}
        """What was kept before, and isn't any more unless it is kept again: whose turn comes first may have it."""
        self._held: dict[JobId, list[Worker]] = {}
        """Where that was, by the job that it was kept for."""
        self._settled = self._untouched()
        """For which jobs it simply stays."""
        self._withdraw({one: kept for one, kept in fleet.reserved.items() if kept.job_id not in self._settled})
        self._special = self._special_groups()
        lines = fleet.order.lines if self._is_small else self._open_lines()
        self._turns = Turns(lines, self._standing, self._open, self._special)

    def run(self) -> None:
        """Give every line its turns."""
        is_all = True
        while (group := self._turns.next()) is not None:
            if is_all and not (self._room.has_changed or self._is_small):
                is_all = False
                special = self._special_groups()
                self._turns.leave_only(special, {one.line: None for one in special})
            elif self._may_be_placed(group):
                self._visit(group)
            else:
                self._turns.pass_by(group)
        self._keep_rooms()

    def _untouched(self) -> set[JobId]:
        """The jobs for which nothing is kept on a worker that has changed, where nobody looks at other workers in this pass."""
        fleet, order = self._fleet, self._fleet.order
        if self._is_small or fleet.all_changed or order.unexplained or order.seeking or order.prefetching:
            return set()
        if any(size.unstuck for size in order.sizes) or any(one.ask.size in self._open for one in order.alone):
            return set()
        found = {one.job_id for one in fleet.reserved.values()}
        found.difference_update([kept.job_id for one in fleet.changed if (kept := fleet.reserved.get(one)) is not None])
        groups = ((job_id, order.group_of(job_id)) for job_id in found)
        return {job_id for job_id, group in groups if group is not None and group.head == job_id}

    def _withdraw(self, kept: dict[WorkerId, Reserved]) -> None:
        reservation.withdraw(self._fleet, kept)
        self._before |= kept
        for worker_id, one in kept.items():
            self._held.setdefault(one.job_id, []).append(self._fleet.workers[worker_id])

    def _unsettle(self) -> None:
        """Somebody looks at all workers now."""
        fleet, settled = self._fleet, self._settled
        if settled:
            self._settled = set()
            self._withdraw({one: kept for one, kept in fleet.reserved.items() if kept.job_id in settled})
            for job_id in settled:
                if (group := fleet.order.group_of(job_id)) is not None:
                    self._turns.add(group)

    def _standing(self, line: Line) -> Standing | None:
        if line.project in self._active:
            return self._standings.of(line.project, line.person)
        if self._fleet.project_status(line.project) is ProjectStatus.ACTIVE:
            self._active.add(line.project)
            return self._standings.of(line.project, line.person)
        if not line.is_told:
            line.is_told = True
            for group in line.groups:
                self._tell(group, standstill(self._fleet, line.project))
        return None

    def _open_lines(self) -> Iterable[Line]:
        """The lines that may have groups which are to be looked at in this pass."""
        found = {group.line: None for group in self._special}
        for size in self._open:
            found.update(dict.fromkeys(size.lines))
        return found

    def _open_sizes(self) -> dict[Size, None]:
        """How much may be asked of workers that have changed, so that they may have room for it."""
        if self._is_small:
            return dict.fromkeys(self._fleet.order.sizes)
        if not self._room.has_changed:
            return {}
        return {size: None for size in self._fleet.order.sizes if self._room.is_left(size, stuck=True)}

    def _special_groups(self) -> dict[Group, None]:
        """Those that are looked at though no worker has changed."""
        order = self._fleet.order
        found: dict[Group, None] = {**order.unexplained, **order.seeking, **order.prefetching}
        for job_id in self._held:
            if (group := order.group_of(job_id)) is not None:
                found[group] = None
        for size in order.sizes:
            if not size.unstuck:
                continue
            if self._room.is_left(size, stuck=False):
                found.update(size.unstuck)
            else:
                size.unstuck.clear()
        return found

    def _may_be_placed(self, group: Group) -> bool:
        """Whether a group is to be visited, rather than that only what is kept for its first job stays kept."""
        if self._is_small or group.must_explain:
            return True
        if group.prefetches:
            return not group.is_stuck or bool(self._fleet.changed)
        if self._room.is_left(group.ask.size, stuck=group.is_stuck):
            return True
        before = self._held.get(group.head)
        if before is None:
            if group.seeks_room and not self._may_keep_room(group):
                group.note_sought()
            return group.seeks_room
        return self._has_changed(before) or not self._keep_as_before(before)

    def _may_keep_room(self, group: Group) -> bool:
        """Whether room may be kept for the first job of a group, for which none is kept yet."""
        return group.is_first_of_kin and len(self._before) + len(self._settled) < KEPT_ROOMS_MAX

    def _has_changed(self, workers: Iterable[Worker]) -> bool:
        return not self._fleet.changed.isdisjoint(one.id for one in workers)

    def _visit(self, group: Group) -> None:
        job = self._fleet.jobs[group.head]
        self._visited.add(job.id)
        drop_stale(job)
        if not job.ready:
            self._leave_out(job)
        elif self._fleet.waits_for(job) or not group.suits(job):
            self._move(job)
        elif job.spec.gang:
            self._place_gang(group, job)
        else:
            self._place(group, job)
            if self._fleet.order.group_of(job.id) is group and not group.suits(job):
                self._move(job)

    def _move(self, job: Job) -> None:
        """It asks for something else by now, or with another priority, and has its turn with others."""
        self._unsettle()
        other = self._fleet.queue(job)
        if other is not None:
            self._turns.add(other)

    def _leave_out(self, job: Job) -> None:
        """None of its tasks waits for a worker."""
        self._fleet.order.discard(job)
        if job.elements:
            self._fleet.note_reason(job, tasks_wait_for(job))

    def _place_gang(self, group: Group, job: Job) -> None:
        words = refusal(
            self._fleet,
            group.line.project,
            group.line.person,
            group.demand,
            gang_placement.count_waiting(self._fleet, job),
        )
        if words:
            self._stop_at_limit(group, job, words)
            return
        gang_placement.place(
            self._fleet, job, self._before, self._preemption, self._now_ms, may_fit=bool(self._room), refresh=group.must_explain
        )  # fmt: skip
        self._turns.pass_by(group)
        group.note_refused()
        group.note_explained(job.reason)
        for attempt in self._fleet.live_attempts(job):
            self._market.note_change(attempt.worker_id)
        for worker_id in self._fleet.reserved:
            self._market.note_kept(worker_id)

    def _place(self, group: Group, job: Job) -> None:
        """Place the job's tasks one after the other: all of them, or only one where others have had no more than they."""
        demand = group.demand_for(job)
        later: list[int] = []
        limit = ""
        is_placed = is_refused = False
        while (
            job.ready and not is_refused and not (is_placed and not self._turns.is_alone)
            and (later or next_priority(job) == group.line.priority)
        ):  # fmt: skip
            task = take_ready(job)
            if not job.can_start(task):
                continue
            if self._is_early(task):
                later.append(task.index)
                continue
            limit = self._fleet.waits_for(job) or refusal(self._fleet, group.line.project, group.line.person, demand)
            if limit:
                later.append(task.index)
                break
            worker = self._place_task(group, job, task, demand)
            if worker is not None:
                is_placed = True
                self._market.note_change(worker.id)
                continue
            later.append(task.index)
            is_refused = not is_particular(task)
        is_tried = is_refused or not job.ready
        for index in later:
            add_ready(job, index)
        if job.id not in self._fleet.order:
            self._fleet.note_reason(job, "")
            self._hand_over(group, job)
        elif not job.ready:
            self._leave_out(job)
        elif limit:
            self._stop_at_limit(group, job, limit)
        elif is_tried and all(self._is_early(job.tasks[index]) for index in later):
            self._wait(group, job)
        elif is_tried:
            self._refuse(group, job, demand)

    def _hand_over(self, group: Group, job: Job) -> None:
        """What is kept for a job that has all its tasks placed elsewhere is kept for the next of its group, which needs as much."""
        fleet = self._fleet
        if job.id in self._settled:
            self._settled.remove(job.id)
            self._withdraw({one: kept for one, kept in fleet.reserved.items() if kept.job_id == job.id})
        workers = self._held.get(job.id)
        if workers is None or self._has_changed(workers) or not group.jobs or not group.is_first_of_kin:
            return
        kept = {one.id: self._before[one.id] for one in workers}
        if any(one.has_cleared for one in kept.values()):
            return
        self._held[group.head] = self._held.pop(job.id)
        self._before |= {one: replace(part, job_id=group.head) for one, part in kept.items()}
        group.note_sought()

    def _stop_at_limit(self, group: Group, job: Job, reason: str) -> None:
        """The job, its project or its person has as much as it may have at a time."""
        if self._fleet.waits_for(job):
            self._fleet.queue(job)  # which leaves the queue until one of its tasks has ended
            return
        self._turns.pass_by(group)
        group.note_refused()
        self._fleet.order.over_quota[group] = None
        self._tell(group, reason)

    def _is_early(self, task: Task) -> bool:
        """Whether it is too early for a task: it is tried again after a while, or news of its checkpoint are on their way."""
        return task.not_before_ms > self._now_ms or (
            bool(task.attempts) and checkpointing.awaits_report(self._fleet, task)
        )

    def _place_task(self, group: Group, job: Job, task: Task, demand: Demand) -> Worker | None:
        """Give the task to the best of the workers that accept it; None where none does."""
        if is_particular(task):
            return _place_particular(self._fleet, job, task, self._now_ms)
        offer = self._market.candidates(group, demand).take()
        if offer is None:
            return None
        assign(self._fleet, job, task, offer, self._now_ms)
        return offer.worker

    def _wait(self, group: Group, job: Job) -> None:
        """All tasks that are left wait for a time, or for news of a checkpoint."""
        first_ms = min(task.not_before_ms for task in ready_tasks(job))
        self._fleet.note_reason(job, "")
        self._turns.pass_by(group)
        if first_ms > self._now_ms:
            self._fleet.order.sleep(job, first_ms)
        else:
            group.note_refused()
            group.note_explained("")

    def _refuse(self, group: Group, job: Job, demand: Demand) -> None:
        """No worker takes the next task: say why where that isn't said yet, and keep room for it on one of them."""
        fleet, now_ms = self._fleet, self._now_ms
        before = self._held.get(job.id, [])
        group.note_refused()
        self._turns.pass_by(group)
        if group.must_explain or self._is_small:
            offers = collect_offers(fleet, demand, now_ms)
            group.note_sought()
            kept = self._make_way(group, job, demand)
            if not kept:
                may_have = group.is_first_of_kin
                worker = self._keep_room(job, demand, offers, before[0] if before else None) if may_have else None
                kept = f"{worker.name} keeps room for it" if worker is not None else ""
            self._tell(group, explain(offers, demand).text, kept)
            return
        if not group.is_first_of_kin:
            group.note_sought()
            return
        if before:
            has_cleared = self._before[before[0].id].has_cleared
            has_changed = self._has_changed(before)
            if (has_cleared or not has_changed) and self._keep_as_before(before):
                return
            first = before[0]
            if self._keep_room(job, demand, [collect_offer(fleet, first, demand, now_ms)], first) is not None:
                return
        elif not group.seeks_room:
            return
        group.note_sought()
        if len(self._before) + len(self._settled) >= KEPT_ROOMS_MAX:
            return
        offers = collect_offers(fleet, demand, now_ms, self._some_workers())
        self._keep_room(job, demand, offers, None)

    def _some_workers(self) -> list[Worker]:
        """Some of the workers, other ones each time: room is kept on the best of these."""
        workers = self._fleet.workers
        first = self._fleet.next_sample = (self._fleet.next_sample + SAMPLE) % len(workers)
        return list(islice(chain(workers.values(), workers.values()), first, first + SAMPLE))

    def _make_way(self, group: Group, job: Job, demand: Demand) -> str:
        """Have tasks of lower bands make way for the job's next ones, as many as it may have. Returns that in words."""
        count = min(len(job.ready), TASKS_AT_ONCE)
        if job.spec.max_parallel is not None:
            count = min(count, job.spec.max_parallel - len(self._fleet.live_attempts(job)))
        while count > 1 and refusal(self._fleet, group.line.project, group.line.person, demand, count):
            count -= 1
        task = next_ready(job)
        if task is not None and is_particular(task):
            demand, count = demand_of(job, task, checkpointing.bond_of(self._fleet, task)), 1
        words = self._preemption.make_way(job, demand, count)
        for worker_id, reserved in self._fleet.reserved.items():
            if words and reserved.job_id == job.id:
                self._market.note_kept(worker_id)
        return words

    def _keep_room(self, job: Job, demand: Demand, offers: Iterable[Offer], before: Worker | None) -> Worker | None:
        worker = reserve_room(self._fleet, job, demand, offers, before, self._now_ms)
        if worker is not None:
            self._market.note_kept(worker.id)
        return worker

    def _keep_as_before(self, workers: Iterable[Worker]) -> bool:
        """Keep the room that was kept before, unless some is kept for another job by now, whose turn came first."""
        is_all = True
        for worker in workers:
            if worker.reserved is None:
                put_reservation(self._fleet, worker.id, self._before[worker.id])
                self._market.note_kept(worker.id)
            else:
                is_all = False
        return is_all

    def _tell(self, group: Group, reason: str, kept: str = "") -> None:
        """Write into the first jobs of a group why they wait; where nothing was said yet, the others are told after them."""
        if not group.reason and len(group.jobs) > TOLD_MAX:
            self._fleet.order.untold[group] = group.jobs[TOLD_MAX - 1]
        group.note_explained(reason)
        for place, (_, job_id) in enumerate(group.jobs[:TOLD_MAX]):
            words = f"{reason}; {kept}" if kept and not place else reason
            self._fleet.note_reason(self._fleet.jobs[job_id], words)

    def _keep_rooms(self) -> None:
        """What was kept for jobs that had no turn in this pass stays kept."""
        for worker_id, reserved in self._before.items():
            group = self._fleet.order.group_of(reserved.job_id)
            is_next = group is not None and group.head == reserved.job_id and reserved.job_id not in self._visited
            if is_next and worker_id not in self._fleet.reserved and worker_id in self._fleet.workers:
                put_reservation(self._fleet, worker_id, reserved)


def _place_particular(fleet: Fleet, job: Job, task: Task, now_ms: int) -> Worker | None:
    """Place a task that avoids workers, or has a checkpoint, and return where; None where nobody takes it.

    Where no other worker would take it, or none did for AVOID_WAIT_MS, the workers that it avoids will do.
    """
    bond = checkpointing.bond_of(fleet, task)
    demand = demand_of(job, task, bond)
    offers = collect_offers(fleet, demand, now_ms)
    is_early = now_ms - task.pending_since_ms <= AVOID_WAIT_MS
    if task.avoid and (not is_early or not any(_may_take_later(offer, task) for offer in offers)):
        demand = demand_of(job, task, bond, may_avoid=False)
        offers = collect_offers(fleet, demand, now_ms)
    best = Ranking(fleet, job.spec, job.id).choose(offers)
    if best is None:
        reason = explain(offers, demand).text
        if task.reason != reason:
            fleet.set_task(job, task, task.state, reason)
        return None
    assign(fleet, job, task, best, now_ms)
    return best.worker


def _may_take_later(offer: Offer, task: Task) -> bool:
    """Whether the task should wait for this worker rather than go back to one on which it failed."""
    worker = offer.worker
    is_there = worker.connection == WorkerConnection.CONNECTED and not worker.is_in_maintenance
    return is_there and not offer.permanent and worker.id not in task.avoid


def _wait_for_confirmation(fleet: Fleet) -> None:
    """After a restored backup nothing is started: many tasks that seem to wait may have run already."""
    for group in fleet.order.groups:
        for _, job_id in group.jobs[:TOLD_MAX]:
            fleet.note_reason(fleet.jobs[job_id], "the store was restored from a backup: an admin has to confirm that")
