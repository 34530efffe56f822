"""The coordinator's port: for its own store and for a relay, with TLS and without, and whoever else may listen there."""

import socket
import threading

import pytest

from opsconsole_protocol.host.stream import coordinator_dial
from opsconsole_protocol.host.stream.coordinator_dial import Home
from opsconsole_protocol.host.stream.tls import own_certificate
from opsconsole_protocol.stream import proof, upgrade
from opsconsole_protocol.stream.error import NoWay
from opsconsole_protocol.stream.message import PeerKind, StreamGrant, Via, Way
from tests.protocol.host.stream.fake_coordinator import coordinator
from tests.protocol.host.stream.lab import PURPOSE, End, check_both_ways, opening, pair, receive

SECRET = "the secret of this end"


def end(home: Home, via: Via = Via.AUTO) -> End:
    grant = StreamGrant(
        stream_id="s1", secret=SECRET, is_initiator=True, purpose=PURPOSE, peer=PeerKind.COORDINATOR, via=via
    )
    return End(grant, home)


def echo(sock: socket.socket) -> None:
    while data := sock.recv(1 << 16):
        sock.sendall(data)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_its_own_store_is_dialled(tls: bool) -> None:
    with coordinator(secrets={"s1": {SECRET}}, serve=echo, tls=tls) as fake:
        one = end(fake.home)
        with opening(one) as (mine,):
            stream = mine.result(10)
            stream.send(b"hello")
            assert receive(stream, 5) == b"hello"
            assert stream.way is Way.DIRECT
        assert one.lines == ["direct: connected to the other end (the coordinator itself)"]
        assert fake.protocols == ([upgrade.ALPN] if tls else [])
        (request,) = fake.requests
        assert SECRET not in str(request)
        assert one.said == []


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_two_ends_are_joined(tls: bool) -> None:
    with coordinator(secrets={"s1": {"secret True", "secret False"}}, tls=tls) as fake:
        one, other = pair(via=Via.RELAY, relay=True, home=fake.home)
        with opening(one, other) as (mine, theirs):
            check_both_ways(mine.result(10), theirs.result(10))


def test_the_first_bytes_of_a_stream_may_come_with_the_answer() -> None:
    with coordinator(secrets={"s1": {SECRET}}, serve=echo) as fake:
        address = fake.home.url.removeprefix("ws://").replace(":", " ")
        acceptance = upgrade.format_acceptance(proof.acceptance_proof(SECRET, "s1", address))
        fake.answer = acceptance + b"hello " + b"there"
        with opening(end(fake.home)) as (mine,):
            assert receive(mine.result(10), 11) == b"hello there"


def refusal(home: Home) -> str:
    with opening(end(home)) as (mine,), pytest.raises(NoWay) as failure:
        mine.result(10)
    told = failure.value.message
    assert "\n" not in told
    assert SECRET not in told
    return told.removeprefix("no way leads to the other end: direct: ")


def test_a_ticket_is_good_once() -> None:
    with coordinator(secrets={"s1": {SECRET}}, serve=echo) as fake:
        with opening(end(fake.home)) as (mine,):
            mine.result(10)
        assert refusal(fake.home) == "the coordinator refuses (403): this ticket is used or expired: ask for another"


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (upgrade.format_refusal(upgrade.TOO_MANY, "it relays 32 streams"), "the coordinator refuses (429): it relays 32 streams"),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "the coordinator refuses (404): no reason given"),
        (upgrade.format_acceptance("ab" * 32), "{} doesn't prove that it knows this stream"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "{} doesn't prove that it knows this stream"),
        (b"SSH-2.0-OpenSSH\r\n", "{} opens no stream ("),
        (b"", "{} closed the connection without an answer"),
        (b"HTTP/1.1 101 Switching", "{} opens no stream ("),
        (b"HTTP/1.1 101 X\r\n" + b"a" * 10_000, "{} opens no stream ("),
    ],
    ids=["full", "old", "impostor", "no proof", "ssh", "nothing", "half", "long"],
)  # fmt: skip
def test_who_gives_no_stream_is_named_in_one_line(answer: bytes, line: str) -> None:
    with coordinator(secrets={"s1": {SECRET}}, answer=answer) as fake:
        assert refusal(fake.home).startswith(line.format(fake.home.url))


def test_an_answer_can_not_be_passed_on_from_another_port() -> None:
    """A program that listens where the coordinator should, and asks the coordinator in its stead."""
    with coordinator(secrets={"s1": {SECRET}}, serve=echo) as fake, socket.create_server(("127.0.0.1", 0)) as server:
        port = int(fake.home.url.rpartition(":")[2])

        def pass_on() -> None:
            mine, _ = server.accept()
            with mine, socket.create_connection(("127.0.0.1", port)) as theirs:
                theirs.sendall(mine.recv(4_096))
                mine.sendall(theirs.recv(4_096))

        thread = threading.Thread(target=pass_on)
        thread.start()
        assert refusal(Home(f"ws://127.0.0.1:{server.getsockname()[1]}")).startswith("the coordinator refuses (403)")
        thread.join()


def test_another_certificate_is_not_trusted() -> None:
    with coordinator(secrets={"s1": {SECRET}}, serve=echo, tls=True) as fake:
        assert "shows another certificate" in refusal(Home(fake.home.url, "00" * 32))
        assert "is not trusted here" in refusal(Home(fake.home.url))
        assert fake.requests == []


def test_nobody_listens() -> None:
    assert refusal(Home("ws://127.0.0.1:1")).startswith("nothing listens on ws://127.0.0.1:1")
    assert refusal(Home("wss://127.0.0.1:1", "0" * 64)).startswith("nothing listens on wss://127.0.0.1:1")


def test_who_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coordinator_dial, "ANSWER_S", 0.1)
    monkeypatch.setattr(coordinator_dial, "REACH_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert refusal(Home(f"ws://127.0.0.1:{port}")).startswith("no answer")
        told = refusal(Home(f"wss://127.0.0.1:{port}", own_certificate().certificate_hash))
        assert "doesn't answer within" in told


def test_an_end_that_never_comes_is_told() -> None:
    with coordinator(secrets={"s1": {"secret True", "secret False"}}, join_s=0.1) as fake:
        one, _ = pair(via=Via.RELAY, relay=True, home=fake.home)
        one.inbox.put(b"\x81\xa4type\xa5hello")
        with opening(one) as (mine,), pytest.raises(NoWay, match=r"refuses \(504\): the other end doesn't come"):
            mine.result(10)


def test_webrtc_does_not_lead_to_the_coordinator() -> None:
    with opening(end(Home("ws://127.0.0.1:1"), Via.WEBRTC)) as (mine,), pytest.raises(NoWay, match="--via webrtc"):
        mine.result(10)
