"""What must hold of a real fleet once everything has settled: its store, its logs and its hosts against the ledger.

Every violation is noted, not only the first: one look at a run that took minutes should tell all.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from opsconsole_coordinator.core.model import Attempt, Job, Worker
from opsconsole_coordinator.core.task import Task
from opsconsole_coordinator.store import query
from opsconsole_protocol.end_cause import EndCause
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.link import Mode
from opsconsole_protocol.state import AttemptState, TaskState, is_task_finished
from tests.chaos.ledger import Ledger
from tests.chaos.operator import Record
from tests.simulation import rule

_AROUND_MS = 2_000
"""Around a keeper's death: what began or ended this close to it, it may not have noted."""
_CLOCKS_MS = 250
"""How far the clocks of coordinator and test may be apart."""

ReadLog = Callable[[JobId, int, int], list[str]]
"""The whole lines of one attempt's log."""


@dataclass(frozen=True)
class KeeperDeath:
    """A worker's keeper was killed, having done nothing `since_ms` (it was stopped before); Unix milliseconds."""

    worker: str
    since_ms: int
    at_ms: int

    def is_near(self, from_ms: int, to_ms: int) -> bool:
        """Whether it may have missed something of what happened in this time."""
        return self.since_ms - _AROUND_MS < to_ms and from_ms < self.at_ms + _AROUND_MS


@dataclass(frozen=True)
class Story:
    """What was done to a fleet, and what it may be excused for."""

    record: Record
    slots: dict[str, int]
    """By worker name."""
    keepers_killed: tuple[KeeperDeath, ...] = ()
    out_of_reach: Collection[str] = ()
    """Workers that were cut off for longer than `lost_after_ms` of a job, so their attempts may be lost."""


@dataclass
class Checker:
    """Holds the store in `data_dir` against a ledger and a story."""

    story: Story
    ledger: Ledger
    violations: list[str] = field(default_factory=list)
    checks: Counter[str] = field(default_factory=Counter)

    def require(self, holds: bool, kind: str, text: str) -> None:
        """Check."""
        self.checks[kind] += 1
        if not holds:
            self.violations.append(f"{kind}: {text}")

    def check(self, database: Path, read_log: ReadLog) -> None:
        """Everything that store, logs and ledger can tell."""
        connection = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
        try:
            self._workers = {worker.id: worker for worker in query.workers(connection)}
            for job_id in self.story.record.submitted:
                found = query.job(connection, job_id)
                self.require(found is not None, "acknowledged means durable", f"{job_id} isn't in the store")
                if found is not None:
                    self._check_job(found[0], query.attempts(connection, job_id), read_log)
            self._check_strangers(connection)
            left = connection.execute("SELECT attempt_id, state FROM attempts WHERE is_open = 1").fetchall()
            self.require(not left, "everything settles", f"{left} are open")
        finally:
            connection.close()
        self._check_slots()

    def check_dead(self) -> None:
        """Nothing that a task was is left."""
        left = self.ledger.living()
        self.require(not left, "ended means dead", f"{left} live")

    # --- jobs and their tasks --------------------------------------------------------------------------------------

    def _check_job(self, job: Job, attempts: dict[int, list[Attempt]], read_log: ReadLog) -> None:
        for task in job.tasks:
            name = job.task_id(task.index)
            self.require(is_task_finished(task.state), "everything settles", f"{name} is {task.state}: {task.reason}")
            of_task = attempts.get(task.index, [])
            rule.check_attempts(self.require, name, task, of_task)
            self._check_budgets(name, job, task, of_task)
            numbers = [attempt.number for attempt in of_task]
            self.require(numbers == list(range(len(numbers))), "one live attempt", f"{name} has attempts {numbers}")
            for attempt in of_task:
                self._check_attempt(job, attempt)
                self._check_log(job, attempt, read_log(job.id, task.index, attempt.number))
        self._check_told(job, attempts)

    def _check_budgets(self, name: str, job: Job, task: Task, attempts: list[Attempt]) -> None:
        """What is counted is what there was: no more, and of a task that nobody cancelled no less."""
        if self.story.record.was_asked("cancel", job.id):
            return
        lost = sum(one.state in rule.GIVEN_UP and one.id in self.ledger.starts for one in attempts)
        told = f"{name}: {task.preemptions} losses counted, {lost} of those that had started are given up"
        self.require(task.preemptions == lost, "losses count once", told)
        failed = sum(one.state is AttemptState.FAILED for one in attempts)
        self.require(task.failures == failed, "failures count once", f"{name}: {task.failures} of {failed}")
        limit = job.spec.max_retries_failure
        is_right = task.failures <= limit + 1 and (task.state is not TaskState.FAILED or task.failures == limit + 1)
        self.require(is_right, "retry budgets", f"{name} is {task.state} after {task.failures} failures of {limit}")

    def _check_attempt(self, job: Job, attempt: Attempt) -> None:
        fate = self._fate(job, attempt)
        is_first = fate.starts <= 1 or fate.keeper_died_over_start
        self.require(is_first, "no attempt twice", f"{attempt.id} was started {fate.starts} times")
        is_alive = any(uid == attempt.id for uid, _ in self.ledger.living()) if not attempt.is_finished else False
        rule.check_end(self.require, attempt, fate, is_alive=is_alive)
        if attempt.state not in rule.GIVEN_UP:
            rule.check_exit_code(self.require, attempt, fate)
        if attempt.state is AttemptState.FAILED and (attempt.seen is None or attempt.seen.exit_code is None):
            known = attempt.seen is not None and attempt.seen.signal is not None
            text = f"{attempt.id} failed without an exit code, and no keeper was killed: {attempt.error}"
            self.require(known or fate.keeper_was_lost, "results are true", text)
        if attempt.state in rule.GIVEN_UP and fate.starts:
            may_be = attempt.worker_name in self.story.out_of_reach
            self.require(may_be, "losses are real", f"{attempt.id} on {attempt.worker_name}: {attempt.error}")
        for start in self.ledger.starts.get(attempt.id, ()):
            is_same = (start.task, start.attempt) == (job.task_id(attempt.index), attempt.number)
            self.require(is_same and start.worker == attempt.worker_id, "results are true", f"{attempt.id}: {start}")

    def _fate(self, job: Job, attempt: Attempt) -> rule.Fate:
        starts, ends = self.ledger.starts.get(attempt.id, []), self.ledger.ends.get(attempt.id, [])
        deaths = [one for one in self.story.keepers_killed if one.worker == attempt.worker_name]
        began_ms = min((start.at_ms for start in starts), default=0)
        ended_ms = max((end.at_ms for end in ends), default=attempt.finished_at_ms or 0)
        return rule.Fate(
            starts=len(starts),
            is_stopped=self.story.record.was_asked("cancel", job.id) or attempt.want.mode is Mode.STOP,
            keeper_died_over_start=any(one.is_near(began_ms, began_ms) for one in deaths),
            exit_code=ends[-1].code if ends else None,
            by_itself=bool(ends) and not self.story.record.was_asked("cancel", job.id),
            ended_ms=ended_ms,
            keeper_was_lost=any(one.is_near(began_ms, ended_ms) for one in deaths),
        )

    def _check_log(self, job: Job, attempt: Attempt, lines: list[str]) -> None:
        """Every line once and in order; of what was cut short or given up, those from the beginning.

        So it is with one whose end nobody saw because its keeper was killed: what lay in its pipe then may be gone
        (docs/reliability.md), which its cause says.
        """
        starts = self.ledger.starts.get(attempt.id, [])
        if len(starts) != 1:
            self.require(bool(starts) or not lines, "every log line once", f"{attempt.id} never started: {lines[:3]}")
            return
        wanted = [f"{attempt.number} {number}/{starts[0].lines}" for number in range(1, starts[0].lines + 1)]
        is_pipe_lost = attempt.cause == EndCause.EXIT_UNKNOWN and self._fate(job, attempt).keeper_was_lost
        is_whole = attempt.id in self.ledger.ends and attempt.state not in rule.GIVEN_UP and not is_pipe_lost
        expected = wanted if is_whole else wanted[: len(lines)]
        text = f"{attempt.id} {attempt.state}: {len(lines)} of {len(wanted)} lines, {_difference(lines, expected)}"
        self.require(lines == expected, "every log line once", text)

    def _check_told(self, job: Job, attempts: dict[int, list[Attempt]]) -> None:
        """A cancel that was acknowledged: nothing is assigned any more, and what ran was ended."""
        for told in self.story.record.told:
            if told.job_id != job.id or told.verb != "cancel":
                continue
            late = [
                one.id for each in attempts.values() for one in each if one.assigned_at_ms > told.at_ms + _CLOCKS_MS
            ]
            self.require(not late, "cancelled means dead", f"{late} assigned after {job.id} was cancelled")
            for task in job.tasks:
                of_task = attempts.get(task.index, [])
                ended = any(one.id in self.ledger.ends or self._fate(job, one).keeper_was_lost for one in of_task)
                text = f"{job.task_id(task.index)} was cancelled and is {task.state}"
                self.require(task.state is TaskState.KILLED or ended, "cancelled means dead", text)

    # --- the whole -------------------------------------------------------------------------------------------------

    def _check_strangers(self, connection: sqlite3.Connection) -> None:
        """Nothing ran that the store doesn't know."""
        known = query.ended(connection, self.ledger.starts.keys())
        strangers = sorted(self.ledger.starts.keys() - known)
        self.require(not strangers, "no acknowledged fact lost", f"{strangers} ran and aren't in the store")

    def _check_slots(self) -> None:
        for uid, starts in self.ledger.starts.items():
            for start in starts:
                worker: Worker | None = next((one for one in self._workers.values() if one.id == start.worker), None)
                slots = self.story.slots[worker.name] if worker is not None else 0
                text = f"{uid} started as number {start.peers + 1} on a worker with {slots} slots"
                self.require(start.peers < slots, "slots", text)


def _difference(lines: list[str], expected: list[str]) -> str:
    pairs = zip([*lines, "nothing"], [*expected, "nothing"], strict=False)
    return next((f"first {found!r} for {wanted!r}" for found, wanted in pairs if found != wanted), "the same")
