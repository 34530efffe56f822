"""The client without await."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsconsole import Executor, JobFailedError, JobSpec, SyncClient
from opsconsole_protocol.error import NotFound, Unavailable
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


def test_a_failed_connection_leaves_no_thread(tmp_path: Path) -> None:
    import threading

    with pytest.raises(NotFound):
        SyncClient.connect(data_dir=tmp_path)
    assert not [thread for thread in threading.enumerate() if thread.name == "opsconsole client"]
