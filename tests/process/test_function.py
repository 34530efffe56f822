"""Functions as jobs, with a real coordinator and a real worker: results, errors, many values, an executor."""

import importlib
from pathlib import Path

import pytest

from opsconsole import Executor, PythonFunction, SyncClient, TaskError
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

def endless():
    import signal
    signal.pause()

def endless_for(x):
    endless()

def left(code):
    sys.exit(code)

def gone():
    os._exit(0)
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "sums.py").write_text(_CODE)
    return folder


def _is_kept(client: SyncClient, job_id: str, task: int) -> bool:
    collected = client.show(job_id).tasks[task].collected
    return collected is not None and collected.state == "kept"


def test_what_functions_return_and_raise_comes_back_and_outlives_the_worker(lab: Lab, code: Path) -> None:
    lab.serve()
    worker = lab.agent("gpu-a")
    client = lab.ask(lambda client: client)

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

    calls = [PythonFunction("sums:killed"), PythonFunction("sums:left", {"code": 0}), PythonFunction("sums:gone")]
    rows = client.submit(calls, bundle=code)
    with pytest.raises(JobFailedError, match=r"failed: .*SIGKILL"):
        client.result(rows[0].id)
    assert client.result(rows[1].id) is None
    with pytest.raises(NotFound, match="has left no result"):
        client.result(rows[2].id)

    long = ["x" * 20_000, "y" * 30_000]
    assert list(client.map("sums:length", long, bundle=code)) == [20_000, 30_000]
    with pytest.raises(TaskError, match="raised TypeError"):
        list(client.map("sums:length", ["a", 3], bundle=code))

    for one, task in ((row, 0), (failing, 0), (pickled, 0)):
        lab.wait(lambda one=one, task=task: _is_kept(client, one.id, task), "the results")
    lab.kill(worker)
    assert client.result(row.id) == {"sum": 3}
    with pytest.raises(TaskError, match="no 7"):
        client.result(failing.id)


def test_a_job_is_not_submitted_for_what_can_not_be_called(lab: Lab) -> None:
    lab.serve()
    client = lab.ask(lambda client: client)
    with pytest.raises(InvalidRequest, match="a lambda has no name"):
        list(client.map(lambda x: x, [1]))
    with pytest.raises(InvalidRequest, match="leave num_tasks"):
        PythonFunction("sums:add", job=JobSpec(command=("python3",), num_tasks=2))
    assert not client.jobs()


def test_an_executor_s_futures_are_jobs_and_its_map_is_one_job(
    lab: Lab, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.serve()
    lab.agent("gpu-a")
    client = lab.ask(lambda client: client)
    monkeypatch.syspath_prepend(str(code))
    sums = importlib.import_module("sums")
    with Executor(client, bundle=code) as executor:
        future = executor.submit(sums.add, 2, b=5)
        assert future.result(60) == {"sum": 7}
        (code / "sums.py").unlink()  # what the executor brings along is as it was
        failing = executor.submit(sums.fail, 1)
        assert isinstance(failing.exception(60), TaskError)
        before = len(client.jobs())
        assert list(executor.map(sums.double, range(5), timeout=60)) == [0, 2, 4, 6, 8]
        assert len(client.jobs()) == before + 1
        endless = executor.submit(sums.endless)
        lab.wait(lambda: client.jobs("state=running"), "the endless one")
        (row,) = client.jobs("state=running")
        slow = executor.map(sums.endless_for, [0, 1], timeout=1)
        with pytest.raises(TimeoutError):
            list(slow)
        assert endless.cancel()
    assert client.wait(row.id)[0].state == "killed"
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(sums.add, 1)
