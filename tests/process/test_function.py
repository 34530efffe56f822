"""Functions as jobs, with a real coordinator and a real worker: results, errors, many values, an executor."""

from pathlib import Path

import pytest

from opsconsole import PythonFunction, TaskError
from opsconsole_protocol.error import InvalidRequest, JobFailedError, NotFound
from opsconsole_protocol.spec import JobSpec
from tests.process.lab import Lab

_CODE = """
import os, sys

class Odd(Exception):
    pass

def add(a, b=1):
    return {"sum": a + b}

def double(x):
    return 2 * x

def length(text):
    return len(text)

def fail(x):
    raise Odd(f"no {x}")

def odd():
    return {1, 2}

def killed():
    os.kill(os.getpid(), 9)

def left(code):
    sys.exit(code)
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "sums.py").write_text(_CODE)
    return folder


def test_what_functions_return_and_raise_comes_back_and_outlives_the_worker(lab: Lab, code: Path) -> None:
    lab.serve()
    worker = lab.agent("gpu-a")
    client = lab.client

    (row,) = client.submit(PythonFunction("sums:add", {"a": 2}), bundle=code)
    assert client.result(row.id, timeout_s=60) == {"sum": 3}
    assert client.show(row.id).job.name == "sums:add"

    (failing,) = client.submit(PythonFunction("sums:fail", {"x": 7}), bundle=code)
    with pytest.raises(TaskError) as caught:
        client.result(failing.id)
    error = caught.value
    assert (error.message, error.type) == (f"{failing.id}/task-0 raised sums.Odd: no 7", "sums.Odd")
    assert error.traceback.splitlines()[-2:] == ['    raise Odd(f"no {x}")', "sums.Odd: no 7"]

    (pickled,) = client.submit(PythonFunction("sums:odd"), bundle=code)
    with pytest.raises(InvalidRequest, match=r"returned a set, .*trust_pickle=True"):
        client.result(pickled.id)
    assert client.result(pickled.id, trust_pickle=True) == {1, 2}

    rows = client.submit([PythonFunction("sums:killed"), PythonFunction("sums:left", {"code": 0})], bundle=code)
    with pytest.raises(JobFailedError, match="failed: .*SIGKILL"):
        client.result(rows[0].id)
    with pytest.raises(NotFound, match="has left no result"):
        client.result(rows[1].id)

    long = ["x" * 20_000, "y" * 30_000]
    assert list(client.map("sums:length", long, bundle=code)) == [20_000, 30_000]
    with pytest.raises(TaskError, match="raised TypeError"):
        list(client.map("sums:length", ["a", 3], bundle=code))

    for one, task in ((row, 0), (failing, 0), (pickled, 0)):
        lab.wait(lambda one=one, task=task: client.show(one.id).tasks[task].collected is not None, "the results")
    lab.kill(worker)
    assert client.result(row.id) == {"sum": 3}
    with pytest.raises(TaskError, match="no 7"):
        client.result(failing.id)


def test_a_job_is_not_submitted_for_what_can_not_be_called(lab: Lab) -> None:
    lab.serve()
    with pytest.raises(InvalidRequest, match="a lambda has no name"):
        list(lab.client.map(lambda x: x, [1]))
    with pytest.raises(InvalidRequest, match="leave num_tasks"):
        PythonFunction("sums:add", job=JobSpec(command=("python3",), num_tasks=2))
    assert not lab.client.jobs()
