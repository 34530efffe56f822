"""Whatever the other end tells, in whatever order: an end comes to nothing, in one line and in time, or to a stream."""

import contextlib
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsconsole_protocol.host.stream import direct, greeting, initiator, rtc
from opsconsole_protocol.host.stream.stream import Stream
from opsconsole_protocol.stream import signal
from opsconsole_protocol.stream.error import NoWay, StreamLost
from opsconsole_protocol.stream.message import Via, Way
from tests.fuzz.mutation import REPEATABLE, anything
from tests.protocol.host.stream.lab import opening, pair

_WHERE = st.builds(
    signal.Listening,
    addresses=st.lists(st.just("127.0.0.1"), min_size=1, max_size=3).map(tuple),
    port=st.sampled_from([1, 2, 65_535]),
    certificate_hash=st.just(""),
)
_SIGNALS = st.one_of(
    st.builds(
        signal.Hello, place=st.sampled_from(["", "ab" * 32]), engines=st.just(("x",)), asks_engines=st.booleans()
    ),
    st.just(signal.Listen()),
    _WHERE,
    st.builds(signal.DialBack, listening=_WHERE),
    st.just(signal.RelayNow()),
    st.builds(signal.RtcOffer, sdp=st.text(max_size=20)),
    st.builds(signal.RtcAnswer, sdp=st.text(max_size=20)),
    st.builds(signal.Failed, way=st.sampled_from(Way), reason=st.text(max_size=20)),
)
_SAMPLES = (signal.encode(signal.Hello()), signal.encode(signal.Listen()), signal.encode(signal.RelayNow()))
_BODIES = st.lists(st.one_of(*([_SIGNALS.map(signal.encode)] * 6), anything(_SAMPLES)), max_size=12)
_MANY = settings(
    REPEATABLE,
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_engine(*_: object, **__: object) -> Stream:
        raise NoWay("no engine")

    monkeypatch.setattr(rtc, "engine_names", lambda: ("x",))
    monkeypatch.setattr(rtc, "open_stream", no_engine)
    for name in ("HELLO_S", "LISTENING_S", "DIAL_S", "DIAL_BACK_S", "RELAY_S"):
        monkeypatch.setattr(initiator, name, 0.05)
    monkeypatch.setattr(direct, "CONNECT_S", 0.05)
    monkeypatch.setattr(greeting, "GREETING_S", 0.05)


@_MANY
@given(bodies=_BODIES, via=st.sampled_from(Via), relay=st.booleans())
def test_a_hostile_responder(bodies: list[bytes], via: Via, relay: bool) -> None:
    one, _ = pair(via=via, relay=relay)
    for body in bodies:
        one.inbox.put(body)
    with opening(one) as (mine,), pytest.raises((NoWay, StreamLost)) as failure:
        mine.result(20)
    assert "\n" not in failure.value.message
    assert len(failure.value.message) <= 2_000


@_MANY
@given(bodies=_BODIES)
def test_a_hostile_initiator(bodies: list[bytes]) -> None:
    _, other = pair()
    for body in bodies:
        other.inbox.put(body)
    other.inbox.put(None)
    with opening(other) as (theirs,), pytest.raises((NoWay, StreamLost)) as failure:
        theirs.result(20)
    assert "\n" not in failure.value.message


def test_nothing_is_left_behind() -> None:
    """After all that, no thread waits for anybody any more."""
    with contextlib.suppress(NoWay):
        one, _ = pair(via=Via.DIRECT)
        with opening(one) as (mine,):
            mine.result(20)
    for thread in threading.enumerate():
        if thread.name.startswith("stream "):
            thread.join(10)
            assert not thread.is_alive(), thread.name
