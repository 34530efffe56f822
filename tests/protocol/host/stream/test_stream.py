"""A stream over sockets: it blocks, it presses back, it ends, and it is closed from any thread."""

import os
import select
import socket
import threading
from collections.abc import Iterator

import pytest

from opsconsole_protocol.host.stream import stream as module
from opsconsole_protocol.host.stream.stream import SocketStream, is_gone
from opsconsole_protocol.host.stream.tls import own_certificate, pinning_context
from opsconsole_protocol.stream.error import StreamLost
from opsconsole_protocol.stream.message import Way
from tests.waiting import until_sync


@pytest.fixture(params=[socket.AF_INET, socket.AF_UNIX], ids=["tcp", "unix"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[SocketStream, SocketStream]]:
    if request.param == socket.AF_UNIX:
        left, right = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as server:
            left = socket.create_connection(server.getsockname())
            right, _ = server.accept()
    streams = SocketStream(left, Way.DIRECT), SocketStream(right, Way.DIRECT)
    yield streams
    for one in streams:
        one.close()


def read_all(stream: SocketStream) -> bytes:
    found, view = bytearray(), bytearray(1 << 16)
    while size := stream.receive_into(view):
        found += view[:size]
    return bytes(found)


def test_everything_arrives_in_order_and_then_it_ends(pair: tuple[SocketStream, SocketStream]) -> None:
    left, right = pair
    data = bytes(range(256)) * 40_000

    def send() -> None:
        left.send(data)
        left.send(b"")
        left.send(memoryview(data)[::1])
        left.close()

    sender = threading.Thread(target=send)
    sender.start()
    assert read_all(right) == data * 2
    sender.join()


def test_who_sends_waits_for_who_receives(pair: tuple[SocketStream, SocketStream]) -> None:
    left, right = pair
    sent = 0

    def send() -> None:
        nonlocal sent
        for _ in range(64):
            left.send(bytes(1 << 20))
            sent += 1
        left.close()

    sender = threading.Thread(target=send)
    sender.start()
    until_sync(lambda: not select.select([], [left._socket], [], 0)[1], what="no room")
    assert sent < 32
    assert len(read_all(right)) == 64 << 20
    sender.join()


def test_bytes_that_came_before_it_are_its_first() -> None:
    left, right = socket.socketpair()
    stream = SocketStream(right, Way.RELAY, received=b"abc")
    left.sendall(b"def")
    left.close()
    view = bytearray(2)
    assert stream.receive_into(view) == 2
    assert view == b"ab"
    assert stream.receive_into(view) == 1
    assert view[:1] == b"c"
    assert read_all(stream) == b"def"
    stream.close()


@pytest.mark.parametrize("works", ["send", "receive"])
def test_closing_wakes_who_waits_in_it(pair: tuple[SocketStream, SocketStream], works: str) -> None:
    left, _ = pair
    failure: list[StreamLost] = []

    def work() -> None:
        try:
            if works == "send":
                left.send(bytes(64 << 20))
            else:
                left.receive_into(bytearray(1))
        except StreamLost as error:
            failure.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    until_sync(lambda: left._users == 1)
    left.close()
    worker.join(10)
    assert [error.message for error in failure] == ["the stream was closed at this end"]
    assert left._socket.fileno() == -1


def test_a_closed_stream_says_so(pair: tuple[SocketStream, SocketStream]) -> None:
    left, right = pair
    left.close()
    left.close()
    with pytest.raises(StreamLost):
        left.send(b"x")
    with pytest.raises(StreamLost):
        left.receive_into(bytearray(1))
    assert right.receive_into(bytearray(1)) == 0


def test_a_broken_connection_is_a_stream_that_is_lost(pair: tuple[SocketStream, SocketStream]) -> None:
    left, right = pair
    right.close()

    def send_on() -> None:
        for _ in range(100):
            left.send(bytes(1 << 20))

    with pytest.raises(StreamLost, match=r"^the stream broke \([^\n]+\)$"):
        send_on()


def test_who_is_slow_is_not_lost(pair: tuple[SocketStream, SocketStream], monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = pair
    monkeypatch.setattr(module, "SILENT_MS", 20)
    monkeypatch.setattr(module, "STALL_CHECK_S", 0.01)
    for stream in pair:
        stream._socket.settimeout(0.01)
    seen: list[tuple[int, int, int]] = []
    monkeypatch.setattr(module, "is_gone", lambda *facts: seen.append(facts))
    sender = threading.Thread(target=left.send, args=(bytes(16 << 20),))
    sender.start()
    if left._socket.family == socket.AF_INET:
        until_sync(lambda: len(seen) > 5)
    view = bytearray(1 << 20)
    left_over = 16 << 20
    while left_over:
        left_over -= right.receive_into(view)
    sender.join()
    monkeypatch.undo()
    assert not any(is_gone(*facts) for facts in seen)


def test_who_is_gone_is_lost(pair: tuple[SocketStream, SocketStream], monkeypatch: pytest.MonkeyPatch) -> None:
    left, _ = pair
    if left._socket.family != socket.AF_INET:
        return
    monkeypatch.setattr(module, "SILENT_MS", 20)
    left._socket.settimeout(0.01)
    monkeypatch.setattr(module, "is_gone", lambda *_: True)
    with pytest.raises(StreamLost, match="Connection timed out"):
        left.receive_into(bytearray(1))


@pytest.mark.parametrize(
    ("probes", "unacknowledged", "last_ack_ms", "gone"),
    [
        (0, 0, 10**9, False), (0, 5, 100, False), (0, 5, 40_000, True), (1, 0, 120_000, False), (4, 0, 120_000, True),
        (4, 0, 1_000, False),
    ],
)  # fmt: skip
def test_when_a_machine_counts_as_gone(probes: int, unacknowledged: int, last_ack_ms: int, gone: bool) -> None:
    assert is_gone(probes, unacknowledged, last_ack_ms) == gone


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_bytes_go_both_ways_at_once(tls: bool) -> None:
    near, far = socket.socketpair()
    shaking: list[threading.Thread] = []
    if tls:
        server = own_certificate().context.wrap_socket(
            far, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False
        )
        near = pinning_context().wrap_socket(near, do_handshake_on_connect=False, suppress_ragged_eofs=False)
        shaking.append(threading.Thread(target=server.do_handshake))
        shaking[0].start()
        near.do_handshake()
        shaking[0].join()
        far = server
    left, right = SocketStream(near, Way.DIRECT), SocketStream(far, Way.DIRECT)
    data = os.urandom(8_000_000)  # more than all buffers on the way: neither end may wait for its own sending to end
    found: dict[str, bytes] = {}

    def receive(name: str, stream: SocketStream) -> None:
        taken, view = bytearray(), bytearray(1 << 16)
        while len(taken) < len(data):
            taken += view[: stream.receive_into(view)]
        found[name] = bytes(taken)

    work = [
        threading.Thread(target=left.send, args=(data,)),
        threading.Thread(target=right.send, args=(data[::-1],)),
        threading.Thread(target=receive, args=("left", left)),
        threading.Thread(target=receive, args=("right", right)),
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join(30)
    assert not any(thread.is_alive() for thread in work)
    assert (found["right"], found["left"]) == (data, data[::-1])
    lost: list[StreamLost] = []

    def wait() -> None:
        try:
            left.receive_into(bytearray(1))
        except StreamLost as error:
            lost.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    left.close()
    waiting.join(10)
    assert len(lost) == 1
    right.close()
