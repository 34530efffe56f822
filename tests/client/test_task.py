"""The module by which tasks report: in a process that has nothing of ours installed, as a worker starts it."""

import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opsconsole import task
from opsconsole_agent.state.sdk_folder import install_sdk
from opsconsole_protocol.end_cause import SAVED_EXIT_CODE
from opsconsole_protocol.report import METRICS_OF_LINE_MAX, parse_line


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "report"
    monkeypatch.setenv("OPSCONSOLE_REPORT", str(path))
    return path


def said(path: Path) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in json.loads(line).items() if key != "at_ms"}
        for line in path.read_text().splitlines()
    ]


class Tensor:
    """Something that is a number only to `float()`."""

    def __float__(self) -> float:
        return 0.25


def test_the_exit_code_of_a_pause_is_what_the_coordinator_takes_for_one() -> None:
    assert task.PAUSED_EXIT_CODE == SAVED_EXIT_CODE


def test_everything_that_can_be_said(report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    task.report(step=3, loss=0.5, lr=Tensor())
    task.report({"eval/loss": float("nan"), "worst": float("-inf"), "big": 1 << 70}, step=4)
    task.progress(3, 10)
    task.checkpoint("here", step=3)
    task.note("half\nway")
    assert said(report) == [
        {"step": 3, "metrics": {"loss": 0.5, "lr": 0.25}},
        {"step": 4, "metrics": {"eval/loss": "NaN", "worst": "-Infinity", "big": float(1 << 70)}},
        {"progress": {"done": 3, "total": 10}},
        {"checkpoint": {"path": str(Path.cwd() / "here"), "step": 3}},
        {"note": "half\nway"},
    ]


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: task.checkpoint(""), "nothing is at ''"),
        (lambda: task.checkpoint("/nonexistent/ck"), "nothing is at '/nonexistent/ck'"),
        (lambda: task.report(step=True, loss=1), "true or false is no number"),
        (lambda: task.report(step=math.inf, loss=1), "step is no finite number"),
        (lambda: task.report(step=1, loss=True), "true or false is no number"),
        (lambda: task.progress(True, 2), "true or false is no number"),
    ],
    ids=range(6),
)
def test_what_an_agent_would_refuse_is_left_out_and_told(
    report: Path,
    call: Callable[[], None],
    reason: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(task, "_writer", task._Writer())
    call()
    assert not report.exists() or not said(report)
    assert reason in capsys.readouterr().err


def test_outside_of_a_task_nothing_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPSCONSOLE_REPORT", raising=False)
    monkeypatch.chdir(tmp_path)
    task.report(loss=1)
    task.progress(1, 2)
    task.checkpoint("x")
    task.note("y")
    assert list(tmp_path.iterdir()) == []


class Batch:
    """A tensor with several elements, as torch has it."""

    def __float__(self) -> float:
        raise RuntimeError("a Tensor with 2 elements\ncannot be converted to Scalar")


@pytest.mark.parametrize("value", ["low", None, [1], 10**400, Batch()])
def test_a_value_that_is_no_number_is_left_out_and_told_once(
    report: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, value: Any
) -> None:
    """It raised, and a training died of a report."""
    monkeypatch.setattr(task, "_writer", task._Writer())
    for step in range(3):
        task.report(step=step, good=1, bad=value)
    task.report(bad=value)
    assert said(report) == [{"step": step, "metrics": {"good": 1}} for step in range(3)]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("opsconsole: bad is left out of what is reported: ")


@pytest.mark.parametrize("name", ["", "x\x1b[31m", "a\nb", "n" * 201, 3.5j])
def test_a_name_that_can_not_be_taken_takes_no_other_along(
    report: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: Any
) -> None:
    """The coordinator refused the whole line, and every other metric was lost with it."""
    monkeypatch.setattr(task, "_writer", task._Writer())
    for step in range(3):
        task.report({"loss": 3.0, name: 1}, step=step)
    taken = [parse_line(line, 0).metrics for line in report.read_bytes().splitlines()]
    assert [one.values["loss"] for one in taken if one is not None] == [3.0] * 3
    if name == 3.5j:
        return  # odd, and yet a name
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()
    assert "is left out of what is reported" in line


def test_more_metrics_than_a_line_may_have_take_several_lines(report: Path) -> None:
    task.report({f"m{number}": number for number in range(2 * METRICS_OF_LINE_MAX + 1)}, step=4)
    lines = [parse_line(line, 0) for line in report.read_bytes().splitlines()]
    assert [len(one.metrics.values) for one in lines if one.metrics is not None] == [200, 200, 1]


def test_no_call_ends_a_training(
    report: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "_writer", task._Writer())
    wrong: Any = object()
    for _ in range(2):
        task.report(wrong)
        task.progress(wrong, 3)
        task.checkpoint(wrong)
        task.report(loss=1, step=wrong)
    assert not report.exists()
    told = capsys.readouterr().err.splitlines()
    assert [line.partition("(")[0] for line in told] == [
        f"opsconsole: {name}" for name in ("report", "progress", "checkpoint")
    ]


def test_not_everything_that_is_wrong_is_told(
    report: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "_writer", task._Writer())
    task.report({f"m{number}": "x" for number in range(1_000)})
    assert capsys.readouterr().err.count("\n") == 20


def test_a_report_that_can_t_be_written_is_told_once_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPSCONSOLE_REPORT", str(tmp_path / "gone" / "report"))
    writer = task._Writer()
    monkeypatch.setattr(task, "_writer", writer)
    for _ in range(3):
        task.report(loss=1)
    assert capsys.readouterr().err.count("nothing can be reported: No such file or directory") == 1


def test_threads_and_children_write_whole_lines(report: Path) -> None:
    def report_often() -> None:
        for _ in range(200):
            task.report(loss=1)

    threads = [threading.Thread(target=report_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    pid = os.fork()
    if pid == 0:
        task.note("child")
        os._exit(0)
    os.waitpid(pid, 0)
    for thread in threads:
        thread.join()
    assert len(said(report)) == 801


def run(code: str, report: Path, *path: Path) -> str:
    """Run code in a Python without our packages, which finds these folders."""
    environment = {"OPSCONSOLE_REPORT": str(report), "PYTHONPATH": os.pathsep.join(map(str, path)), "PATH": os.defpath}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def sdk(tmp_path: Path) -> Path:
    return Path(install_sdk(tmp_path))


def test_the_worker_s_copy_needs_nothing_installed(sdk: Path, tmp_path: Path) -> None:
    run("import opsconsole; opsconsole.report(step=1, loss=2)", tmp_path / "report", sdk)
    assert said(tmp_path / "report") == [{"step": 1, "metrics": {"loss": 2}}]


def test_the_worker_s_copy_has_the_callbacks_too_and_loads_them_when_asked(sdk: Path, tmp_path: Path) -> None:
    code = "import opsconsole, sys; print('opsconsole.callback' in sys.modules, opsconsole.TrainerCallback.__name__, hasattr(opsconsole, 'x'))"
    assert run(code, tmp_path / "report", sdk).split() == ["False", "TrainerCallback", "False"]


def test_an_installed_package_is_not_hidden_and_an_older_one_can_report_too(sdk: Path, tmp_path: Path) -> None:
    site = tmp_path / "site" / "opsconsole"
    site.mkdir(parents=True)
    (site / "__init__.py").write_text("version = 'old'\ndef note(text): print('theirs', text)\n")
    (site / "client.py").write_text("here = True\n")
    code = "import opsconsole, opsconsole.client as c; opsconsole.note('x'); opsconsole.report(loss=1); print(opsconsole.version, c.here)"
    for order in ((sdk, site.parent), (site.parent, sdk)):
        found = run(code, tmp_path / "report", *order)
        assert found.splitlines() == ["theirs x", "old True"]
        if order[0] == sdk:
            assert said(tmp_path / "report") == [{"metrics": {"loss": 1}}]
            break
