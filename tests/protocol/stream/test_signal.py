"""Signals: what is written is read, and what can't be meant is refused in one line. Noise: tests/fuzz."""

import msgspec
import pytest

from opsconsole_protocol.error import ProtocolError
from opsconsole_protocol.stream import signal
from opsconsole_protocol.stream.message import MARK_CHARACTERS_MAX, SIGNAL_BYTES_MAX, Way
from opsconsole_protocol.stream.signal import (
    AnySignal,
    DialBack,
    Failed,
    Hello,
    Listen,
    Listening,
    RelayNow,
    RtcAnswer,
    RtcOffer,
)

HASH = "ab" * 32
LISTENING = Listening(addresses=("192.168.1.5", "2001:db8::1"), port=4000, certificate_hash=HASH)


@pytest.mark.parametrize(
    "said",
    [
        Hello(), Hello(place=HASH, engines=("wrtc", "aiortc"), life="5c1e"), Listen(), LISTENING, DialBack(listening=LISTENING),
        Listening(addresses=("127.0.0.1",), port=1, certificate_hash=""), RelayNow(), RtcOffer(sdp="v=0\r\n"),
        RtcAnswer(sdp="v=0"), Failed(way=Way.RELAY, reason="it is full"),
    ],
)  # fmt: skip
def test_what_is_said_is_heard(said: AnySignal) -> None:
    assert signal.decode(signal.encode(said)) == said


@pytest.mark.parametrize(
    "said",
    [
        Listening(addresses=("lab.example",), port=1, certificate_hash=HASH),
        Listening(addresses=("127.0.0.1",), port=1, certificate_hash=HASH),
        Listening(addresses=("::1",), port=1, certificate_hash=HASH),
        Listening(addresses=("192.168.1.5",), port=1, certificate_hash=""),
        Listening(addresses=("192.168.1.5", "224.0.0.1"), port=1, certificate_hash=HASH),
        Listening(addresses=("0.0.0.0",), port=1, certificate_hash=HASH),  # noqa: S104 - refused
        DialBack(listening=Listening(addresses=("::",), port=1, certificate_hash=HASH)),
        Listening(addresses=(), port=1, certificate_hash=HASH),
        Listening(addresses=("10.0.0.1",) * (signal.ADDRESSES_MAX + 1), port=1, certificate_hash=HASH),
        Listening(addresses=("10.0.0.1",), port=0, certificate_hash=HASH),
        Listening(addresses=("10.0.0.1",), port=65_536, certificate_hash=HASH),
        Listening(addresses=("10.0.0.1",), port=1, certificate_hash="xyz"),
        Hello(engines=("x",) * (signal.ENGINES_MAX + 1)),
        Hello(place="x" * (MARK_CHARACTERS_MAX + 1)),
        Hello(life="x" * (MARK_CHARACTERS_MAX + 1)),
        RtcOffer(sdp="x" * (signal.SDP_CHARACTERS_MAX + 1)),
        Failed(way=Way.RELAY, reason="x" * 2_001),
    ],
)
def test_what_cannot_be_meant_is_refused(said: AnySignal) -> None:
    with pytest.raises(ProtocolError, match=r"^[^\n]+$"):
        signal.decode(msgspec.msgpack.encode(said))


def test_a_long_signal_is_neither_sent_nor_taken() -> None:
    with pytest.raises(ProtocolError):
        signal.encode(RtcOffer(sdp="é" * signal.SDP_CHARACTERS_MAX))
    with pytest.raises(ProtocolError):
        signal.decode(b"\x00" * (SIGNAL_BYTES_MAX + 1))


def test_the_reason_of_the_other_end_is_one_line() -> None:
    said = signal.decode(signal.encode(Failed(way=Way.DIRECT, reason="no\nroute\x1b ")))
    assert said == Failed(way=Way.DIRECT, reason="no route\x1b")
