"""Rules about a task's attempts and how they end, for every checker: of the simulator and of real fleets.

They know what really happened and what is committed, and share no code with what they check.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from opsconsole_coordinator.core.model import Attempt
from opsconsole_coordinator.core.task import Task
from opsconsole_protocol.state import AttemptState, TaskState

GIVEN_UP = frozenset({AttemptState.WORKER_FAILED, AttemptState.PREEMPTED})
PROVEN = frozenset({AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.KILLED, AttemptState.PREEMPTED})


class Require(Protocol):
    """Notes a violation unless it `holds`; `kind` names the rule."""

    def __call__(self, holds: bool, kind: str, text: str) -> None:
        """Check."""


@dataclass
class Fate:
    """What really happened to an attempt on its host."""

    starts: int = 0
    is_stopped: bool = False
    """Its agent has decided on its end, whether or not a signal has arrived."""
    stopped_ms: int = 0
    keeper_died_over_start: bool = False
    died_with_host: bool = False
    exit_code: int | None = None
    by_itself: bool = False
    ended_ms: int = 0
    keeper_was_lost: bool = False


def check_end(require: Require, attempt: Attempt, fate: Fate | None, *, is_alive: bool, is_older: bool = False) -> None:
    """A reported end is what happened. `is_older`: it happened before the backup that was restored since."""
    if attempt.state in PROVEN:
        require(not is_alive, "ended means dead", f"{attempt.id} is {attempt.state} and its process lives")
    if attempt.state is AttemptState.SUCCEEDED:
        is_true = fate is not None and fate.exit_code == 0
        require(is_true, "results are true", f"{attempt.id} succeeded, its process didn't")
    if fate is not None and fate.by_itself and fate.exit_code == 0 and not fate.keeper_was_lost:
        is_told = is_older or attempt.state in {AttemptState.SUCCEEDED} | GIVEN_UP
        require(is_told, "results are true", f"{attempt.id} ended well and is told as {attempt.state}")
    if fate is not None and fate.died_with_host and attempt.state is AttemptState.FAILED:
        require(fate.is_stopped, "results are true", f"{attempt.id} was lost with its host and is told as failed")


def check_exit_code(require: Require, attempt: Attempt, fate: Fate) -> None:
    """The exit code of what ended by itself, with a keeper to see it, is the process's own."""
    if fate.by_itself and not fate.keeper_was_lost:
        code = attempt.seen.exit_code if attempt.seen is not None else None
        require(code == fate.exit_code, "results are true", f"{attempt.id}: {code} for {fate.exit_code}")


def check_attempts(require: Require, name: str, task: Task, attempts: Sequence[Attempt]) -> None:
    """One live attempt, one success, and budgets that count no more than there was."""
    live = [one.id for one in attempts if not one.is_finished]
    require(len(live) <= 1, "one live attempt", f"{name} has {live}")
    won = [one.id for one in attempts if one.state is AttemptState.SUCCEEDED]
    require(len(won) <= 1, "one success", f"{name} succeeded as {won}")
    is_right = (task.state is TaskState.SUCCEEDED) == bool(won)
    require(is_right, "one success", f"{name} is {task.state}, its successes are {won}")
    lost = sum(one.state in GIVEN_UP or one.lost for one in attempts)
    require(task.preemptions <= lost, "losses count once", f"{name}: {task.preemptions} counted, {lost} lost")
    failed = sum(one.state is AttemptState.FAILED for one in attempts)
    require(task.failures <= failed, "failures count once", f"{name}: {task.failures} counted of {failed}")
