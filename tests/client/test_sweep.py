"""A sweep: its axes as they are typed, all combinations, and a command for each. The command line and the form use it."""

import pytest

from opsconsole.sweep import combinations, read_axes, unfold
from opsconsole_protocol.error import InvalidRequest


def test_the_last_axis_changes_fastest() -> None:
    assert combinations(read_axes(["lr=1,2", "seed=7,8"])) == [
        {"lr": "1", "seed": "7"}, {"lr": "1", "seed": "8"}, {"lr": "2", "seed": "7"}, {"lr": "2", "seed": "8"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["lr"], "'lr' is not a sweep"),
        (["=1"], "'=1' is not a sweep"),
        (["l r=1"], "'l r=1' is not a sweep"),
        (["lr="], "lr has an empty value"),
        (["lr=1,,2"], "lr has an empty value"),
        (["lr=1,1"], "lr has a value twice"),
        (["lr=1", "lr=2"], "lr is given twice: write all its values in one"),
    ],
)
def test_axes_that_say_nothing_are_refused(texts: list[str], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        read_axes(texts)


def test_more_tasks_than_a_job_may_have_are_refused() -> None:
    axis = [str(number) for number in range(1_000)]
    with pytest.raises(InvalidRequest, match=r"1,000,000,000 tasks, the limit is"):
        combinations({"a": axis, "b": axis, "c": axis})


def test_each_combination_has_a_command_and_other_braces_stay() -> None:
    assert unfold(["train", "{lr}", '{"json": 1}'], [{"lr": "1"}, {"lr": "2"}]) == (
        ("train", "1", '{"json": 1}'), ("train", "2", '{"json": 1}'),
    )  # fmt: skip
    with pytest.raises(InvalidRequest, match=r"write \{seed\} in the command"):
        unfold(["train", "{lr}"], [{"lr": "1", "seed": "7"}])
