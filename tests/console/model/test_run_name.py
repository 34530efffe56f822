"""The names of runs that are drawn over each other: no two alike, and as short as they can be."""

from itertools import product

import pytest

from opsconsole_console.model.metric import run_name
from opsconsole_protocol.api import RunRow


def run(task_id: str, job: str, **parameters: object) -> RunRow:
    return RunRow(task_id=task_id, job=job, state="running", parameters=parameters)


@pytest.mark.parametrize(
    ("runs", "names"),
    [
        ([run("a/task-0", "fit", lr=1, seed=0), run("a/task-1", "fit", lr=2, seed=0)], ["lr=1", "lr=2"]),
        ([run("a/task-0", "fit"), run("a/task-1", "fit")], ["task-0", "task-1"]),
        ([run("a/task-0", "fit"), run("b/task-0", "base")], ["fit", "base"]),
        ([run("a/task-0", "fit"), run("b/task-0", "fit")], ["fit a", "fit b"]),
        (
            [run("a/task-0", "fit", lr=1), run("a/task-1", "fit", lr=2), run("b/task-0", "base")],
            ["lr=1", "lr=2", "base"],  # which was called task-0
        ),
        ([run("a/task-0", "fit"), run("a/task-1", "fit"), run("b/task-0", "base")], ["fit task-0", "fit task-1", "base"]),
        ([run("a/task-0", "fit", lr=1), run("b/task-0", "base", lr=1)], ["fit", "base"]),
        (
            [run("a/task-0", "fit", lr=1), run("a/task-1", "fit", lr=2), run("b/task-0", "fit", lr=1)],
            ["lr=1 fit a", "lr=2", "lr=1 fit b"],
        ),
        ([run("a/task-0", "fit", lr=1), run("a/task-1", "fit", lr=1)], ["task-0", "task-1"]),
        (
            [run("a/task-0", "fit", lr=1), run("a/task-1", "fit", lr=1), run("a/task-2", "fit", lr=2)],
            ["lr=1 task-0", "lr=1 task-1", "lr=2"],
        ),
    ],
)  # fmt: skip
def test_a_run_is_named_by_what_tells_it_from_the_others(runs: list[RunRow], names: list[str]) -> None:
    assert [run_name(one, runs) for one in runs] == names


def test_no_two_are_alike() -> None:
    every = [
        run(f"{job}/task-{index}", name, **given)
        for (job, name), index, given in product([("a", "fit"), ("b", "fit"), ("c", "base")], range(3), [{}, {"lr": 1}])
        if given or index
    ]
    ids = {one.task_id: one for one in every}
    runs = list(ids.values())
    assert len({run_name(one, runs) for one in runs}) == len(runs)
