"""Which tasks of a job are meant: indices, ranges, states and conditions on parameters, in one language."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_protocol.error import InvalidRequest, NotFound
from opsconsole_protocol.state import TaskState
from opsconsole_protocol.task_selection import read_selection, split_selection, words_of

STATES = [TaskState.SUCCEEDED, TaskState.FAILED, TaskState.RUNNING, TaskState.PENDING, TaskState.FAILED]
POINTS = [{"lr": "0.1", "opt": "adam"}, {"lr": "1e-1", "opt": "sgd"}, {"lr": "0.01"}, {"lr": "1"}, {"lr": "10"}]


@pytest.mark.parametrize(
    ("text", "indices"),
    [
        ("3", [3]),
        ("task-3", [3]),
        ("1-3", [1, 2, 3]),
        ("task-1-3", [1, 2, 3]),
        ("failed", [1, 4]),
        ("Failed,running", [1, 2, 4]),
        ("4, 0-1,failed", [0, 1, 4]),
        ("lr=0.1", [0, 1]),
        ("lr=.1 opt=SGD", [1]),
        ("lr>=1", [3, 4]),
        ("lr in 10,0.01", [2, 4]),
        ("opt!=adam", [1, 2, 3, 4]),
        ("opt~^a", [0]),
        ("state=failed index>1", [4]),
        ("lr=7", []),
    ],
)
def test_tasks_that_are_meant(text: str, indices: list[int]) -> None:
    assert read_selection(text).pick(STATES, POINTS) == indices


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no task is named behind the slash"),
        ("faild", "'faild' says no tasks: did you mean failed"),
        ("!failed", "says no tasks"),
        ("3,", "says no tasks"),
        ("3-", "says no tasks"),
        ("7-3", "7-3: the first task of a range comes before the last one"),
        ("03", "says no tasks"),
        ("5", "the job has 5 tasks, from task-0 to task-4"),
        ("0-5", "the job has 5 tasks, from task-0 to task-4"),
        ("wd=0", "no task has a parameter 'wd': there is lr, opt, state, index"),
        ("lr=", "can't read 'lr='"),
        ("lr~(", "regular expression|pattern"),
    ],
)
def test_what_says_no_tasks_is_refused_and_never_taken_for_others(text: str, message: str) -> None:
    with pytest.raises((InvalidRequest, NotFound), match=message):
        read_selection(text).pick(STATES, POINTS)


def test_only_the_job_is_read_without_regard_to_case() -> None:
    job, selection = split_selection(" 7K3/Opt=a ")
    assert job == "7k3"
    assert selection is not None
    assert selection.pick(STATES[:1], [{"Opt": "a"}]) == [0]
    assert split_selection("7k3") == ("7k3", None)
    with pytest.raises(InvalidRequest, match="is not a job id"):
        split_selection("/3")


@given(st.sets(st.integers(0, 40), min_size=1))
def test_tasks_in_words_are_read_back_as_the_same_ones(indices: set[int]) -> None:
    words = words_of(sorted(indices))
    if words != f"{len(indices)} tasks":
        text = words.removeprefix("tasks ").replace(" ", "")
        assert read_selection(text).pick([TaskState.PENDING] * 41, []) == sorted(indices)
