"""The proxy does to a connection what it says, and nothing else."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.chaos.proxy import DOWN, UP, Proxy
from tests.waiting import until_sync


@pytest.fixture(name="far")
def _far() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture(name="proxy")
def _proxy(far: socket.socket) -> Iterator[Proxy]:
    with closing(Proxy(far.getsockname()[1])) as made:
        yield made


@pytest.fixture(name="pair")
def _pair(far: socket.socket, proxy: Proxy) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection's two ends: the agent's and the coordinator's."""
    with socket.create_connection(("127.0.0.1", proxy.port)) as agent:
        coordinator, _ = far.accept()
        until_sync(lambda: proxy.accepted == 1, what="the proxy to pass it on")
        with coordinator:
            for one in (agent, coordinator):
                one.settimeout(10)
            yield agent, coordinator


Pair = tuple[socket.socket, socket.socket]


def is_silent(end: socket.socket) -> bool:
    """Nothing has come, nor an end."""
    end.setblocking(False)
    try:
        end.recv(1)
    except BlockingIOError:
        return True
    finally:
        end.settimeout(10)
    return False


def test_everything_passes_in_order(pair: Pair) -> None:
    agent, coordinator = pair
    data = bytes(range(256)) * 4_000
    sending = threading.Thread(target=agent.sendall, args=(data,))
    sending.start()
    came = b""
    while len(came) < len(data):
        came += coordinator.recv(65_536)
    sending.join()
    assert came == data
    coordinator.sendall(b"answer")
    assert agent.recv(100) == b"answer"


def test_a_slow_line_takes_its_time(proxy: Proxy, pair: Pair) -> None:
    agent, coordinator = pair
    proxy.slow(0.1)
    began_s = time.monotonic()
    agent.sendall(b"ping")
    coordinator.sendall(coordinator.recv(100))
    assert agent.recv(100) == b"ping"
    assert time.monotonic() - began_s >= 0.2
    proxy.slow(0, bytes_per_s=100_000)
    began_s = time.monotonic()
    agent.sendall(b"x" * 20_000)
    came = 0
    while came < 20_000:
        came += len(coordinator.recv(65_536))
    assert time.monotonic() - began_s >= 0.2


def test_a_stalled_direction_holds_everything_until_it_is_healed(proxy: Proxy, pair: Pair) -> None:
    agent, coordinator = pair
    proxy.stall(UP)
    agent.sendall(b"held")
    coordinator.sendall(b"passes")
    assert agent.recv(100) == b"passes"
    assert is_silent(coordinator)
    proxy.heal()
    assert coordinator.recv(100) == b"held"
    proxy.stall(DOWN)
    coordinator.sendall(b"held")
    agent.sendall(b"passes")
    assert coordinator.recv(100) == b"passes"
    assert is_silent(agent)


def test_an_end_is_held_as_well(proxy: Proxy, pair: Pair) -> None:
    agent, coordinator = pair
    proxy.stall()
    agent.close()
    coordinator.sendall(b"into the void")
    assert is_silent(coordinator)
    proxy.heal()
    assert coordinator.recv(100) == b""


def test_a_cut_is_noticed_by_both_and_a_half_open_end_by_one(far: socket.socket, proxy: Proxy, pair: Pair) -> None:
    agent, coordinator = pair
    proxy.half_open("agent")
    with pytest.raises(ConnectionResetError):
        agent.recv(100)
    coordinator.sendall(b"into the void")
    assert is_silent(coordinator)
    with socket.create_connection(("127.0.0.1", proxy.port)) as again, far.accept()[0] as fresh:
        again.sendall(b"others go on")
        assert fresh.recv(100) == b"others go on"
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        coordinator.recv(100)
