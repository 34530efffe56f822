"""The client without await."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from opsconsole import Executor, JobFailedError, JobSpec, PythonFunction, SyncClient
from opsconsole_protocol.api import TemplateRow
from opsconsole_protocol.error import InvalidRequest, NotFound, Unavailable
from tests.client.fake_server import FakeServer


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


def test_submit_wait_and_read(server: FakeServer, tmp_path: Path) -> None:
    def run(job_id: str, spec: JobSpec) -> None:
        server.log(job_id, f"hello from {spec.command[0]}")
        server.finish(job_id, exit_code=int(spec.command[1]))

    server.on_submit = run
    server.write_data_dir(tmp_path)
    with SyncClient.connect(data_dir=tmp_path) as client:
        good, bad = client.submit([JobSpec(command=("a", "0")), JobSpec(command=("b", "3"))])
        assert client.wait_for_success(good.id)[0].state == "succeeded"
        assert [line.data for line in client.follow_log(good.id)] == ["hello from a"]
        with pytest.raises(JobFailedError, match=bad.id):
            client.wait_for_success(bad.id)
        assert client.show(bad.id).tasks[0].exit_code == 3
        assert {row.id for row in client.jobs()} == {good.id, bad.id}
        assert client.workers() == []
        assert client.act("pause", [good.id]) == [(good.id, "pause done")]


@pytest.mark.filterwarnings("error")
def test_a_closed_client_says_so_and_leaves_nobody_waiting(server: FakeServer, tmp_path: Path) -> None:
    """Neither for ever nor with an error of the event loop: whoever waits, asks, reads on, or shuts down an executor."""
    server.write_data_dir(tmp_path)
    client = SyncClient.connect(data_dir=tmp_path, retry_for_s=3600)
    (job,) = client.submit([JobSpec(command=("a", "0"))])
    executor = Executor(client)
    called = executor.submit(math.sqrt, 4)
    waiting = client.start(client.client.wait(job.id))
    reading = client.follow_log(job.id)
    client.close()
    client.close()
    for future in (waiting, called):
        with pytest.raises(Unavailable, match="closed"):
            future.result(timeout=10)
    for ask in (client.jobs, lambda: next(reading), lambda: list(client.iter_jobs()), lambda: executor.submit(abs, 1)):
        with pytest.raises(Unavailable, match="this client is closed: connect again"):
            ask()
    executor.shutdown()


GOOD = JobSpec(command=("true",))
WRONG: dict[str, tuple[Callable[[SyncClient], Any], str]] = {
    "a list with a text in it": (lambda client: client.submit([GOOD, cast("Any", "true")]), "a str is no job"),
    "a dict": (lambda client: client.submit(cast("Any", {"command": ["true"]})), "a str is no job"),
    "nothing": (lambda client: client.submit(cast("Any", None)), "a NoneType is no job"),
    "a field that there isn't": (lambda client: client.sweep(("echo", "{a}"), "a=1", prority=3), "no 'prority'"),
    "no argument's name": (lambda _: PythonFunction("a:b", cast("Any", 5)), "a int is no argument by its name"),
    "names alone": (lambda _: PythonFunction("a:b", cast("Any", ["lr"])), "a str is no argument by its name"),
    "less than none": (lambda client: client.jobs(limit=-1), "limit is -1"),
    "a folder that is none": (lambda client: client.sync_templates("/nowhere"), "/nowhere is no folder"),
    "no task at a time": (lambda client: client.work("p", max_concurrent_jobs=0), "max_concurrent_jobs is 0"),
    "a template's job": (
        lambda client: client.submit_template("known", {}, prority=3), "a job has no 'prority'"),
}  # fmt: skip


def test_what_is_wrong_is_said_in_one_line_by_an_error_of_ours(server: FakeServer, tmp_path: Path) -> None:
    server.write_data_dir(tmp_path)
    with SyncClient.connect(data_dir=str(tmp_path)) as client:
        client.set_template(TemplateRow(name="known", command=("true",)))
        for what, (ask, words) in WRONG.items():
            with pytest.raises(InvalidRequest) as error:
                ask(client)
            assert words in error.value.message, what
            assert "\n" not in error.value.message, what
        assert client.jobs() == []


def test_a_failed_connection_leaves_no_thread(tmp_path: Path) -> None:
    import threading

    with pytest.raises(NotFound):
        SyncClient.connect(data_dir=tmp_path)
    assert not [thread for thread in threading.enumerate() if thread.name == "opsconsole client"]
