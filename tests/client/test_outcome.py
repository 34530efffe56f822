"""Exit codes: the task's own, 128 and more for a signal, the first failing one's of several."""

from typing import Any

import pytest

from opsconsole.outcome import exit_code, is_finished_state, is_settled
from opsconsole_protocol.api import AttemptRow, TaskRow
from opsconsole_protocol.state import TaskState, is_task_finished
from tests.client.row import NOW_MS, job_row, task_row


def ended(index: int, code: int | None, *, state: str = "failed", signal: int | None = None, at: int = 0) -> TaskRow:
    attempt = AttemptRow(
        attempt=0, attempt_id="a", state=state, worker="w", exit_code=code, signal=signal, error="",
        started_at_ms=NOW_MS, finished_at_ms=NOW_MS + at,
    )  # fmt: skip
    fields: dict[str, Any] = {"state": state, "exit_code": code, "finished_at_ms": NOW_MS + at, "attempts": (attempt,)}
    return task_row("j", index, **fields)


def test_all_succeeded() -> None:
    assert exit_code([ended(0, 0, state="succeeded"), ended(1, 0, state="succeeded")]) == 0


def test_the_tasks_own_code() -> None:
    assert exit_code([ended(0, 3)]) == 3


@pytest.mark.parametrize(("signal", "code"), [(9, 137), (15, 143)])
def test_a_signal(signal: int, code: int) -> None:
    assert exit_code([ended(0, None, state="killed", signal=signal)]) == code


def test_no_code_at_all() -> None:
    assert exit_code([ended(0, None)]) == 1
    assert exit_code([task_row("j", state="blocked")]) == 1


def test_a_killed_task_that_left_with_zero_is_no_success() -> None:
    assert exit_code([ended(0, 0, state="killed")]) == 1


def test_what_failed_first_counts_not_what_was_killed_for_it() -> None:
    tasks = [ended(0, None, state="killed", signal=15, at=1), ended(1, 7, at=3), ended(2, 9, at=2)]
    assert exit_code(tasks) == 9


@pytest.mark.parametrize("state", list(TaskState))
def test_states_settle_as_the_protocol_says(state: TaskState) -> None:
    assert is_finished_state(str(state)) == is_task_finished(state)
    assert is_settled(job_row("j", state=str(state))) == (is_task_finished(state) or state is TaskState.BLOCKED)


def test_a_state_of_a_later_version_is_no_end() -> None:
    assert not is_finished_state("hibernating")
