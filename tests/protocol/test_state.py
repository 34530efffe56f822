"""The transition tables are complete and say what the prose above them says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_protocol.error import IllegalTransition
from opsconsole_protocol.state import (
    ATTEMPT_MOVES,
    JOB_STATE_ORDER_FINISHED,
    JOB_STATE_ORDER_UNFINISHED,
    TASK_MOVES,
    AttemptState,
    TaskState,
    check_attempt_move,
    check_task_move,
    is_attempt_finished,
    is_task_finished,
    is_task_live,
    is_task_waiting,
    job_state,
)

ATTEMPT_ENDS = {state for state in AttemptState if is_attempt_finished(state)}


def test_every_state_has_a_row() -> None:
    assert set(ATTEMPT_MOVES) == set(AttemptState)
    assert set(TASK_MOVES) == set(TaskState)


def test_an_attempt_ends_exactly_once() -> None:
    assert {state for state, moves in ATTEMPT_MOVES.items() if not moves} == ATTEMPT_ENDS
    for state in set(AttemptState) - ATTEMPT_ENDS:
        assert ATTEMPT_MOVES[state] >= ATTEMPT_ENDS, f"{state} must be able to end in any way"


def test_reports_may_skip_states_forward_and_never_go_backward() -> None:
    forward = [AttemptState.ASSIGNED, AttemptState.BUILDING, AttemptState.RUNNING]
    for place, old in enumerate(forward):
        for new in forward[place + 1 :]:
            assert new in ATTEMPT_MOVES[old]
            assert old not in ATTEMPT_MOVES[new]
    assert AttemptState.RUNNING in ATTEMPT_MOVES[AttemptState.PAUSED]
    assert AttemptState.PAUSED in ATTEMPT_MOVES[AttemptState.RUNNING]


def test_no_state_moves_to_itself() -> None:
    assert all(state not in moves for state, moves in ATTEMPT_MOVES.items())
    assert all(state not in moves for state, moves in TASK_MOVES.items())


def test_every_task_state_is_waiting_live_or_finished() -> None:
    for state in TaskState:
        assert [is_task_waiting(state), is_task_live(state), is_task_finished(state)].count(True) == 1


def test_every_attempt_state_is_a_task_state_too() -> None:
    for state in AttemptState:
        task = TaskState(state)
        assert is_task_finished(task) == is_attempt_finished(state)


def test_a_task_follows_every_move_of_its_attempt() -> None:
    for old, moves in ATTEMPT_MOVES.items():
        for new in moves:
            assert TaskState(new) in TASK_MOVES[TaskState(old)]


def test_the_one_way_out_of_an_end_is_a_retry() -> None:
    for state in TaskState:
        if is_task_finished(state):
            expected = set() if state is TaskState.SUCCEEDED else {TaskState.PENDING}
            assert TASK_MOVES[state] == expected


def test_every_task_can_end() -> None:
    for state in TaskState:
        if not is_task_finished(state):
            assert TaskState.KILLED in TASK_MOVES[state]


def test_a_returning_worker_brings_waiting_tasks_back_to_life() -> None:
    for waiting in (TaskState.PENDING, TaskState.HELD):
        assert TASK_MOVES[waiting] >= {state for state in TaskState if is_task_live(state)}


def test_every_state_has_its_place_in_the_order_of_jobs() -> None:
    both = JOB_STATE_ORDER_UNFINISHED + JOB_STATE_ORDER_FINISHED
    assert sorted(both) == sorted(TaskState)
    assert all(not is_task_finished(state) for state in JOB_STATE_ORDER_UNFINISHED)
    assert all(is_task_finished(state) for state in JOB_STATE_ORDER_FINISHED)


def test_the_order_is_the_documented_one() -> None:
    words = ["running", "paused", "building", "assigned", "pending", "held", "blocked"]
    assert [str(state) for state in JOB_STATE_ORDER_UNFINISHED] == words
    words = ["failed", "killed", "unschedulable", "worker_failed", "preempted", "succeeded"]
    assert [str(state) for state in JOB_STATE_ORDER_FINISHED] == words


@given(st.dictionaries(st.sampled_from(TaskState), st.integers(0, 3)))
def test_a_job_has_the_first_state_that_any_of_its_tasks_has(counts: dict[TaskState, int]) -> None:
    present = [state for state in JOB_STATE_ORDER_UNFINISHED + JOB_STATE_ORDER_FINISHED if counts.get(state)]
    assert job_state(counts) == (present[0] if present else TaskState.PENDING)


def test_a_job_is_unfinished_while_one_task_is() -> None:
    assert job_state({TaskState.SUCCEEDED: 9, TaskState.BLOCKED: 1}) is TaskState.BLOCKED
    assert job_state({TaskState.SUCCEEDED: 9, TaskState.FAILED: 1}) is TaskState.FAILED


def test_an_illegal_move_names_the_entity_both_states_and_its_story() -> None:
    with pytest.raises(IllegalTransition, match="attempt a can't go from failed to running: assigned; failed"):
        check_attempt_move("attempt a", AttemptState.FAILED, AttemptState.RUNNING, "assigned; failed")
    with pytest.raises(IllegalTransition, match=r"j/task-0 can't go from succeeded to pending$"):
        check_task_move("j/task-0", TaskState.SUCCEEDED, TaskState.PENDING)
    check_attempt_move("a", AttemptState.ASSIGNED, AttemptState.SUCCEEDED)
    check_task_move("t", TaskState.FAILED, TaskState.PENDING)
