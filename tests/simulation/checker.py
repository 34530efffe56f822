"""What must hold, whatever happens. Knows the truth of every host and what is committed; knows nothing of the rules
by which coordinator and agents decide."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from opsconsole_agent.core.effect import Effect, ForgetAttempt, PersistIntent, Terminate
from opsconsole_coordinator.core.model import Attempt
from opsconsole_coordinator.core.task import Task
from opsconsole_protocol.dependency import Dependency, End
from opsconsole_protocol.end_cause import EndCause
from opsconsole_protocol.ids import AttemptId, ContentId, JobId
from opsconsole_protocol.link import LogChunk, Mode
from opsconsole_protocol.spec import JobSpec, PauseBy
from opsconsole_protocol.state import AttemptState, TaskState, is_task_finished
from tests.gpu_rule import GPU_MEMORY_MB, gpu_faults
from tests.simulation import rule
from tests.simulation.agent import AgentProcess
from tests.simulation.backfill import Backfills
from tests.simulation.booking import Bookings
from tests.simulation.host import Host, Process
from tests.simulation.share import Shares
from tests.simulation.store import Disk, Facts
from tests.simulation.virtual import Loop

Key = tuple[JobId, int]
_TURN_MS, _SLACK_MS = 60_000, 3_000
_LATE_MS = 15_000
"""How long it may take until a stop has arrived at a connected worker."""
_UNDOES = {
    "cancel": {"retry"},
    "pause": {"resume", "release", "retry"},
    "hold": {"release", "resume", "retry"},
}


@dataclass(kw_only=True)
class Truth(rule.Fate):
    """What really happened to an attempt, and where."""

    host: Host


@dataclass
class Ledger:
    """What is committed, and what operators were told. Goes back in time with a restored backup."""

    tasks: dict[Key, Task] = field(default_factory=dict)
    attempts: dict[AttemptId, Attempt] = field(default_factory=dict)
    by_task: dict[Key, tuple[AttemptId, ...]] = field(default_factory=dict)
    after: dict[JobId, tuple[Dependency, ...]] = field(default_factory=dict)
    submitted: tuple[JobId, ...] = ()
    acts: tuple[tuple[str, JobId, int], ...] = ()
    """Acknowledged, task by task, and not undone since by anything that was asked for."""

    def copy(self) -> "Ledger":
        """As it stands."""
        return Ledger(
            dict(self.tasks), dict(self.attempts), dict(self.by_task), dict(self.after), self.submitted, self.acts
        )  # fmt: skip


class Checker:
    """Notes violations; a run ends with the first."""

    def __init__(self, loop: Loop, disk: Disk, say: Callable[[str], None]) -> None:
        self.violations: list[str] = []
        self.ledger = Ledger()
        self.truth: dict[AttemptId, Truth] = {}
        self.hosts: dict[str, Host] = {}
        self.boots: dict[AttemptId, int] = {}
        self.gpus: dict[AttemptId, tuple[Sequence[str], int]] = {}
        """What each was given when it was assigned: GPUs, and how much memory of each, or 0 for the whole."""
        self.is_connected: Callable[[str], bool] = lambda _: False
        self.was_restored = False
        self.restored_ms = 0
        self.is_unconfirmed = False
        self.missing: Callable[[JobSpec], list[ContentId]] = lambda _: []
        """What of a job's data nobody has had for a while."""
        self.specs: dict[JobId, JobSpec] = {}
        """What was planned to be submitted."""
        self.shares = Shares({}, self.require, lambda: loop.now_ms)
        self.bookings = Bookings(
            self.require, lambda: loop.now_ms, lambda: (one for one in self.ledger.attempts.values() if not one.is_finished)
        )  # fmt: skip
        self.backfills = Backfills(self.require, loop, lambda one: one.id in self.hosts[one.worker_id].processes)
        self.checks: Counter[str] = Counter()
        self._loop = loop
        self._disk = disk
        self._say = say
        self.retried: set[JobId] = set()
        self.bands: dict[JobId, set[int]] = {}
        """Those that operators have put jobs into."""
        self.may_preempt = False
        self._unwritten: set[AttemptId] = set()
        """Taken in by an agent whose disk was full: they end with it."""
        self._told_ms: dict[Key, int] = {}
        self._first_start_ms: dict[JobId, int] = {}
        self._turns: dict[JobId, tuple[int, int]] = {}
        """When a gang was first seen to have workers reserved for it, in its present turn, and when last."""
        self._asked: dict[tuple[JobId, int | None], list[str]] = {}

    def fail(self, text: str) -> None:
        """Something isn't as promised."""
        self.violations.append(text)
        self._say(f"VIOLATION: {text}")
        self._loop.errors.append(AssertionError(text))

    def require(self, holds: bool, kind: str, text: str) -> None:
        """Check."""
        self.checks[kind] += 1
        if not holds:
            self.fail(f"{kind}: {text}")

    # --- what operators were told ----------------------------------------------------------------------------------

    def acknowledged_submission(self, job_id: JobId) -> None:
        """A submission was acknowledged."""
        self.ledger.submitted = (*self.ledger.submitted, job_id)
        self.require((job_id, 0) in self.ledger.tasks, "acknowledged means durable", f"{job_id} isn't in the store")

    def asked(self, verb: str, job_id: JobId, index: int | None) -> None:
        """Something is asked for, and may take effect from now on."""
        if verb == "retry":
            self.retried.add(job_id)
        self.ledger.acts = tuple(
            act for act in self.ledger.acts if not (act[1] == job_id and verb in _UNDOES.get(act[0], ()))
        )
        self._asked.setdefault((job_id, index), []).append(verb)

    def acknowledged_act(self, verb: str, job_id: JobId, index: int | None) -> None:
        """It was done, and stays so unless something asked for since undoes it."""
        undone = _UNDOES.get(verb)
        if undone is None:
            return
        rest = [one for (job, _), verbs in self._asked.items() if job == job_id for one in verbs]
        if undone & set(rest):
            return
        for (job, number), task in self.ledger.tasks.items():
            if job == job_id and index in {None, number} and (verb == "cancel" or self._stands_still(task)):
                self.ledger.acts = (*self.ledger.acts, (verb, job, number))
                self._told_ms[job, number] = self._loop.now_ms

    def _stands_still(self, task: Task) -> bool:
        """Whether a pause or hold has got hold of a task: later attempts of others are none of its business."""
        attempt = self.ledger.attempts.get(task.current) if task.current is not None else None
        is_paused = attempt is not None and not attempt.is_finished and attempt.want.mode is Mode.PAUSE
        is_parked = task.state is TaskState.PAUSED and (attempt is None or attempt.is_finished)
        return task.state is TaskState.HELD or is_parked or is_paused

    def told(self, key: Key, *verbs: str) -> list[str]:
        """What operators were told about a task, and what still stands."""
        return [verb for verb, job_id, index in self.ledger.acts if verb in verbs and (job_id, index) == key]

    # --- what is committed -----------------------------------------------------------------------------------------

    def committed(self, facts: Facts) -> None:
        """A transaction is through."""
        ledger = self.ledger
        known = {attempt.id for attempt in facts.attempts if attempt.id in ledger.attempts}
        for job_id, after in facts.jobs:
            ledger.after[job_id] = after
        accepted = {key: self._accepted_step(key) for key in {(one.job_id, one.index) for one in facts.attempts}}
        for job_id, task in facts.tasks:
            self._check_task(job_id, task)
            ledger.tasks[job_id, task.index] = task
        for attempt in facts.attempts:
            before = ledger.attempts.get(attempt.id)
            if before is None:
                self._check_assignment(attempt)
                key = (attempt.job_id, attempt.index)
                self._check_resume(attempt, accepted[key])
                ledger.by_task[key] = (*ledger.by_task.get(key, ()), attempt.id)
            if attempt.is_finished and (before is None or not before.is_finished):
                self._check_end(attempt)
            if before is not None and before.is_finished:
                same = before.state is attempt.state
                self.require(same, "an end is final", f"{attempt.id} was {before.state} and is {attempt.state}")
            if before is not None:
                self._check_saving(before, attempt)
                self._check_way(before, attempt)
            self.shares.note(before, attempt)
            ledger.attempts[attempt.id] = attempt
        if any(attempt.gpu_ids and not attempt.is_finished for attempt in facts.attempts):
            self._check_gpus()
        for job_id, task in facts.tasks:
            self._check_attempts_of((job_id, task.index), task)
        self._check_assigned([one for one in facts.attempts if one.id not in known and one.seen is None])
        for attempt in facts.attempts:
            if attempt.seen is not None and attempt.seen.started_at_ms is not None:
                self._first_start_ms.setdefault(attempt.job_id, self._loop.now_ms)

    def _check_assigned(self, new: Collection[Attempt]) -> None:
        """What one transaction assigned."""
        self._check_gangs(new)
        if not self.was_restored:
            self.bookings.check_assigned(new)
            live = (one for one in self.ledger.attempts.values() if not one.is_finished)
            self.shares.check_assigned(new, live)

    def _check_gangs(self, assigned: Collection[Attempt]) -> None:
        """Of a gang's tasks that have anything left to do, all are assigned in one transaction or none is."""
        new = {one.id: one for one in assigned}
        for job_id in dict.fromkeys(one.job_id for one in new.values()):
            spec = self.specs[job_id]
            if not spec.gang:
                continue
            left = [self.ledger.tasks[job_id, index] for index in range(spec.num_tasks)]
            behind = [task.index for task in left if not is_task_finished(task.state) and task.current not in new]
            self.require(not behind, "gangs start together", f"{list(new)} assigned without tasks {behind}")
            self._turns.pop(job_id, None)

    def _check_saving(self, before: Attempt, attempt: Attempt) -> None:
        """What an operator has asked to save is left to do so, also where another of its gang has made way, failed or is lost."""
        if before.want.mode is not Mode.PAUSE or before.want.by is not PauseBy.CHECKPOINT or self.was_restored:
            return
        is_ended = attempt.want.mode is Mode.STOP and attempt.stop_cause == EndCause.PREEMPTED
        told = self.told((attempt.job_id, attempt.index), "pause")
        self.require(not (is_ended and told), "saving is left alone", f"{attempt.id} was to save, and is ended")

    def _check_way(self, before: Attempt, attempt: Attempt) -> None:
        """Who makes way does so for a higher band, where that is allowed, was doing what nobody had asked it not to, and is run again."""
        if attempt.makes_way_for is None or attempt.makes_way_for == before.makes_way_for:
            return
        self.require(self.may_preempt, "only where it is allowed", f"{attempt.id} makes way")
        is_higher = max(self._bands(attempt.makes_way_for)) > min(self._bands(attempt.job_id))
        self.require(is_higher, "only for a higher band", f"{attempt.id} makes way for {attempt.makes_way_for}")
        self.require(before.want.mode is Mode.RUN, "only what runs", f"{attempt.id} was to {before.want.mode}")
        is_again = attempt.want.mode is Mode.PAUSE or self.specs[attempt.job_id].max_retries_preemption > 0
        self.require(is_again, "only what is run again", f"{attempt.id} is ended for {attempt.makes_way_for}")

    def _bands(self, job_id: JobId) -> set[int]:
        """The bands that a job was in: its first, and that which an operator has given it."""
        return {self.specs[job_id].priority // 100, *self.bands.get(job_id, ())}

    def _check_assignment(self, attempt: Attempt) -> None:
        key = (attempt.job_id, attempt.index)
        self.boots[attempt.id] = self.hosts[attempt.worker_id].boot
        if attempt.seen is not None:
            return  # found on its worker by a coordinator from a backup, not assigned
        for one in self.ledger.after.get(attempt.job_id, ()):
            text = f"{attempt.id} {one.end.words} {one.text}, before that had ended so"
            self.require(self._has_ended_so(one, attempt.index), "dependencies", text)
        missing = self.missing(self.specs[attempt.job_id])
        self.require(not missing, "data can be had", f"{attempt.id} assigned, and nobody has {missing}")
        self.backfills.assigned(attempt)
        self.gpus[attempt.id] = attempt.gpu_ids, self.specs[attempt.job_id].resources.share_mb
        told = self.told(key, "cancel", "pause", "hold")
        self.require(not told, "no acknowledged fact lost", f"{attempt.id} assigned after an acknowledged {told}")

    def _has_ended_so(self, one: Dependency, index: int) -> bool:
        """Whether what a task waits for has ended as it is to; nothing is known of a job that a backup doesn't have."""
        wanted = index if one.each else one.task_index
        tasks = self.ledger.tasks.items()
        states = {task.state for (job, number), task in tasks if job == one.job and wanted in {None, number}}
        if one.end in {End.SUCCESS, End.RESULTS}:
            return states <= {TaskState.SUCCEEDED}
        return all(map(is_task_finished, states)) and (one.end is End.ANY or states != {TaskState.SUCCEEDED})

    def _accepted_step(self, key: Key) -> float:
        """The step of the newest checkpoint that a committed task could go on from wherever it is."""
        task = self.ledger.tasks.get(key)
        spec = self.specs.get(key[0])
        if task is not None and spec is not None and spec.gang and task.latest is None and task.kept is None:
            others = (self.ledger.tasks.get((key[0], index)) for index in range(spec.num_tasks))
            task = next((one for one in others if one is not None and one.kept and not one.uncopied), task)
        if task is None or task.kept is None or is_task_finished(task.state):
            return 0
        return task.kept.checkpoint.step or 0

    def _check_resume(self, attempt: Attempt, accepted: float) -> None:
        if attempt.seen is not None or self.was_restored:
            return
        step = 0.0 if attempt.resumed_from is None else attempt.resumed_from.step or 0
        self.require(step >= accepted, "no step lost", f"{attempt.id} goes on from {step:g}, and {accepted:g} was kept")

    def _check_gpus(self) -> None:
        """No GPU is promised to two attempts, or more of its memory than it has, whatever became of the promise in memory."""
        live = [one for one in self.ledger.attempts.values() if not one.is_finished]
        self._require_gpus(self.gpus.get(one.id, ((), 0)) for one in live)

    def _require_gpus(self, holders: Iterable[tuple[Sequence[str], int]]) -> None:
        sizes = {gpu: GPU_MEMORY_MB for host in self.hosts.values() for gpu in host.gpus}
        faults = list(gpu_faults(holders, sizes))
        self.require(not faults, "GPUs", "; ".join(faults))

    def _check_end(self, attempt: Attempt) -> None:
        truth = self.truth.get(attempt.id)
        is_alive = truth is not None and attempt.id in truth.host.processes
        is_older = truth is not None and self.was_restored and truth.ended_ms <= self.restored_ms
        rule.check_end(self.require, attempt, truth, is_alive=is_alive, is_older=is_older)
        if attempt.state is AttemptState.WORKER_FAILED:
            self._check_loss(attempt, is_alive)

    def _check_loss(self, attempt: Attempt, is_alive: bool) -> None:
        host = self.hosts[attempt.worker_id]
        if "no longer has it" in attempt.error and not self.was_restored:
            has_reason = host.boot != self.boots.get(attempt.id, host.boot) or attempt.id in self._unwritten
            self.require(has_reason, "losses are real", f"{attempt.id} taken for lost without a reboot")
        is_kept = is_alive and self.is_connected(host.name)
        self.require(not is_kept, "losses are real", f"{attempt.id} given up while its connected worker runs it")

    def _check_task(self, job_id: JobId, task: Task) -> None:
        before = self.ledger.tasks.get((job_id, task.index))
        if before is not None and is_task_finished(before.state) and job_id not in self.retried:
            text = f"{job_id}/task-{task.index} was {before.state} and is {task.state}"
            self.require(task.state is before.state, "no acknowledged fact lost", text)
        if task.state is TaskState.KILLED:
            spec = self.specs[job_id]
            is_cancelled = any("cancel" in asked for (job, _), asked in self._asked.items() if job == job_id)
            is_emptied = (
                self.bookings.may_empty and task.cause == EndCause.PREEMPTED and not spec.max_retries_preemption
            )
            may_end = is_cancelled or is_emptied or spec.gang or spec.max_task_failures is not None or self.was_restored
            text = f"{job_id}/task-{task.index} was ended, and nobody asked for that: {task.reason}"
            self.require(may_end, "tasks are independent", text)

    def _check_attempts_of(self, key: Key, task: Task) -> None:
        attempts = [self.ledger.attempts[one] for one in self.ledger.by_task.get(key, ())]
        rule.check_attempts(self.require, f"{key[0]}/task-{key[1]}", task, attempts)

    # --- backups ---------------------------------------------------------------------------------------------------

    def restored(self, ledger: Ledger) -> None:
        """An older store is in place: what was acknowledged since its backup is lost, as promised."""
        acts, self.ledger = self.ledger.acts, ledger.copy()
        self.ledger.acts = tuple(act for act in self.ledger.acts if act in acts)
        self.was_restored = self.is_unconfirmed = True
        self.restored_ms = self._loop.now_ms

    # --- what happens on hosts -------------------------------------------------------------------------------------

    def process_started(self, host: Host, process: Process) -> None:
        """A process begins."""
        truth = self.truth.setdefault(process.attempt_id, Truth(host=host))
        truth.starts += 1
        lacks = [one.content_id for one in process.launch.uploads if one.content_id not in host.disk.trees]
        self.require(not lacks, "data before start", f"{process.attempt_id} is started without {lacks}")
        is_written = process.attempt_id in host.disk.intents
        self.require(is_written, "intent first", f"{process.attempt_id} is started and not written down")
        # A store from before its start may want it again, of an agent that has been restarted since.
        is_first = truth.starts == 1 or truth.keeper_died_over_start or self.was_restored
        self.require(is_first, "no attempt twice", f"{process.attempt_id} was started {truth.starts} times")
        alive = list(host.processes.values())
        counted = [one for one in alive if bool(one.launch.gpu_ids) is bool(process.launch.gpu_ids)]
        sharing = [one.launch.gpu_ids for one in counted if one.launch.resources.share]
        slots = len(counted) - len(sharing) + min(len(sharing), len({gpu for gpus in sharing for gpu in gpus}))
        self.require(slots <= host.slots, "slots", f"{host.name} runs {[one.attempt_id for one in counted]}")
        self._require_gpus((one.launch.gpu_ids, one.launch.resources.share_mb) for one in alive)

    def look_at_reserved(self, jobs: Collection[JobId]) -> None:
        """Every second: a gang has workers reserved for a minute at most, and then not for as long."""
        now_ms = self._loop.now_ms
        for job_id in jobs:
            first_ms, last_ms = self._turns.get(job_id, (now_ms, now_ms))
            if now_ms - last_ms >= _TURN_MS - _SLACK_MS:
                first_ms = now_ms
            text = f"{job_id} has workers reserved {now_ms - first_ms} ms after its turn began"
            self.require(now_ms - first_ms <= _TURN_MS + _SLACK_MS, "reservations expire", text)
            self._turns[job_id] = (first_ms, now_ms)

    def coordinator_died(self) -> None:
        """What was reserved isn't stored: a new coordinator begins anew."""
        self._turns.clear()

    def _look_at_limit(self, host: Host, attempt_id: AttemptId) -> None:
        """A connected worker ends what belongs to a job whose time is over; unless operators paused it or gave it more."""
        row = self.ledger.attempts.get(attempt_id)
        spec = self.specs[row.job_id] if row is not None else None
        limit_ms = spec.job_timeout_ms if spec is not None else None
        if row is None or spec is None or limit_ms is None or spec.held or self._is_touched(row.job_id):
            return
        late_ms = self._loop.now_ms - self._first_start_ms.get(row.job_id, 1 << 60) - limit_ms
        text = f"{attempt_id} goes on on {host.name} {late_ms} ms after its job's time"
        self.require(late_ms <= _LATE_MS or self.truth[attempt_id].is_stopped, "job time-outs", text)

    def _is_touched(self, job_id: JobId) -> bool:
        """Whether an operator asked for something that makes a job's clock stand still or begin anew."""
        verbs = {verb for (job, _), asked in self._asked.items() if job == job_id for verb in asked}
        return bool(verbs & {"pause", "hold", "retry"})

    def look(self, host: Host) -> None:
        """Now and then: a connected worker ends what was cancelled, and what has no time left."""
        if not self.was_restored and self.is_connected(host.name):
            for attempt_id in host.processes:
                self._look_at_limit(host, attempt_id)
        if not self.ledger.acts or self.was_restored or not self.is_connected(host.name):
            return
        for attempt_id in host.processes:
            row = self.ledger.attempts.get(attempt_id)
            if row is None or self._loop.now_ms - self._told_ms.get((row.job_id, row.index), 1 << 60) < 15_000:
                continue
            told = self.told((row.job_id, row.index), "cancel")
            text = f"{attempt_id} was cancelled and goes on on {host.name}"
            self.require(not told or self.truth[attempt_id].is_stopped, "cancelled means dead", text)

    def keeper_died_over(self, attempt_id: AttemptId) -> None:
        """A keeper was killed between starting a process and noting it: if that is over soon, nobody can tell."""
        if attempt_id in self.truth:
            self.truth[attempt_id].keeper_died_over_start = True

    def process_ended(self, host: Host, process: Process, exit_code: int | None, signal: int | None) -> None:
        """Nothing of it lives any more."""
        truth = self.truth[process.attempt_id]
        truth.ended_ms = self._loop.now_ms
        truth.exit_code = exit_code
        truth.by_itself = exit_code is not None and not truth.is_stopped
        truth.died_with_host = exit_code is None and signal is None
        keeper = host.keeper
        truth.keeper_was_lost = keeper is None or process.attempt_id not in keeper.children

    def effect(self, agent: AgentProcess, effect: Effect) -> None:
        """An agent is about to do something."""
        if isinstance(effect, PersistIntent):
            self._note_written(effect.intent.attempt_id, is_written=not agent.disk_is_full)
        match effect:
            case PersistIntent(intent=intent) if intent.stop is not None:
                self._note_stop(intent.attempt_id)
            case Terminate(attempt_id=attempt_id):
                self._note_stop(attempt_id)
                if self.is_unconfirmed:
                    is_known = attempt_id in self.ledger.attempts
                    stop = agent.reactor.attempt(attempt_id)
                    is_own = stop is not None and stop.stop is not None and stop.stop.cause != "wanted"
                    truth = self.truth.get(attempt_id)
                    is_older = truth is not None and truth.stopped_ms < self.restored_ms
                    text = f"{attempt_id} is stopped, and nobody has confirmed the restored store"
                    self.require(is_known or is_own or is_older, "a backup stops nothing", text)
            case ForgetAttempt(attempt_id=attempt_id):
                self._check_forgetting(agent.host, attempt_id)
            case _:
                pass

    def _note_written(self, attempt_id: AttemptId, *, is_written: bool) -> None:
        if is_written:
            self._unwritten.discard(attempt_id)
        else:
            self._unwritten.add(attempt_id)

    def _note_stop(self, attempt_id: AttemptId) -> None:
        truth = self.truth.get(attempt_id)
        if truth is not None:
            if not truth.is_stopped:
                truth.is_stopped, truth.stopped_ms = True, self._loop.now_ms
            if truth.ended_ms == self._loop.now_ms:
                truth.by_itself = False  # which came first within a millisecond is not for us to say

    def _check_forgetting(self, host: Host, attempt_id: AttemptId) -> None:
        row = self.ledger.attempts.get(attempt_id)
        is_excused = self.was_restored or host.boot != self.boots.get(attempt_id, host.boot)
        if row is None:
            self.require(is_excused, "forget what is committed", f"{attempt_id} is forgotten and not in the store")
            return
        is_safe = row.is_finished and not row.open
        self.require(is_safe or is_excused, "forget what is committed", f"{attempt_id} is forgotten as {row.state}")
        truth = self.truth.get(attempt_id)
        file = host.disk.files.get(attempt_id)
        if truth is not None and truth.keeper_died_over_start and (row.seen is None or row.seen.started_at_ms is None):
            return  # nobody knows that it was started, and it ended before that could be found out
        if row.state in rule.GIVEN_UP or truth is None or is_excused or file is None:
            return  # without a file it was forgotten before, by an agent or a keeper that died over it
        size = len(file)
        stored = len(self._disk.logs.get((attempt_id, "stdout"), b""))
        self.require(stored == size, "every log byte once", f"{attempt_id}: {stored} of {size} bytes at its end")
        rule.check_exit_code(self.require, row, truth)

    def collected(self, attempt_id: AttemptId) -> None:
        """The coordinator reads the results of an attempt."""
        row, truth = self.ledger.attempts.get(attempt_id), self.truth.get(attempt_id)
        is_over = row is not None and row.is_finished and not row.open
        is_over = is_over and (truth is None or attempt_id not in truth.host.processes)
        self.require(is_over, "results are collected whole", f"those of {attempt_id} are read before its end")

    def check_kept_results(self, connection: sqlite3.Connection) -> None:
        """In the end: the coordinator has what the last attempt of each task left, where the job asked for that."""
        rows = connection.execute("SELECT job_id, task_index, state, data FROM output_copies")
        kept = {(job_id, index): (state, data) for job_id, index, state, data in rows}
        for (job_id, index), task in self.ledger.tasks.items():
            last = self.ledger.attempts.get(task.current) if task.current is not None else None
            if not self.specs[job_id].collect or last is None or last.state is AttemptState.WORKER_FAILED:
                continue
            if last.seen is None or last.seen.started_at_ms is None or last.seen.output_path is None:
                continue
            all_over = all(is_task_finished(one.state) for (job, _), one in self.ledger.tasks.items() if job == job_id)
            state, data = kept.get((job_id, index), ("missing", b""))
            is_kept = not all_over or (state == "kept" and last.id.encode() in data)
            self.require(is_kept, "results are kept", f"those of {last.id} are {state}")

    def log_stored(self, chunk: LogChunk) -> None:
        """Bytes of a log were appended."""
        attempt_id = AttemptId(chunk.attempt_id)
        truth = self.truth.get(attempt_id)
        stored = self._disk.logs[attempt_id, str(chunk.source)]
        written = truth.host.disk.files.get(attempt_id, b"") if truth is not None else b""
        is_right = stored[chunk.offset : chunk.end] == written[chunk.offset : chunk.end]
        self.require(is_right, "every log byte once", f"{attempt_id} differs at {chunk.offset}")
