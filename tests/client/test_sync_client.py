"""The client without await."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from opsconsole import JobFailedError, JobSpec, SyncClient
from opsconsole_protocol.error import NotFound
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


def test_a_failed_connection_leaves_no_thread(tmp_path: Path) -> None:
    import threading

    with pytest.raises(NotFound):
        SyncClient.connect(data_dir=tmp_path)
    assert not [thread for thread in threading.enumerate() if thread.name == "opsconsole client"]
