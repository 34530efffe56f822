"""Two connections joined: what is sent arrives, ends pass through one by one, and who doesn't read stops who sends."""

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opsconsole_coordinator.transfer import relay as relay_module
from opsconsole_coordinator.transfer.rate import Rate
from opsconsole_coordinator.transfer.relay import BUFFER_BYTES, PIPE_BYTES, Relay, RelayBroken
from opsconsole_coordinator.trust.certificate import ensure_certificate, server_context

Pair = tuple[socket.socket, socket.socket]
"""The end outside, and the relay's."""


def tcp_pair() -> Pair:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        outer = socket.create_connection(listener.getsockname())
        inner, _ = listener.accept()
    for one in (outer, inner):
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    outer.settimeout(10)
    return outer, inner


def tls_pair(server: ssl.SSLContext) -> Pair:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
    outer, inner = tcp_pair()
    found: list[socket.socket] = []
    thread = threading.Thread(target=lambda: found.append(server.wrap_socket(inner, server_side=True)))
    thread.start()
    secure = client.wrap_socket(outer)
    thread.join()
    return secure, found[0]


class Running:
    """A relay on a thread, and the two ends outside."""

    def __init__(self, first: Pair, second: Pair, rate: Rate | None = None, idle_s: float = 60) -> None:
        self.ends = first[0], second[0]
        self.relay = Relay(first[1], second[1], rate or Rate(0), idle_s)
        self.error = ""
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.relay.run()
        except RelayBroken as broken:
            self.error = str(broken)

    def over(self) -> str:
        """Wait until it has ended; why it broke, or nothing."""
        self.thread.join(10)
        assert not self.thread.is_alive()
        return self.error


@pytest.fixture(params=["plain", "tls", "mixed", "without splice"])
def running(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    server = server_context(ensure_certificate(tmp_path, ["localhost"]))
    server.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
    if request.param == "without splice":
        monkeypatch.setattr(relay_module, "_HAS_SPLICE", False)
    makers: dict[str, tuple[Callable[[], Pair], Callable[[], Pair]]] = {
        "tls": (lambda: tls_pair(server), lambda: tls_pair(server)),
        "mixed": (tcp_pair, lambda: tls_pair(server)),
    }
    first, second = makers.get(request.param, (tcp_pair, tcp_pair))
    relay = Running(first(), second())
    yield relay
    for end in relay.ends:
        end.close()
    relay.over()


def read_all(end: socket.socket) -> bytes:
    parts = []
    while part := end.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def send_whole(end: socket.socket, data: bytes) -> None:
    end.sendall(data)
    shut(end)


def shut(end: socket.socket) -> None:
    socket.socket.shutdown(end, socket.SHUT_WR)


def test_what_is_sent_arrives_both_ways_at_once(running: Running) -> None:
    first, second = running.ends
    forth, back = os.urandom(5_000_000), os.urandom(3_000_001)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(read_all(second)))
    writer = threading.Thread(target=send_whole, args=(second, back))
    reading = threading.Thread(target=lambda: received.append(read_all(first)))
    for thread in (reader,):
        thread.start()
    first.sendall(forth)
    shut(first)
    reader.join()
    assert received.pop() == forth
    reading.start()
    writer.start()
    writer.join()
    reading.join()
    assert received.pop() == back
    assert running.over() == ""
    assert running.relay.moved_bytes == len(forth) + len(back)


def test_the_end_of_one_side_passes_and_the_other_goes_on(running: Running) -> None:
    first, second = running.ends
    first.sendall(b"question")
    shut(first)
    assert read_all(second) == b"question"
    second.sendall(b"answer")
    second.sendall(b", whole")
    shut(second)
    assert read_all(first) == b"answer, whole"
    assert running.over() == ""


def test_who_does_not_read_stops_who_sends(running: Running) -> None:
    """However much is sent, no more waits than the relay's buffer and those of the sockets."""
    first, second = running.ends
    first.settimeout(0.5)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < 1 << 30:
            sent += first.send(b"x" * 65_536)
    assert running.relay.moved_bytes <= sent
    assert sent < 64 << 20
    first.settimeout(10)
    shut(first)
    assert len(read_all(second)) == sent


def test_a_side_that_breaks_off_ends_the_other(running: Running) -> None:
    first, second = running.ends
    first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    first.sendall(b"x")
    assert second.recv(1) == b"x"
    os.close(first.detach())  # which resets the connection
    assert second.recv(1) == b""
    assert "broke off" in running.over()


def test_it_is_ended_from_outside(running: Running) -> None:
    first, second = running.ends
    running.relay.cancel("it was revoked")
    assert running.over() == "it was revoked"
    assert (first.recv(1), second.recv(1)) == (b"", b"")


def test_one_that_nobody_uses_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "_WAIT_S", 0.01)
    running = Running(tcp_pair(), tcp_pair(), idle_s=0.05)
    assert running.over() == "nothing has come for 0.05 s"
    for end in running.ends:
        assert end.recv(1) == b""
        end.close()


def test_a_rate_holds() -> None:
    rate = Rate(4_000_000)
    running = Running(tcp_pair(), tcp_pair(), rate)
    first, second = running.ends
    before_s = rate._now_s()
    sender = threading.Thread(target=send_whole, args=(first, bytes(3_000_000)))
    sender.start()
    assert len(read_all(second)) == 3_000_000
    assert rate._now_s() - before_s > 0.2  # a quarter of a second's worth is free
    shut(second)
    sender.join()
    assert running.over() == ""
    for end in running.ends:
        end.close()


def test_buffers_are_small() -> None:
    assert max(BUFFER_BYTES, PIPE_BYTES) <= 1 << 20
