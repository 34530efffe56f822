"""The transfer process from inside: what ends streams that stall, and what happens where the system has nothing left."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsconsole_coordinator.transfer import process as module
from opsconsole_coordinator.transfer.channel import Channel
from opsconsole_coordinator.transfer.message import (
    PACKET_BYTES_MAX,
    Cancel,
    Closed,
    Configure,
    Connection,
    Expect,
    FromProcess,
    Known,
    Over,
    Receive,
    Relay,
    decode_from_process,
    encode,
)
from opsconsole_coordinator.transfer.process import serve
from opsconsole_protocol.error import ProtocolError
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.stream import upgrade
from opsconsole_protocol.stream.proof import request_proof, where_of

SECRET = "m" * 43
CONTENT = ContentId("5f" * 32)


class Bench:
    """The process on a thread of the test, and the coordinator's end of its channel."""

    def __init__(self, folder: Path) -> None:
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.settimeout(20)
        self.theirs = theirs
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.tell(Configure(content_folder=str(folder), content_bytes_max=1 << 20, relay_streams=1, relay_bytes_s=0))
        self.thread = threading.Thread(target=serve, args=(theirs,))
        self.thread.start()

    def tell(self, message: Configure | Expect | Cancel) -> None:
        self.ours.send(encode(message))

    def hear(self, kind: type[FromProcess]) -> FromProcess:
        """The next message of this kind."""
        while True:
            message = decode_from_process(self.ours.recv(PACKET_BYTES_MAX))
            if isinstance(message, kind):
                return message

    def come(self, stream_id: str, number: int = 1) -> socket.socket:
        """A connection that asks for the stream, handed over."""
        outer = socket.create_connection(self.listener.getsockname())
        outer.settimeout(20)
        inner, _ = self.listener.accept()
        with inner:
            socket.send_fds(self.ours, [encode(Connection(number=number))], [inner.fileno()])
        proof = request_proof(SECRET, stream_id, where_of(outer.getpeername()))
        outer.sendall(upgrade.format_request(stream_id, proof, "lab"))
        return outer

    def close(self) -> None:
        self.ours.close()
        self.thread.join(20)
        assert not self.thread.is_alive()
        self.theirs.close()
        self.listener.close()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(module, "SWEEP_S", 0.05)
    found = Bench(tmp_path / "content")
    yield found
    found.close()


def receiving(stream_id: str) -> Expect:
    work = Receive(content_id=CONTENT, bytes_max=1 << 20)
    return Expect(stream_id=stream_id, ttl_ms=60_000, secrets=(SECRET,), work=work)


def answer(connection: socket.socket) -> upgrade.UpgradeAnswer:
    data = b""
    while True:
        more = connection.recv(4_096)
        data += more
        found = upgrade.parse_answer(data, is_whole=not more)
        if found is not None:
            return found


def test_a_stream_to_the_store_by_which_nothing_moves_is_closed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.2)
    bench.tell(receiving("s1"))
    began_s = time.monotonic()
    connection = bench.come("s1")
    assert answer(connection).is_open
    over = bench.hear(Over)
    assert isinstance(over, Over)
    assert over.error
    assert time.monotonic() - began_s > 0.2
    connection.close()


def test_a_stream_to_the_store_is_cancelled(bench: Bench) -> None:
    bench.tell(receiving("s1"))
    connection = bench.come("s1")
    assert answer(connection).is_open
    bench.tell(Cancel(stream_id="s1", reason="it was revoked"))
    over = bench.hear(Over)
    assert isinstance(over, Over)
    assert over.code
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(4_096):
            pass
    connection.close()


def test_who_waits_for_the_other_end_hears_that_it_is_cancelled(bench: Bench) -> None:
    bench.tell(Expect(stream_id="s1", ttl_ms=60_000, secrets=(SECRET, "t" * 43), work=Relay()))
    connection = bench.come("s1")
    bench.hear(Known)
    bench.tell(Cancel(stream_id="s1", reason="it was revoked"))
    refused = answer(connection)
    assert (refused.status, refused.text) == (upgrade.GONE, "it was revoked")
    bench.hear(Closed)
    connection.close()


def test_where_no_thread_is_left_a_stream_is_refused_and_the_process_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "s1":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    for stream_id, is_open in (("s1", False), ("s2", True)):
        bench.tell(receiving(stream_id))
        connection = bench.come(stream_id)
        assert answer(connection).is_open == is_open
        connection.close()


def test_a_connection_whose_descriptor_is_lost_counts_as_closed(bench: Bench) -> None:
    bench.ours.send(encode(Connection(number=7)))
    closed = bench.hear(Closed)
    assert closed == Closed(number=7)


def test_the_first_message_has_to_configure() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.send(encode(Cancel(stream_id="s", reason="r")))
        with pytest.raises(ProtocolError, match="the first message has to be `configure`"):
            serve(theirs)


def test_a_packet_that_is_none_is_refused() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.send(b"\xc1")
        with pytest.raises(ProtocolError, match="a packet to the transfer process is none"):
            Channel(theirs).receive()
