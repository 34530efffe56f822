"""A coordinator with few descriptors and many who say nothing (hard use 60): agents stay, tasks go on, the log is short."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.lab import Lab, lab


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as made:
        yield made


@pytest.mark.parametrize("tls", ["auto", "on"])
def test_descriptors_are_kept_for_those_who_are_known(house: Lab, tls: str) -> None:
    house.start("serve", "serve", "--listen", "127.0.0.1:0", "--tls", tls, within=("prlimit", "--nofile=64:64"))
    house.wait((house.data_dir / "endpoint.json").exists, "the coordinator")
    house.agent("gpu-a", slots=4)
    running = house.give("for i in $(seq 100000); do echo $i; sleep 0.01; done", worker="gpu-a")
    house.wait_state(running, "running")
    with contextlib.ExitStack() as open_sockets:
        for _ in range(300):
            connection = open_sockets.enter_context(socket.socket())
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                connection.connect(("127.0.0.1", house.port))
        others = [house.submit("--worker", "gpu-a", "--", "echo", str(number)) for number in range(3)]
        for number, job_id in enumerate(others):
            house.wait_state(job_id, "succeeded")
            house.wait(lambda job_id=job_id, number=number: house.lines(job_id) == [str(number)], "its log")
        seen = len(house.lines(running))
        house.wait(lambda: len(house.lines(running)) > seen, "the log of what runs to go on")
    attempts = house.job(running)["tasks"][0]["attempts"]
    assert [attempt["state"] for attempt in attempts] == ["running"], "it was never lost"
    assert house.said("gpu-a").count("connected to") == 1, "its agent was never thrown out"
    assert len(house.said("serve")) < 2_000
    house.act("cancel", running)
    house.wait_state(running, "killed")
