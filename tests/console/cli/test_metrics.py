"""`opsconsole metrics` and `opsconsole compare`: what they print and write."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from opsconsole_console.service.table_file import write_parquet
from opsconsole_protocol import api
from tests.client.fake_server import FakeServer
from tests.console.cli.conftest import Run

JOB = "aaaaaaaaaa"


def metric(name: str, *values: float) -> api.MetricRow:
    steps = tuple(float(step) for step in range(len(values)))
    return api.MetricRow(
        name=name, points=len(values), last=values[-1], last_step=steps[-1], least=min(values), greatest=max(values),
        x=steps, y=values,
    )  # fmt: skip


def run_of(index: int, *metrics: api.MetricRow, **parameters: Any) -> api.RunRow:
    return api.RunRow(
        task_id=f"{JOB}/task-{index}", job="sweep", state="succeeded", parameters=parameters, metrics=metrics
    )


RUNS = (
    run_of(0, metric("loss", 3, 0.5, 0.75), metric("acc", 0.5), lr=0.1, seed=1),
    run_of(1, metric("loss", 2, 0.25), lr=0.01, seed=1),
    run_of(2, lr=0.001, seed=1),
)


def answer(_: FakeServer, request: api.ReadMetrics) -> api.MetricsAnswer:
    """Those that are asked for, with as many points as are wanted."""
    first = request.points_from or 0

    def asked(row: api.MetricRow) -> api.MetricRow:
        end = first + request.points_max if row.name in request.names else 0
        return replace(row, x=row.x[first:end], y=row.y[first:end])

    runs = [run for run in RUNS if request.id in {JOB, run.task_id}]
    return api.MetricsAnswer(runs=tuple(replace(run, metrics=tuple(map(asked, run.metrics))) for run in runs))


@pytest.fixture
def told(server: FakeServer) -> FakeServer:
    server.add_job(JOB)
    server.answers[api.ReadMetrics] = answer
    return server


def test_every_metric_of_every_task(run: Run, told: FakeServer) -> None:
    assert run("metrics", JOB).out == (
        "TASK               METRIC  POINTS  STEP  LAST  LEAST  GREATEST  FROM\n"
        f"{JOB}/task-0  loss    3       2     0.75  0.5    3         report\n"
        f"{JOB}/task-0  acc     1       0     0.5   0.5    0.5       report\n"
        f"{JOB}/task-1  loss    2       1     0.25  0.25   2         report\n"
    )
    assert "acc" not in run("metrics", JOB, "--name", "loss").out
    assert all(isinstance(one, api.ReadMetrics) and not one.names for one in told.asked)


def test_a_last_value_that_is_no_number_is_shown_as_it_is(run: Run, server: FakeServer) -> None:
    server.add_job(JOB)
    server.answers[api.ReadMetrics] = lambda *_: api.MetricsAnswer(
        runs=(run_of(0, replace(metric("loss", 3, 2), last=math.nan)),)
    )
    assert run("metrics", JOB).out.splitlines()[1].split() == [
        f"{JOB}/task-0",
        "loss",
        "2",
        "1",
        "nan",
        "2",
        "3",
        "report",
    ]


def test_who_asks_for_another_metric_is_told_which_there_are(run: Run, told: FakeServer) -> None:
    """It said that nothing was reported."""
    for words in ((), ("--json",), ("--csv", "-"), ("--name", "loss", "--json")):
        ran = run("metrics", JOB, "--name", "los", *words)
        assert (ran.code, ran.out) == (1, "")
        assert ran.err == "opsconsole: no metric called 'los' was reported: there is acc, loss\n"


def test_points_are_asked_for_where_they_are_wanted(run: Run, told: FakeServer, tmp_path: Path) -> None:
    lines = run("metrics", JOB, "--csv", "-").out.splitlines()
    assert lines[:3] == ["task,metric,step,value", f"{JOB}/task-0,loss,0.0,3.0", f"{JOB}/task-0,loss,1.0,0.5"]
    asked = [one for one in told.asked if isinstance(one, api.ReadMetrics) and one.names]
    assert [(one.id, one.names) for one in asked] == [
        (f"{JOB}/task-0", ("loss",)), (f"{JOB}/task-0", ("acc",)), (f"{JOB}/task-1", ("loss",)),
    ]  # fmt: skip
    file = tmp_path / "points.csv"
    assert run("metrics", JOB, "--csv", str(file)).out == ""
    assert file.read_text().splitlines() == lines
    found = [json.loads(line) for line in run("metrics", JOB, "--json", "--name", "acc").out.splitlines()]
    assert [(one["task"], one["values"], one["parameters"]) for one in found] == [
        (f"{JOB}/task-0", [0.5], {"lr": 0.1, "seed": 1})
    ]


def test_parquet(run: Run, told: FakeServer, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert run("metrics", JOB, "--parquet", str(tmp_path / "points.parquet")).code == 0
    table = parquet.read_table(tmp_path / "points.parquet").to_pydict()
    assert table["metric"] == ["loss", "loss", "loss", "acc", "loss", "loss"]
    assert table["value"] == [3, 0.5, 0.75, 0.5, 2, 0.25]


def test_what_was_measured_of_gpus_is_over_time(run: Run, server: FakeServer) -> None:
    server.add_job(JOB)
    gpus = run_of(0, metric("loss", 1))
    gpus = replace(gpus, gpus=(replace(metric("memory_mb", 100, 300), x=(5_000, 10_000), last_step=10_000),))
    server.answers[api.ReadMetrics] = lambda *_: api.MetricsAnswer(runs=(gpus,))
    assert run("metrics", JOB, "--gpu").out == (
        "TASK               METRIC     POINTS  STEP  LAST  LEAST  GREATEST  FROM\n"
        f"{JOB}/task-0  memory_mb  2             300   100    300       gpu\n"
    )
    assert run("metrics", JOB, "--gpu", "--csv", "-").out.splitlines() == [
        "task,metric,at_ms,value", f"{JOB}/task-0,memory_mb,5000.0,100.0", f"{JOB}/task-0,memory_mb,10000.0,300.0",
    ]  # fmt: skip
    (found,) = map(json.loads, run("metrics", JOB, "--gpu", "--json").out.splitlines())
    assert (found["metric"], found["at_ms"], found["values"]) == ("memory_mb", [5_000, 10_000], [100, 300])
    assert all(isinstance(one, api.ReadMetrics) and one.gpus for one in server.asked)
    assert run("metrics", JOB, "--gpu", "--name", "loss").code == 1
    server.answers[api.ReadMetrics] = lambda *_: api.MetricsAnswer(runs=(run_of(0),))
    assert "has GPUs for itself (--gpus)" in run("metrics", JOB, "--gpu").err


def test_nothing_reported_says_how_that_is_done(run: Run, server: FakeServer) -> None:
    server.answers[api.ReadMetrics] = lambda *_: api.MetricsAnswer(runs=())
    ran = run("metrics", JOB)
    assert (ran.code, ran.out) == (0, "")
    assert "docs/training.md" in ran.err


def test_runs_side_by_side_with_the_parameters_that_differ(run: Run, told: FakeServer) -> None:
    assert run("compare", JOB, "--sort", "loss").out == (
        "RUN                JOB    STATE      LR     LOSS  ACC\n"
        f"{JOB}/task-1  sweep  succeeded  0.01   0.25\n"
        f"{JOB}/task-0  sweep  succeeded  0.1    0.75  0.5\n"
        f"{JOB}/task-2  sweep  succeeded  0.001\n"
    )
    least = run("compare", JOB, "--of", "least", "--sort", "lr", "-r", "--name", "loss").out.splitlines()
    assert [line.split()[3:] for line in least] == [["LR", "LOSS"], ["0.1", "0.5"], ["0.01", "0.25"], ["0.001"]]
    assert run("compare", JOB, "--csv", "-").out.splitlines()[1] == f"{JOB}/task-0,sweep,succeeded,0.1,0.75,0.5"
    assert json.loads(run("compare", JOB, "--json").out.splitlines()[0])["metrics"] == {"loss": 0.75, "acc": 0.5}


def test_a_column_that_is_not_there_names_those_that_are(run: Run, told: FakeServer) -> None:
    ran = run("compare", JOB, "--sort", "los")
    assert ran.code == 2
    assert "run, job, state, lr, loss, acc" in ran.err


def test_runs_side_by_side_as_files(run: Run, told: FakeServer, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table, file = tmp_path / "runs.parquet", tmp_path / "runs.csv"
    assert run("compare", JOB, "--csv", str(file), "--parquet", str(table), "--sort", "lr").out == ""
    assert [line.split(",")[3:] for line in file.read_text().splitlines()] == [
        ["lr", "loss", "acc"], ["0.001", "", ""], ["0.01", "0.25", ""], ["0.1", "0.75", "0.5"],
    ]  # fmt: skip
    read = parquet.read_table(table).to_pydict()
    assert (read["lr"], read["loss"], read["acc"]) == ([0.001, 0.01, 0.1], [None, 0.25, 0.75], [None, None, 0.5])


@pytest.mark.parametrize("verb", ["metrics", "compare"])
def test_a_file_that_can_not_be_written_is_one_line(
    run: Run, told: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    for option in ("--csv", "--parquet"):
        ran = run(verb, JOB, option, str(tmp_path / "nowhere" / "file"))
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), option
        assert "can't write" in ran.err
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    ran = run(verb, JOB, "--parquet", str(tmp_path / "file.parquet"))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "opsconsole: Parquet files need pyarrow: pip install 'opsconsole[view]', or write a CSV file\n"


def test_parameters_of_every_kind_are_written_as_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    columns: dict[str, list[Any]] = {
        "mixed": [1, "a", None], "whole": [1, 2, None], "number": [1, 2.5, None], "flag": [True, False, None],
        "huge": [1 << 70, 1, None], "nothing": [None, None, None], "list": [[1], [2], None], "flag or not": [True, 1, None],
    }  # fmt: skip
    write_parquet(tmp_path / "a", list(columns), list(zip(*columns.values(), strict=True)))
    assert parquet.read_table(tmp_path / "a").to_pydict() == columns | {
        "mixed": ["1", "a", None], "huge": [str(1 << 70), "1", None], "list": ["[1]", "[2]", None],
        "flag or not": ["True", "1", None],
    }  # fmt: skip
    write_parquet(tmp_path / "b", ["one", "two"], [])
    assert parquet.read_table(tmp_path / "b").to_pydict() == {"one": [], "two": []}


@pytest.mark.parametrize("verb", ["metrics", "compare"])
def test_parquet_goes_to_a_file_and_never_to_one_called_dash(
    run: Run, told: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run(verb, JOB, "--parquet", "-")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "opsconsole: Parquet goes to a file: --parquet FILE; --csv - prints a table\n"
    assert not (tmp_path / "-").exists()
