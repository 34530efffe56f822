"""A coordinator with few descriptors and many who say nothing (hard use 60): agents stay, tasks go on, the log is short."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.lab import Lab, lab


@pytest.fixture
def small_lab(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as made:
        yield made


@pytest.mark.parametrize("tls", ["auto", "on"])
def test_descriptors_are_kept_for_those_who_are_known(small_lab: Lab, tls: str) -> None:
    small_lab.start("serve", "serve", "--listen", "127.0.0.1:0", "--tls", tls, within=("prlimit", "--nofile=64:64"))
    small_lab.wait((small_lab.data_dir / "endpoint.json").exists, "the coordinator")
    small_lab.agent("gpu-a", slots=4)
    running = small_lab.give("for i in $(seq 100000); do echo $i; sleep 0.01; done", worker="gpu-a")
    small_lab.wait_state(running, "running")
    with contextlib.ExitStack() as open_sockets:
        for _ in range(300):
            connection = open_sockets.enter_context(socket.socket())
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                connection.connect(("127.0.0.1", small_lab.port))
        others = [small_lab.submit("--worker", "gpu-a", "--", "echo", str(number)) for number in range(3)]
        for number, job_id in enumerate(others):
            small_lab.wait_state(job_id, "succeeded")
            small_lab.wait(lambda job_id=job_id, number=number: small_lab.lines(job_id) == [str(number)], "its log")
        seen = len(small_lab.lines(running))
        small_lab.wait(lambda: len(small_lab.lines(running)) > seen, "the log of what runs to go on")
    attempts = small_lab.job(running)["tasks"][0]["attempts"]
    assert [attempt["state"] for attempt in attempts] == ["running"], "it was never lost"
    assert small_lab.said("gpu-a").count("connected to") == 1, "its agent was never thrown out"
    assert len(small_lab.said("serve")) < 2_000
    small_lab.act("cancel", running)
    small_lab.wait_state(running, "killed")
