"""Free ports by name."""

import socket
from pathlib import Path

import pytest

from opsconsole_agent.engine import port
from opsconsole_agent.engine.port import allocate_ports
from opsconsole_protocol.error import InvalidRequest, LimitExceeded


def test_each_name_gets_a_port_that_can_be_listened_on() -> None:
    ports = allocate_ports(["http", "METRICS", "rdzv_1"])
    assert ports.keys() == {"http", "METRICS", "rdzv_1"}
    assert len(set(ports.values())) == 3
    for number in ports.values():
        with socket.create_server(("", number)):
            pass
    assert allocate_ports([]) == {}


def test_ports_are_outside_the_range_for_outgoing_connections() -> None:
    low, high = port._ephemeral_range()
    if low <= port.FIRST_PORT and high >= port.LAST_PORT:
        pytest.skip("this kernel takes all of them for outgoing connections")
    assert not any(low <= number <= high for number in allocate_ports(["a", "b", "c"]).values())


@pytest.fixture
def few_ports(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Three ports in a row, the only ones there are for this test; free unless the test takes them."""
    first = allocate_ports(["first"])["first"]
    while not all(port._is_free(number) for number in range(first, first + 3)):
        first = allocate_ports(["first"])["first"]
    monkeypatch.setattr(port, "FIRST_PORT", first)
    monkeypatch.setattr(port, "LAST_PORT", first + 2)
    return [first, first + 1, first + 2]


def test_taken_ports_are_left_out(few_ports: list[int]) -> None:
    assert allocate_ports(["a"], taken={few_ports[0], few_ports[2]}) == {"a": few_ports[1]}


@pytest.mark.parametrize("address", ["127.0.0.1", "", "::1", "::"])
def test_a_listener_on_any_address_takes_its_port(few_ports: list[int], address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listener = socket.create_server((address, few_ports[1]), family=family)
    except OSError:
        pytest.skip(f"this host has no address {address!r}")
    with listener:
        assert sorted(allocate_ports(["a", "b"]).values()) == [few_ports[0], few_ports[2]]


def test_too_few_free_ports(few_ports: list[int]) -> None:
    with pytest.raises(LimitExceeded, match="only 3 of 4 TCP ports"):
        allocate_ports(["a", "b", "c", "d"])


@pytest.mark.parametrize("name", ["", "a-b", "1a", "a b", "ä", "a=b", "a\n", "x" * 65])
def test_names_that_make_no_variable(name: str) -> None:
    with pytest.raises(InvalidRequest, match="can't name a port"):
        allocate_ports([name])


def test_names_that_would_make_the_same_variable() -> None:
    with pytest.raises(InvalidRequest, match="differ by more than their case"):
        allocate_ports(["http", "HTTP"])


def test_a_kernel_that_does_not_tell_its_range(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(port, "_EPHEMERAL_RANGE", tmp_path / "missing")
    assert port._ephemeral_range() == (32_768, 60_999)


def test_a_host_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    def only_ipv4(family: int, kind: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return real(family, kind)

    monkeypatch.setattr(socket, "socket", only_ipv4)
    assert allocate_ports(["a"])["a"] >= port.FIRST_PORT


def test_a_port_that_was_chosen_before_is_taken_or_missed() -> None:
    """Hard use 34, 43."""
    (chosen,) = allocate_ports(["master"]).values()
    assert not port.is_listened_on(chosen)
    ports = allocate_ports(["master", "other"], first=chosen)
    assert ports["master"] == chosen
    assert ports["other"] != chosen
    with socket.create_server(("127.0.0.1", chosen)):
        assert port.is_listened_on(chosen)
        with pytest.raises(port.PortTaken, match=f"port {chosen}, chosen for master, was taken by another program"):
            allocate_ports(["master"], first=chosen)


def test_a_connection_that_has_ended_takes_no_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", number)):
            accepted, _ = server.accept()
            accepted.close()  # this side waits for a while, for what may still be under way
    assert not port.is_listened_on(number)
