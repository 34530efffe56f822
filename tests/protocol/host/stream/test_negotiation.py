"""Two ends come to a stream, by whichever way works, or are told in one line why not."""

import socket

import psutil
import pytest

from opsconsole_protocol.host.stream import direct, initiator, place, responder, rtc
from opsconsole_protocol.host.stream.conversation import Conversation
from opsconsole_protocol.host.stream.stream import SocketStream, Stream
from opsconsole_protocol.host.stream.webrtc import engine_names
from opsconsole_protocol.stream import signal
from opsconsole_protocol.stream.error import NoWay, StreamCancelled, StreamLost
from opsconsole_protocol.stream.message import Failure, StreamGrant, Via, Way
from opsconsole_protocol.stream.proof import place_mark
from opsconsole_protocol.stream.signal import DialBack, Failed, Hello, Listening, RtcOffer
from tests.protocol.host.stream.fake_coordinator import coordinator
from tests.protocol.host.stream.lab import End, check_both_ways, opening, pair
from tests.waiting import until_sync


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """WebRTC has its own tests; without an engine it isn't tried."""
    monkeypatch.setattr(rtc, "engine_names", lambda: ())


@pytest.fixture
def two_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two ends take each other for different machines, so that they speak TLS."""
    places = iter(f"machine {number}" for number in range(100))
    for module in (initiator, responder):
        monkeypatch.setattr(module, "own_place", lambda: next(places))
    if not place.own_addresses():
        pytest.skip("this machine has no address but its loopback")


def said(end: End, kind: type) -> list[signal.AnySignal]:
    return [one for one in map(signal.decode, end.said) if isinstance(one, kind)]


def test_on_one_machine_it_is_direct_and_plain() -> None:
    one, other = pair()
    with opening(one, other) as (mine, theirs):
        check_both_ways(mine.result(10), theirs.result(10))
        assert mine.result().way is theirs.result().way is Way.DIRECT
    assert one.lines == ["direct: connected to gpu-3 (both ends are on one machine)"]
    assert other.lines == ["direct: connected to gpu-3"]
    (where,) = said(other, Listening)
    assert isinstance(where, Listening)
    assert where.addresses == ("127.0.0.1",)
    assert not where.certificate_hash


@pytest.mark.usefixtures("two_machines")
def test_between_machines_it_is_direct_with_tls() -> None:
    one, other = pair()
    with opening(one, other) as (mine, theirs):
        check_both_ways(mine.result(10), theirs.result(10))
    assert one.lines == ["direct: connected to gpu-3 (nothing lies between)"]
    (where,) = said(other, Listening)
    assert isinstance(where, Listening)
    assert "127.0.0.1" not in where.addresses
    assert len(where.certificate_hash) == 64


@pytest.mark.usefixtures("two_machines")
def test_where_the_other_end_is_not_reached_it_dials_back() -> None:
    one, other = pair()

    def elsewhere(body: bytes) -> bytes:
        heard = signal.decode(body)
        return signal.encode(Failed(way=Way.DIRECT, reason="no port")) if isinstance(heard, Listening) else body

    other.filter = elsewhere
    with opening(one, other) as (mine, theirs):
        check_both_ways(mine.result(10), theirs.result(10))
    assert len(said(one, DialBack)) == 1
    assert one.lines == ["direct: connected to gpu-3 (nothing lies between)"]


@pytest.mark.usefixtures("two_machines")
def test_where_nobody_is_reached_the_coordinator_joins_both() -> None:
    with coordinator(secrets={"s1": {"secret True", "secret False"}}) as fake:
        one, other = pair(relay=True, home=fake.home)
        unreachable(one, other)
        with opening(one, other) as (mine, theirs):
            check_both_ways(mine.result(20), theirs.result(20))
            assert mine.result().way is theirs.result().way is Way.RELAY
    first, second = one.lines
    assert first.startswith("direct doesn't work: ")
    assert "Connection refused" in first
    assert "; the other way round: " in first
    assert second == "relay: connected to gpu-3 (the coordinator joins both ends)"
    assert [failure.way for failure in one.experience.failed] == [Way.DIRECT]


def unreachable(*ends: End) -> None:
    """Each tells the other a port on which nobody listens."""

    def moved(body: bytes) -> bytes:
        match signal.decode(body):
            case Listening() as where:
                return signal.encode(elsewhere(where))
            case DialBack(listening=where):
                return signal.encode(DialBack(listening=elsewhere(where)))
            case _:
                return body

    def elsewhere(where: Listening) -> Listening:
        return Listening(addresses=where.addresses[:1], port=1, certificate_hash=where.certificate_hash)

    for end in ends:
        end.filter = moved


def test_what_failed_before_is_tried_last() -> None:
    with coordinator(secrets={"s1": {"secret True", "secret False"}}) as fake:
        one, other = pair(relay=True, home=fake.home, failed=(Failure(Way.DIRECT, "it broke"),))
        with opening(one, other) as (mine, theirs):
            check_both_ways(mine.result(10), theirs.result(10))
    assert one.lines == ["relay: connected to gpu-3 (the coordinator joins both ends)"]
    assert said(other, Listening) == []


def test_a_way_that_is_asked_for_is_the_only_one() -> None:
    with coordinator(secrets={"s1": {"secret True", "secret False"}}) as fake:
        one, other = pair(relay=True, via=Via.RELAY, home=fake.home)
        with opening(one, other) as (mine, theirs):
            check_both_ways(mine.result(10), theirs.result(10))
    assert one.lines == ["relay: connected to gpu-3 (asked for by --via)"]


@pytest.mark.parametrize(
    ("via", "line"),
    [
        (Via.RELAY, "--via relay: this coordinator doesn't relay; choose another way, or leave --via out"),
        (Via.WEBRTC, "--via webrtc: this machine has no engine for WebRTC; choose another way, or leave --via out"),
    ],
)
def test_a_way_that_cannot_be_is_refused_in_one_line(via: Via, line: str) -> None:
    one, other = pair(via=via)
    with opening(one, other) as (mine, _):
        with pytest.raises(NoWay) as failure:
            mine.result(10)
        assert failure.value.message == line


def test_where_no_way_leads_there_every_reason_is_told() -> None:
    one, other = pair(relay=True)
    unreachable(one, other)
    with opening(one, other) as (mine, _), pytest.raises(NoWay) as failure:
        mine.result(10)
    told = failure.value.message
    assert told.startswith("no way leads to gpu-3: direct: 127.0.0.1 port 1: Connection refused; relay: ")
    assert "nothing listens on" in told
    assert told.endswith("webrtc: this machine has no engine for WebRTC")
    assert [failure.way for failure in one.experience.failed] == [Way.DIRECT, Way.RELAY]


def test_both_are_ended_by_a_cancel() -> None:
    one, other = pair()
    other.filter = lambda _: None
    with opening(one, other) as (mine, theirs):
        for end in (one, other):
            end.cancel.set()
        for future in (mine, theirs):
            with pytest.raises(StreamCancelled):
                future.result(5)


def test_both_are_ended_by_the_coordinator() -> None:
    one, other = pair()
    other.filter = lambda _: None
    with opening(one, other) as (mine, theirs):
        for end in (one, other):
            end.inbox.put(None)
        for future in (mine, theirs):
            with pytest.raises(StreamLost, match="has ended"):
                future.result(5)


def test_an_end_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initiator, "HELLO_S", 0.1)
    monkeypatch.setattr(responder, "NEXT_S", 0.1)
    one, other = pair()
    with opening(one) as (mine,), pytest.raises(NoWay, match=r"gpu-3 doesn't answer within 0\.1 s"):
        mine.result(5)
    with opening(other) as (theirs,), pytest.raises(NoWay, match="gpu-3 has taken no way"):
        theirs.result(5)


def test_an_initiator_that_talks_and_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responder, "OPENING_S", 0.3)
    _, other = pair()
    other.filter = lambda _: other.inbox.put(signal.encode(Hello()))
    other.inbox.put(signal.encode(Hello()))
    with opening(other) as (theirs,), pytest.raises(NoWay, match=r"gpu-3 has taken no way|more than 64 things"):
        theirs.result(5)


@pytest.mark.parametrize("body", [b"", b"\xff" * 100, b"\x00" * 70_000], ids=["empty", "noise", "long"])
def test_an_end_that_tells_nonsense_is_given_up(body: bytes) -> None:
    one, other = pair()
    for end in (one, other):
        end.inbox.put(body)
    with opening(one, other) as futures:
        for future in futures:
            with pytest.raises(NoWay, match=r"^the other end tells what is not understood: [^\n]+$"):
                future.result(5)


def test_an_end_that_never_ends_talking_is_given_up() -> None:
    one, other = pair()
    for _ in range(100):
        other.inbox.put(signal.encode(Failed(way=Way.RELAY, reason="x")))
        one.inbox.put(signal.encode(Failed(way=Way.RELAY, reason="x")))
    with opening(one) as (mine,), pytest.raises(NoWay, match="more than 64 things"):
        mine.result(5)
    with opening(other) as (theirs,), pytest.raises(NoWay, match="more than 64 things"):
        theirs.result(5)


def test_an_end_that_asks_to_listen_again_and_again_has_one_listener() -> None:
    _, other = pair()
    other.inbox.put(signal.encode(Hello(place=place_mark("shared", place.own_place()))))
    for _ in range(20):
        other.inbox.put(signal.encode(signal.Listen()))
    with opening(other):
        until_sync(lambda: len(said(other, Listening)) == 20)
        ports = [one.port for one in said(other, Listening) if isinstance(one, Listening)]
        until_sync(lambda: [port for port in ports if port in own_ports()] == ports[-1:])


def own_ports() -> set[int]:
    """The ports on which this process listens: others may be given a port that was just let go of here."""
    own = psutil.Process().net_connections("tcp")
    return {one.laddr.port for one in own if one.status == psutil.CONN_LISTEN}


def test_what_the_responder_cannot_do_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(direct, "_server", full)
    one, other = pair(via=Via.DIRECT)
    with opening(one, other) as (mine, _), pytest.raises(NoWay, match=r"it doesn't listen: it can't listen \(Too many"):
        mine.result(10)


def test_engines_are_looked_for_only_where_they_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def look() -> tuple[str, ...]:
        looked.append("engines")
        return ()

    monkeypatch.setattr(rtc, "engine_names", look)
    one, other = pair()
    with opening(one, other) as (mine, theirs):
        check_both_ways(mine.result(10), theirs.result(10))
    assert looked == []


@pytest.mark.parametrize("engines", [("wrtc", "aiortc"), ("aiortc",)])
def test_webrtc_comes_before_the_relay_where_it_is_fast(
    monkeypatch: pytest.MonkeyPatch, engines: tuple[str, ...]
) -> None:
    left, right = (SocketStream(sock, Way.WEBRTC) for sock in socket.socketpair())

    def open_rtc(grant: StreamGrant, conversation: Conversation, *offer: RtcOffer, **_: object) -> Stream:
        """As an engine does: the offer goes over, the answer comes back."""
        signals = rtc.RtcSignaller(conversation, *(offer or (None,)))
        if grant.is_initiator:
            signals.send(signal.encode(signal.RtcOffer(sdp="offer")))
            until_sync(lambda: signals.receive(0.05) == signal.encode(signal.RtcAnswer(sdp="answer")))
            return left
        assert signals.receive(1.0) == signal.encode(signal.RtcOffer(sdp="offer"))
        signals.send(signal.encode(signal.RtcAnswer(sdp="answer")))
        return right

    monkeypatch.setattr(rtc, "engine_names", lambda: engines)
    monkeypatch.setattr(rtc, "open_stream", open_rtc)
    with coordinator(secrets={"s1": {"secret True", "secret False"}}) as fake:
        one, other = pair(relay=True, home=fake.home, failed=(Failure(Way.DIRECT, "it broke"),))
        with opening(one, other) as (mine, theirs):
            check_both_ways(mine.result(10), theirs.result(10))
            assert mine.result().way is (Way.WEBRTC if len(engines) == 2 else Way.RELAY)
    left.close()
    right.close()


def test_a_webrtc_that_fails_at_one_end_is_followed_by_the_next_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_rtc(grant: StreamGrant, conversation: Conversation, *offer: RtcOffer, **_: object) -> Stream:
        signals = rtc.RtcSignaller(conversation, *(offer or (None,)))
        if not grant.is_initiator:
            raise NoWay("no candidates")
        signals.send(signal.encode(signal.RtcOffer(sdp="offer")))
        while True:
            signals.receive(1.0)

    monkeypatch.setattr(rtc, "engine_names", lambda: ("wrtc", "aiortc"))
    monkeypatch.setattr(rtc, "open_stream", open_rtc)
    with coordinator(secrets={"s1": {"secret True", "secret False"}}) as fake:
        one, other = pair(relay=True, home=fake.home, failed=(Failure(Way.DIRECT, "it broke"),))
        with opening(one, other) as (mine, theirs):
            check_both_ways(mine.result(10), theirs.result(10))
    assert one.lines == [
        "webrtc doesn't work: the other end says: no candidates",
        "relay: connected to gpu-3 (the coordinator joins both ends)",
    ]


def test_an_initiator_that_goes_another_way_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The responder is still busy with WebRTC when the initiator has given it up."""

    def open_rtc(grant: StreamGrant, conversation: Conversation, *offer: RtcOffer, **_: object) -> Stream:
        signals = rtc.RtcSignaller(conversation, *(offer or (None,)))
        if grant.is_initiator:
            signals.send(signal.encode(signal.RtcOffer(sdp="offer")))
            raise NoWay("no candidates")
        while True:
            signals.receive(1.0)

    monkeypatch.setattr(rtc, "engine_names", lambda: ("wrtc", "aiortc"))
    monkeypatch.setattr(rtc, "open_stream", open_rtc)
    with coordinator(secrets={"s1": {"secret True", "secret False"}}) as fake:
        one, other = pair(relay=True, home=fake.home, failed=(Failure(Way.DIRECT, "it broke"),))
        with opening(one, other) as (mine, theirs):
            check_both_ways(mine.result(10), theirs.result(10))


@pytest.mark.parametrize("via", [Via.WEBRTC, Via.AUTO])
def test_real_engines_meet(monkeypatch: pytest.MonkeyPatch, via: Via) -> None:
    monkeypatch.undo()
    failed = (Failure(Way.DIRECT, "it broke"),)
    one, other = pair(via=via, failed=failed)
    with opening(one, other) as (mine, theirs):
        check_both_ways(mine.result(30), theirs.result(30))
        assert mine.result().way is Way.WEBRTC
        best = engine_names()[0]
        assert (mine.result().engine, theirs.result().engine) == (best, best)
    assert f"webrtc with {best}: connected to gpu-3" in one.lines[-1]
