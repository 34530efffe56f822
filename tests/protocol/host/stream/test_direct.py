"""The direct way against whoever else may dial or listen, and against every kind of interruption."""

import contextlib
import queue
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from opsconsole_protocol.host.stream import direct, greeting
from opsconsole_protocol.host.stream.candidates import Candidates
from opsconsole_protocol.host.stream.place import own_addresses, own_place
from opsconsole_protocol.host.stream.stream import SocketStream, Stream
from opsconsole_protocol.host.stream.tls import own_certificate, pinning_context
from opsconsole_protocol.stream import proof
from opsconsole_protocol.stream.error import StreamLost
from opsconsole_protocol.stream.message import StreamGrant, Way
from opsconsole_protocol.stream.signal import COMMIT, Listening
from tests.protocol.host.stream.lab import check_both_ways, pair
from tests.protocol.host.stream.proxy import proxy


@dataclass
class Side:
    """One end's try of the direct way."""

    grant: StreamGrant
    posted: "queue.Queue[Stream | str]" = field(default_factory=queue.Queue)

    def __post_init__(self) -> None:
        self.candidates = Candidates(Way.DIRECT, self.posted.put)

    def stream(self) -> Stream:
        result = self.posted.get(timeout=10)
        assert not isinstance(result, str), result
        return result

    def reason(self) -> str:
        result = self.posted.get(timeout=10)
        assert isinstance(result, str)
        return result


@contextlib.contextmanager
def sides(*, ttl_ms: int = 10_000) -> Iterator[tuple[Side, Side]]:
    """The initiator and the responder; every stream and try of theirs is ended at last."""
    made = tuple(Side(end.grant) for end in pair(ttl_ms=ttl_ms))
    try:
        yield made[0], made[1]
    finally:
        for side in made:
            side.candidates.end()
            while not side.posted.empty():
                left = side.posted.get()
                if not isinstance(left, str):
                    left.close()


def listen(side: Side, *, tls: bool) -> Listening:
    """Where the side listens; with TLS only the first address is kept, so that a test knows which is dialled."""
    if tls and not own_addresses():
        pytest.skip("this machine has no address but its loopback")
    where = direct.listen(side.candidates, side.grant, same_machine=not tls)
    return replace(where, addresses=where.addresses[:1])


TLS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
BACK = pytest.mark.parametrize("back", [False, True], ids=["dial", "dial back"])


@TLS
@BACK
def test_one_listens_and_the_other_dials(tls: bool, back: bool) -> None:
    with sides() as (initiator, responder):
        listener, dialler = (initiator, responder) if back else (responder, initiator)
        direct.dial(dialler.candidates, dialler.grant, listen(listener, tls=tls))
        mine = initiator.stream()
        mine.send(COMMIT)
        theirs = responder.stream()
        check_both_ways(mine, theirs)
        mine.close()
        assert theirs.receive_into(bytearray(1)) == 0
        theirs.close()


@TLS
@pytest.mark.parametrize("works", ["sends", "receives"])
def test_a_reset_is_no_end(tls: bool, works: str) -> None:
    with sides() as (initiator, responder):
        direct.dial(initiator.candidates, initiator.grant, listen(responder, tls=tls))
        mine = initiator.stream()
        mine.send(COMMIT)
        theirs = responder.stream()
        assert isinstance(theirs, SocketStream)
        theirs._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs._socket.close()
        with pytest.raises(StreamLost, match=r"^the stream broke \([^\n]+\)$"):
            send_on(mine) if works == "sends" else mine.receive_into(bytearray(1))
        mine.close()
        theirs.close()


def send_on(stream: Stream) -> None:
    while True:
        stream.send(bytes(1 << 20))


@TLS
def test_of_several_addresses_one_is_taken(tls: bool) -> None:
    with sides() as (initiator, responder):
        where = listen(responder, tls=tls)
        direct.dial(initiator.candidates, initiator.grant, replace(where, addresses=where.addresses * 8))
        mine = initiator.stream()
        mine.send(COMMIT)
        theirs = responder.stream()
        check_both_ways(mine, theirs)
        mine.close()
        theirs.close()
        assert initiator.posted.empty()
        assert responder.posted.empty()


def test_after_the_stream_stands_nobody_is_let_in() -> None:
    with sides() as (initiator, responder):
        where = listen(responder, tls=False)
        direct.dial(initiator.candidates, initiator.grant, where)
        mine = initiator.stream()
        mine.send(COMMIT)
        theirs = responder.stream()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((where.addresses[0], where.port), 5).close()
        mine.close()
        theirs.close()


def test_nobody_comes() -> None:
    with sides(ttl_ms=50) as (_, responder):
        where = listen(responder, tls=False)
        assert responder.reason() == "nobody came"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((where.addresses[0], where.port), 5).close()


@TLS
def test_who_has_another_secret_gets_nothing(tls: bool) -> None:
    with sides() as (initiator, responder):
        where = listen(responder, tls=tls)
        wrong = replace(initiator.grant, shared_secret="another")
        direct.dial(initiator.candidates, wrong, where)
        assert initiator.reason() == f"{where.addresses[0]} port {where.port}: another program answers"
        assert responder.posted.empty()
        # The listener goes on waiting for who is meant.
        again = Side(initiator.grant)
        direct.dial(again.candidates, again.grant, where)
        mine = again.stream()
        mine.send(COMMIT)
        responder.stream().close()
        mine.close()


def test_who_is_of_another_stream_gets_nothing() -> None:
    with sides() as (initiator, responder):
        other = replace(initiator.grant, stream_id="s2")
        direct.dial(initiator.candidates, other, listen(responder, tls=False))
        assert initiator.reason().endswith("another program answers")


def test_what_was_heard_once_opens_nothing_again() -> None:
    with sides() as (initiator, responder):
        where = listen(responder, tls=False)
        with proxy(where.addresses[0], where.port) as between:
            direct.dial(initiator.candidates, initiator.grant, replace(where, port=between.port))
            mine = initiator.stream()
            mine.send(COMMIT)
            theirs = responder.stream()
            recorded = bytes(between.recorded)
            mine.close()
            theirs.close()
        assert len(recorded) == proof.NONCE_BYTES + proof.PROOF_BYTES + len(COMMIT)
    with sides(ttl_ms=500) as (_, responder):
        where = listen(responder, tls=False)
        with socket.create_connection((where.addresses[0], where.port)) as replayer:
            replayer.sendall(recorded)
            assert "another program answers" in responder.reason()


def test_another_certificate_is_another_machine() -> None:
    with sides() as (initiator, responder):
        where = replace(listen(responder, tls=True), certificate_hash="0" * 64)
        direct.dial(initiator.candidates, initiator.grant, where)
        assert initiator.reason().endswith("another machine answers")


def test_who_stands_between_with_a_certificate_of_its_own_is_found_out() -> None:
    """The proofs cover the certificate: passing them on from one TLS connection to another doesn't help."""
    with sides() as (initiator, responder):
        where = listen(responder, tls=True)
        with socket.create_connection((where.addresses[0], where.port)) as raw:
            secure = pinning_context().wrap_socket(raw)
            with pytest.raises(greeting.Stranger):
                greeting.greet(secure, initiator.grant, is_dialler=True, certificate_hash="0" * 64)
            secure.close()


def test_those_who_say_nothing_keep_nobody_out() -> None:
    with sides() as (initiator, responder), contextlib.ExitStack() as silent:
        where = listen(responder, tls=False)
        for _ in range(direct.PROVING_MAX - 1):
            silent.enter_context(socket.create_connection((where.addresses[0], where.port)))
        direct.dial(initiator.candidates, initiator.grant, where)
        mine = initiator.stream()
        mine.send(COMMIT)
        responder.stream().close()
        mine.close()


def test_more_strangers_than_are_heard_are_sent_away() -> None:
    with sides() as (_, responder), contextlib.ExitStack() as silent:
        where = listen(responder, tls=False)
        strangers = [
            silent.enter_context(socket.create_connection((where.addresses[0], where.port)))
            for _ in range(direct.PROVING_MAX + 1)
        ]
        strangers[-1].settimeout(5)
        assert strangers[-1].recv(1) == b""


@pytest.mark.parametrize(
    "said", [b"\x00", b"GET / HTTP/1.1\r\n\r\n" + b"a" * 100, b"\xff" * 10_000], ids=["short", "http", "long"]
)
def test_noise_is_refused(said: bytes) -> None:
    with sides(ttl_ms=300) as (_, responder):
        where = listen(responder, tls=False)
        with socket.create_connection((where.addresses[0], where.port)) as stranger:
            with contextlib.suppress(OSError):  # it may have been sent away in the middle
                stranger.sendall(said)
                stranger.shutdown(socket.SHUT_WR)
            assert responder.reason()


def test_a_listener_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(greeting, "GREETING_S", 0.1)
    with sides() as (initiator, _), socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        direct.dial(
            initiator.candidates, initiator.grant, Listening(addresses=("127.0.0.1",), port=port, certificate_hash="")
        )
        assert initiator.reason() == f"127.0.0.1 port {port}: no answer"


def test_an_end_of_the_try_ends_whatever_is_under_way() -> None:
    with sides() as (initiator, responder):
        where = listen(responder, tls=False)
        with socket.create_connection((where.addresses[0], where.port)) as silent:
            responder.candidates.end()
            silent.settimeout(5)
            with contextlib.suppress(ConnectionResetError):
                assert silent.recv(1) == b""
        direct.dial(initiator.candidates, initiator.grant, where)
        assert "Connection refused" in initiator.reason()
        assert responder.posted.empty()


def check_ends(initiator: Side, responder: Side) -> None:
    """Each side has failed, or has a stream that ends when the other's does."""
    mine = initiator.posted.get(timeout=10)
    if not isinstance(mine, str):
        with contextlib.suppress(StreamLost):
            mine.send(COMMIT)
    theirs = responder.posted.get(timeout=10)
    if not isinstance(theirs, str):
        theirs.close()
    if not isinstance(mine, str):
        with contextlib.suppress(StreamLost):
            assert mine.receive_into(bytearray(1)) == 0
        mine.close()


@pytest.mark.parametrize("cut", [0, 1, 31, 32, 33, 63, 64, 65])
@BACK
def test_a_cut_in_the_greeting_is_a_failure_or_a_stream_that_ends(cut: int, back: bool) -> None:
    with sides(ttl_ms=300) as (initiator, responder):
        listener, dialler = (initiator, responder) if back else (responder, initiator)
        where = listen(listener, tls=False)
        with proxy(where.addresses[0], where.port, cut) as between:
            direct.dial(dialler.candidates, dialler.grant, replace(where, port=between.port))
            check_ends(initiator, responder)


@pytest.mark.parametrize("cut", [*range(0, 800, 97), 10_000])
def test_a_cut_in_the_handshake_is_a_failure_or_a_stream_that_ends(cut: int) -> None:
    with sides(ttl_ms=300) as (initiator, responder):
        where = listen(responder, tls=True)
        with proxy(where.addresses[0], where.port, cut) as between:
            loopback = replace(where, addresses=("127.0.0.1",), port=between.port)
            direct.dial(initiator.candidates, initiator.grant, loopback)
            check_ends(initiator, responder)


def test_the_certificate_is_one_a_process() -> None:
    assert own_certificate() is own_certificate()


def test_this_machine_knows_its_place() -> None:
    assert own_place() == own_place() != ""
    assert all(not address.startswith(("127.", "fe80:", "169.254.")) for address in own_addresses())
