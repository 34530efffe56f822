"""Bugs planted on purpose. Each replaces one real function; the simulator has to find every one of them."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any
from unittest import mock

import msgspec

from opsconsole_agent.core.attempt_set import AttemptSet
from opsconsole_agent.core.effect import Pause
from opsconsole_agent.core.lifecycle import Lifecycle
from opsconsole_agent.core.phase import PHASE_MOVES, Move, Phase
from opsconsole_agent.core.reactor import Reactor
from opsconsole_agent.core.slot import Claim
from opsconsole_coordinator.core import (
    assignment,
    booking,
    calendar,
    checkpointing,
    collecting,
    dependency,
    desired,
    ending,
    gang,
    gang_placement,
    gang_turn,
    gpu_share,
    judgement,
    loading,
    next_in_line,
    preemption,
    quota,
    reconcile,
    registration,
    reserving,
    schedule,
    submission,
)
from opsconsole_coordinator.core.content import Contents
from opsconsole_coordinator.core.demand import demand_of
from opsconsole_coordinator.core.dry_run import DryRun
from opsconsole_coordinator.core.model import Attempt
from opsconsole_coordinator.core.usage import Usage
from opsconsole_coordinator.server import commit_loop
from opsconsole_coordinator.store import query, rebuild
from opsconsole_protocol import link
from opsconsole_protocol.dependency import End
from opsconsole_protocol.ids import JobId
from tests.simulation.store import NotingJournal

Patch = Callable[[], AbstractContextManager[object]]


def _success_will_do(real: Any) -> Any:
    return lambda end, state: end is not End.FAILURE and real(end, state)


@dataclass(frozen=True)
class Mutation:
    """A bug, the kinds of faults that bring it to light, and within how many seeds they have to."""

    name: str
    plant: Patch
    faults: tuple[str, ...]
    seeds: int = 150


def _wrap(owner: Any, name: str, make: Callable[[Any], Any], *importers: Any) -> Patch:
    """Replace `owner.name` by what `make` makes of it, also in the modules that have imported it."""

    def plant() -> AbstractContextManager[object]:
        stack = ExitStack()
        made = make(getattr(owner, name))
        for module in (owner, *importers):
            stack.enter_context(mock.patch.object(module, name, made))
        return stack

    return plant


def _effects_before_commit() -> AbstractContextManager[object]:
    real = NotingJournal.commit

    async def commit(self: NotingJournal, database: Any, batch: Any, rows: Any, **meta: str) -> None:
        for worker_id, session_id, message in batch.sends:
            session = self.sessions.get(worker_id)
            if session is not None and session.id == session_id:
                session.send(message)
        batch.sends = []
        await real(self, database, batch, rows, **meta)

    return mock.patch.object(NotingJournal, "commit", commit)


def _failed_commit_acknowledged(real: Any) -> Any:
    async def recover(self: commit_loop.CommitLoop, error: Any, waiters: Any) -> None:
        for waiter in waiters:
            waiter.set_result(None)
        await real(self, error, [])

    return recover


def _stale_report(real: Any) -> Any:
    def take(fleet: Any, worker: Any, observed: link.Observed, *rest: Any) -> None:
        job_id, index, _, _ = observed.attempt_id.split(".")
        job = fleet.jobs.get(JobId(job_id))
        current = fleet.current(job.tasks[int(index)]) if job is not None else None
        if current is not None and not current.is_finished and current.id != observed.attempt_id:
            observed = msgspec.structs.replace(observed, attempt_id=current.id)
            worker = fleet.workers[current.worker_id]
        real(fleet, worker, observed, *rest)

    return take


def _snapshot_crossing(real: Any) -> Any:
    def compare(fleet: Any, worker: Any, *rest: Any, **named: Any) -> None:
        for attempt in worker.live.values():
            attempt.reported = True
        real(fleet, worker, *rest, **named)

    return compare


def _loss_counted_twice(real: Any) -> Any:
    def replace_lost(fleet: Any, job: Any, task: Any, now_ms: int) -> None:
        lost = fleet.current(task)
        if lost is not None and lost.lost:
            task.preemptions += 1
        real(fleet, job, task, now_ms)

    return replace_lost


def _loss_counted_though_over(real: Any) -> Any:
    def welcome_back(fleet: Any, attempt: Attempt, now_ms: int) -> None:
        task = fleet.jobs[attempt.job_id].tasks[attempt.index]
        before = task.preemptions
        real(fleet, attempt, now_ms)
        task.preemptions = before

    return welcome_back


def _cancel_lost(real: Any) -> Any:
    def desired_of(fleet: Any, job: Any, attempt: Any) -> link.Desired:
        told: link.Desired = real(fleet, job, attempt)
        return msgspec.structs.replace(told, want=link.Want())

    return desired_of


def _slot_freed_early() -> AbstractContextManager[object]:
    real_stop, real_want = Lifecycle._begin_stop, desired.set_want

    def begin_stop(self: Lifecycle, attempt: Any, cause: Any, reason: str, now_ms: int) -> None:
        real_stop(self, attempt, cause, reason, now_ms)
        self._slots.leave(attempt.attempt_id)
        self._fill_slots(now_ms)

    def set_want(fleet: Any, attempt: Attempt, want: link.Want) -> None:
        real_want(fleet, attempt, want)
        if want.mode is link.Mode.STOP:
            fleet.release_slot(attempt)

    stack = ExitStack()
    stack.enter_context(mock.patch.object(Lifecycle, "_begin_stop", begin_stop))
    stack.enter_context(mock.patch.object(ending, "set_want", set_want))
    return stack


def _pause_asked_twice(real: Any) -> Any:
    def reconcile_live(self: Lifecycle, attempt: Any, want: link.Want, now_ms: int) -> None:
        real(self, attempt, want, now_ms)
        if attempt.phase is Phase.PAUSING:
            self._attempts.effects.append(Pause(attempt.attempt_id))

    return reconcile_live


def _resume_not_in_the_table() -> AbstractContextManager[object]:
    moves = {move: phase for move, phase in PHASE_MOVES[Phase.PAUSED].items() if move is not Move.RESUME}
    return mock.patch.dict(PHASE_MOVES, {Phase.PAUSED: moves})


def _exit_forgotten(real: Any) -> Any:
    def take(self: Reactor) -> Any:
        effects = real(self)
        for attempt in self._attempts:
            if attempt.phase is Phase.ENDED and self._is_connected:
                self._lifecycle.forget(attempt)
        return [*effects, *real(self)]

    return take


def _started_twice(real: Any) -> Any:
    def desire(self: Reactor, desired: link.Desired, now_ms: int) -> None:
        if self._attempts.get(desired.attempt_id) is not None:
            self._attempts.remove(desired.attempt_id)
        real(self, desired, now_ms)

    return desire


def _gpu_forgotten(real: Any) -> Any:
    def enter(fleet: Any, attempt: Attempt) -> None:
        attempt.gpu_ids = ()
        real(fleet, attempt)

    return enter


def _share_forgotten(real: Any) -> Any:
    def enter(fleet: Any, attempt: Attempt) -> None:
        if attempt.share_mb:
            attempt.share_mb = 1
        real(fleet, attempt)

    return enter


def _intent_not_written(_: Any) -> Any:
    def persist(self: AttemptSet, attempt: Any) -> None:
        del self
        attempt.is_written = True

    return persist


def _retry_ignores_budget(real: Any) -> Any:
    def move(fleet: Any, job: Any, task: Any, attempt: Attempt, now_ms: int) -> None:
        real(fleet, job, task, attempt, now_ms)
        task.failures += attempt.state == "failed"

    return move


def _gang_in_part(real: Any) -> Any:
    def place(fleet: Any, job: Any, tasks: Any, now_ms: int, **named: Any) -> None:
        with DryRun(fleet, job, demand_of(job), now_ms) as trial:
            trial.claim(len(tasks))
        if not trial.claims:
            real(fleet, job, tasks, now_ms, **named)
        for task, offer in zip(tasks, trial.claims, strict=False):
            assignment.assign(fleet, job, task, offer, now_ms)

    return place


def _saving_ended() -> AbstractContextManager[object]:
    return mock.patch.multiple(gang, is_saving=lambda _: False, is_parked=lambda *_: False)


def _limit_forgotten(real: Any) -> Any:
    def load(*args: Any) -> Any:
        fleet = real(*args)
        for job in fleet.jobs.values():
            job.limit_from_ms = None
        return fleet

    return load


def _repeated_report(real: Any) -> Any:
    def take(fleet: Any, worker: Any, observed: link.Observed, *rest: Any) -> None:
        attempt = fleet.attempts.get(observed.attempt_id)
        is_repeated = attempt is not None and attempt.is_finished and attempt.open
        real(fleet, worker, observed, *rest)
        if attempt is not None and is_repeated and observed.state == "failed":
            task = fleet.jobs[attempt.job_id].tasks[attempt.index]
            task.failures += 1
            fleet.set_task(fleet.jobs[attempt.job_id], task, task.state)

    return take


def _failures_end_all(real: Any) -> Any:
    def count(fleet: Any, job: Any, now_ms: int) -> None:
        if job.spec.max_task_failures is None:
            job.spec = msgspec.structs.replace(job.spec, max_task_failures=0)
        real(fleet, job, now_ms)

    return count


def _final(real: Any) -> Any:
    def note(*args: Any, is_final: bool) -> None:
        del is_final
        real(*args, is_final=True)

    return note


def _wanted_early(real: Any) -> Any:
    def want(fleet: Any, job: Any, attempt: Attempt) -> None:
        if attempt.open or job.finished_at_ms is None:
            attempt, job = msgspec.structs.replace(attempt, open=False), msgspec.structs.replace(job, finished_at_ms=1)
        real(fleet, job, attempt)

    return want


def _way_parked(real: Any) -> Any:
    def park(fleet: Any, job: Any, task: Any, attempt: Any, now_ms: int) -> None:
        attempt.is_leaving = False
        real(fleet, job, task, attempt, now_ms)

    return park


def _goes_on_after_saving(real: Any) -> Any:
    def park(fleet: Any, job: Any, task: Any, attempt: Attempt, now_ms: int) -> None:
        attempt.want = link.Want()
        real(fleet, job, task, attempt, now_ms)

    return park


def _nothing(_: Any) -> Any:
    return lambda *_args, **_named: None


def _unweighted(real: Any) -> Any:
    def of(standings: Any, project: str, person: str) -> tuple[float, float]:
        share = quota.person_share(standings._fleet, person)
        found: tuple[float, float] = real(standings, project, person)
        return found[0], found[1] * share.weight

    return of


_RESTARTS = ("coordinator_crash", "crash_after_commit")
_SILENCE = ("stall", "stall_up", "half_open", "cut")

MUTATIONS = (
    Mutation("effects released before the commit", _effects_before_commit, ("slow_disk", "coordinator_crash", "commit_failure")),
    Mutation("a failed commit acknowledged", _wrap(commit_loop.CommitLoop, "_recover", _failed_commit_acknowledged), ("commit_failure",)),
    Mutation("a stale report accepted", _wrap(reconcile, "_note_observed", _stale_report), (*_SILENCE, "reboot")),
    Mutation("a snapshot that crosses an assignment taken for a loss", _wrap(reconcile, "reconcile_all", _snapshot_crossing, registration), (*_SILENCE, "slow_net")),
    Mutation("a restored backup that stops live work", _wrap(registration, "begin_adopting", _nothing), ("restore",)),
    Mutation("a loss counted twice", _wrap(assignment, "replace_lost", _loss_counted_twice), _SILENCE),
    Mutation("a loss that still counts once it is over", _wrap(reconcile, "_undo_loss", _loss_counted_though_over), _SILENCE),
    Mutation("a slot freed before the kill is proven", _slot_freed_early, ()),
    Mutation("an exit forgotten before it is committed", _wrap(Reactor, "take_effects", _exit_forgotten), ("slow_disk",)),
    Mutation("logs forgotten before they are complete", lambda: mock.patch.object(Attempt, "is_log_complete", True), ("cut",)),
    Mutation("a repeated assignment started twice", _wrap(Reactor, "_desire", _started_twice), ("cut", "flap")),
    Mutation("a cancel lost across a reconnection", _wrap(desired, "desired_of", _cancel_lost), (*_SILENCE, *_RESTARTS), 300),
    Mutation("an adopted attempt replaced anyway", _wrap(reconcile, "_undo_loss", _nothing), (*_SILENCE, *_RESTARTS), 300),
    Mutation("a GPU given away twice after a rebuild", _wrap(loading, "load_attempt", _gpu_forgotten), _RESTARTS),
    Mutation("a GPU shared beyond its memory", _wrap(gpu_share, "left_mb", lambda _: lambda _worker, gpu: gpu.memory_total_mb, next_in_line), (), 300),
    Mutation("a share that a restart forgets", _wrap(loading, "load_attempt", _share_forgotten), _RESTARTS, 600),
    Mutation("a GPU whose shares nobody looks at", lambda: mock.patch.object(Claim, "fits", return_value=True), _SILENCE, 600),
    Mutation("a start that isn't written down first", _wrap(AttemptSet, "persist", _intent_not_written), ()),
    Mutation("a reconnection that hides what exists", _wrap(Reactor, "begin_exchange", lambda _: lambda _self: ()), ("cut",)),
    Mutation("dependencies that nobody waits for", _wrap(submission, "note_stored", _nothing), ()),
    Mutation("a job after a failure that starts after a success", _wrap(dependency, "blocks", _success_will_do), ()),
    Mutation("task by task, and nobody told of a task", _wrap(dependency, "_note_elements", lambda _: lambda *_: []), ()),
    Mutation("a gang assigned in part", _wrap(gang_placement, "_place_all", _gang_in_part), ()),
    Mutation("a reservation that never expires", lambda: mock.patch.object(gang_turn, "RESERVATION_MS", 1 << 40), (), 300),
    Mutation("a job time-out that a restart forgets", _wrap(rebuild, "load", _limit_forgotten), _RESTARTS, 300),
    Mutation("a report that comes twice counted twice", _wrap(reconcile, "_note_observed", _repeated_report), ("duplicate",)),
    Mutation("a pause asked for twice", _wrap(Lifecycle, "_reconcile_live", _pause_asked_twice), ()),
    Mutation("a decision that the table doesn't have", _resume_not_in_the_table, ()),
    Mutation("a failure that ends its neighbours", _wrap(ending, "_count_failed_task", _failures_end_all), ()),
    Mutation("a job placed while nobody has its data", _wrap(Contents, "shortage", lambda _: lambda *_: ""), (), 300),
    Mutation("a machine that is gone and still offers", _wrap(Contents, "forget_host", _nothing), (), 300),
    Mutation("a tree that is lost and still counts as kept", _wrap(Contents, "note_kept", lambda real: lambda self, added, _: real(self, added, ())), (), 300),
    Mutation("results that a restart forgets", _wrap(query, "wanted_output_copies", lambda _: lambda _: []), _RESTARTS, 300),
    Mutation("results given up with a connection", _wrap(collecting, "note_failed", _final), _SILENCE, 300),
    Mutation("results read before they are published", _wrap(collecting, "want_outputs", _wanted_early, desired), ("cut",), 300),
    Mutation("an attempt that begins at the beginning", _wrap(assignment, "choose_resume", lambda _: lambda *_: (None, None)), (), 300),
    Mutation("a pause that goes on once it has saved", _wrap(ending, "_park", _goes_on_after_saving), (), 300),
    Mutation("a gang that ends what still saves", _saving_ended, (), 300),
    Mutation("a gang of which one alone goes on", _wrap(checkpointing, "source_of", lambda _: lambda _job, task: task), (), 300),
    Mutation("a job that pushes out its own band", lambda: mock.patch.object(preemption, "BAND", 1), (), 600),
    Mutation("what makes way waits for an operator", _wrap(ending, "_park", _way_parked), (), 600),
    Mutation("a reservation that nobody keeps", _wrap(booking, "booked_words", lambda _: lambda *_: calendar.ALLOWED, judgement), (), 300),
    Mutation("a window of maintenance that empties no worker", _wrap(reserving, "_empty", _nothing), (), 300),
    Mutation("room that is kept given to what takes longer", _wrap(judgement, "_ends_before", lambda _: lambda *_: True), (), 600),
    Mutation("a limit that nobody keeps", _wrap(quota, "refusal", lambda _: lambda *_: "", schedule), (), 300),
    Mutation("what is held that a restart forgets", _wrap(Usage, "resume", _nothing), _RESTARTS, 300),
    Mutation("a weight that doesn't count", _wrap(quota.Standings, "of", _unweighted), (), 300),
    Mutation("a failure counted twice", _wrap(ending, "_move_task", _retry_ignores_budget), ()),
)  # fmt: skip
SEEN_AT = {
    "effects released before the commit": 1,
    "a failed commit acknowledged": 2,
    "a stale report accepted": 4,
    "a snapshot that crosses an assignment taken for a loss": 8,
    "a restored backup that stops live work": 14,
    "a loss counted twice": 239,
    "a loss that still counts once it is over": 43,
    "a slot freed before the kill is proven": 22,
    "a repeated assignment started twice": 3,
    "a cancel lost across a reconnection": 35,
    "an adopted attempt replaced anyway": 177,
    "a GPU given away twice after a rebuild": 36,
    "a GPU shared beyond its memory": 87,
    "a share that a restart forgets": 290,
    "a GPU whose shares nobody looks at": 335,
    "a reconnection that hides what exists": 1,
    "task by task, and nobody told of a task": 69,
    "a gang assigned in part": 1,
    "a reservation that never expires": 257,
    "a job time-out that a restart forgets": 3,
    "a report that comes twice counted twice": 30,
    "a pause asked for twice": 22,
    "a decision that the table doesn't have": 22,
    "a failure that ends its neighbours": 6,
    "a job placed while nobody has its data": 17,
    "a machine that is gone and still offers": 122,
    "a tree that is lost and still counts as kept": 27,
    "results that a restart forgets": 127,
    "results given up with a connection": 119,
    "results read before they are published": 65,
    "an attempt that begins at the beginning": 1,
    "a pause that goes on once it has saved": 36,
    "a gang that ends what still saves": 7,
    "a gang of which one alone goes on": 12,
    "a job that pushes out its own band": 262,
    "what makes way waits for an operator": 526,
    "a reservation that nobody keeps": 19,
    "a window of maintenance that empties no worker": 282,
    "room that is kept given to what takes longer": 144,
    "a limit that nobody keeps": 18,
    "what is held that a restart forgets": 122,
    "a weight that doesn't count": 20,
}
"""Seeds that found a bug when this was written, tried first. Where the simulator has changed since, the others are tried as well."""
