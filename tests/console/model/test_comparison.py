"""Runs side by side: which columns there are, what they are called, and how they are sorted."""

import math
from typing import Any

import pytest

from opsconsole_console.model.comparison import Field, Kind, Of, Run, field_named, fields, ordered, runs_of, table
from opsconsole_protocol import api
from opsconsole_protocol.error import InvalidRequest

NAN = math.nan


def row(name: str, last: float, least: float = NAN, greatest: float = NAN) -> api.MetricRow:
    return api.MetricRow(name=name, points=1, last=last, last_step=0, least=least, greatest=greatest)


def run(index: int, *metrics: api.MetricRow, job: str = "aaaaaaaaaa", state: str = "running", **given: Any) -> Run:
    made = api.RunRow(task_id=f"{job}/task-{index}", job="sweep", state=state, parameters=given, metrics=metrics)
    return runs_of([made])[made.task_id]


def titles(*runs: Run, of: Of = Of.LAST, names: tuple[str, ...] = ()) -> list[str]:
    return [field.title for field in fields(runs, of, names)][3:]


def indices(runs: list[Run]) -> list[str]:
    return [one.name for one in runs]


def test_parameters_that_are_the_same_everywhere_are_no_columns() -> None:
    assert titles(run(0, lr=0.1, seed=1), run(1, lr=0.2, seed=1)) == ["lr"]
    assert titles(run(0, lr=0.1), run(1)) == ["lr"]
    assert titles(run(0, lr=0.1)) == []
    assert titles(run(0, lr=1), run(1, lr="1")) == ["lr"]


def test_metrics_follow_in_the_order_in_which_they_were_reported() -> None:
    runs = run(0, row("loss", 1), row("acc", 1)), run(1, row("b", 1), row("loss", 1))
    assert titles(*runs) == ["loss", "acc", "b"]
    assert titles(*runs, names=("b", "acc")) == ["acc", "b"]


def test_no_two_columns_are_called_alike() -> None:
    runs = run(0, row("lr", 1), row("state", 2), lr=1, job_=3), run(1, lr=2)
    assert titles(*runs, of=Of.LEAST) == ["lr", "job_", "lr (least)", "state (least)"]
    given_too = run(0, row("state", 1), row("state (last)", 1), run=1, state_=""), run(1)
    found = [field.title for field in fields(given_too, Of.LAST)]
    assert found == ["run", "job", "state", "run (given)", "state_", "state (last)", "state (last) (last)"]


def test_a_metric_is_meant_before_a_parameter_of_its_name() -> None:
    among = fields([run(0, row("lr", 1), lr=1), run(1, lr=2)], Of.LAST)
    assert field_named("lr", among).kind is Kind.METRIC
    assert field_named("state", among).kind is Kind.STATE
    with pytest.raises(InvalidRequest, match="called los: there is run, job, state, lr"):
        field_named("los", among)


def test_numbers_are_sorted_by_size_then_texts_and_what_is_missing_comes_last_either_way() -> None:
    runs = [run(0, lr=10), run(1, lr="adam"), run(2, lr=9.5), run(3), run(4, lr=NAN)]
    field = Field(Kind.PARAMETER, "lr", "lr")
    assert indices(ordered(runs, field, Of.LAST)) == ["task-2", "task-0", "task-1", "task-3", "task-4"]
    assert indices(ordered(runs, field, Of.LAST, reverse=True)) == ["task-1", "task-0", "task-2", "task-3", "task-4"]


def test_a_metric_is_sorted_by_the_value_that_is_chosen() -> None:
    runs = [run(0, row("loss", 3, 1)), run(1, row("loss", 2, 2)), run(2, row("loss", NAN, 0))]
    field = Field(Kind.METRIC, "loss", "loss")
    assert indices(ordered(runs, field, Of.LAST)) == ["task-1", "task-0", "task-2"]
    assert indices(ordered(runs, field, Of.LEAST)) == ["task-2", "task-0", "task-1"]


def test_runs_are_in_the_order_of_their_tasks() -> None:
    runs = [run(10), run(9), run(1, job="bbbbbbbbbb")]
    field = Field(Kind.RUN, "run", "run")
    assert [one.id for one in ordered(runs, field, Of.LAST)] == [runs[1].id, runs[0].id, runs[2].id]


def test_a_file_has_every_column_and_nothing_where_there_is_nothing() -> None:
    runs = [run(0, row("loss", 3)), run(1, row("loss", NAN), lr=2)]
    assert table(runs, fields(runs, Of.LAST), Of.LAST) == (
        ["run", "job", "state", "lr", "loss"],
        [["aaaaaaaaaa/task-0", "sweep", "running", None, 3], ["aaaaaaaaaa/task-1", "sweep", "running", 2, None]],
    )


def test_what_is_over_and_what_is_shown() -> None:
    assert [run(0, state=state).is_over for state in ("running", "pending", "failed", "succeeded")] == [
        False, False, True, True,
    ]  # fmt: skip
    shown = run(0, row("loss", 0.1234567), row("acc", math.inf), row("gap", NAN), lr="1e-4", wd=0.1234567, n=3)
    texts = [Field(Kind.METRIC, name, name).text(shown, Of.LAST) for name in ("loss", "acc", "gap", "other")]
    assert texts == ["0.12346", "inf", "", ""]
    given = [Field(Kind.PARAMETER, name, name).text(shown, Of.LAST) for name in ("lr", "wd", "n", "other")]
    assert given == ["1e-4", "0.1234567", "3", ""]
    assert [Of.LAST.next, Of.GREATEST.next] == [Of.LEAST, Of.LAST]


def test_the_texts_of_a_sweep_that_are_numbers_are_sorted_as_such() -> None:
    runs = [run(place, lr=value) for place, value in enumerate(("10", "9", "1e-4", "adam", "007", "-2.5", ".5"))]
    field = Field(Kind.PARAMETER, "lr", "lr")
    assert [field.value(one, Of.LAST) for one in runs] == [10, 9, 0.0001, "adam", "007", -2.5, 0.5]
    found = [one.parameters["lr"] for one in ordered(runs, field, Of.LAST)]
    assert found == ["-2.5", "1e-4", ".5", "9", "10", "007", "adam"]
