"""How two ends come together, or don't: in time, without any server that nobody configured, and with one line."""

import asyncio
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.host.stream.webrtc import engine, engine_fault, engine_names, open_webrtc, opening
from opsconsole_protocol.host.stream.webrtc.aiortc_engine import AiortcChannel, AiortcEngine
from opsconsole_protocol.host.stream.webrtc.association import TunedAssociation
from opsconsole_protocol.host.stream.webrtc.channel import CHANNEL_ID, Engine
from opsconsole_protocol.host.stream.webrtc.rtc_stream import RtcStream
from opsconsole_protocol.stream import signal
from opsconsole_protocol.stream.error import NoWay, StreamCancelled, StreamLost
from opsconsole_protocol.stream.message import IceServer, Way
from opsconsole_protocol.stream.session_description import check_description
from opsconsole_protocol.stream.signal import Failed, RtcAnswer, RtcOffer
from tests.protocol.host.stream.webrtc.fake_engine import BrokenEngine, FakeEngine
from tests.protocol.host.stream.webrtc.signal_pair import QueueSignaller, queue_pair
from tests.waiting import until_sync

ENGINES = [pytest.param(name, id=name) for name in engine_names()]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    until_sync(lambda: not [one for one in threading.enumerate() if one.name.startswith("webrtc-")], 15, "the threads")


def use(monkeypatch: pytest.MonkeyPatch, *those: Engine) -> None:
    monkeypatch.setattr(opening, "engines", lambda: iter(those))


def the_engine(name: str) -> Engine:
    return next(one for one in engine.engines() if one.name == name)


@pytest.mark.parametrize("name", ENGINES)
def test_it_gives_up_when_the_other_end_says_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, the_engine(name))
    signaller = QueueSignaller()
    with pytest.raises(NoWay, match=r"^no WebRTC connection came about within 0\.5 s$"):
        open_webrtc(signaller, True, (), timeout_s=0.5)
    assert isinstance(signal.decode(signaller.said[0]), RtcOffer)


@pytest.mark.parametrize("name", ENGINES)
def test_it_can_be_cancelled(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, the_engine(name))
    cancel, signaller = threading.Event(), QueueSignaller()
    with ThreadPoolExecutor(1) as pool:
        opened = pool.submit(open_webrtc, signaller, True, (), timeout_s=60, cancel=cancel)
        until_sync(lambda: signaller.said, what="the offer")
        cancel.set()
        with pytest.raises(StreamCancelled):
            opened.result(10)


def test_the_other_ends_failure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeEngine())
    signaller = QueueSignaller()
    signaller.inbox.put(signal.encode(Failed(way=Way.RELAY, reason="of another way")))
    signaller.inbox.put(signal.encode(Failed(way=Way.WEBRTC, reason="no engine")))
    with pytest.raises(NoWay, match=r"^the other end says: no engine$"):
        open_webrtc(signaller, True, (), timeout_s=10)


def test_what_the_signaller_raises_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Over(QueueSignaller):
        def receive(self, timeout_s: float) -> bytes | None:
            raise StreamCancelled(f"over, {timeout_s > 0}")

    use(monkeypatch, FakeEngine())
    with pytest.raises(StreamCancelled, match=r"^over, True$"):
        open_webrtc(Over(), False, (), timeout_s=10)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(
    "sdp",
    [
        "",
        "v=0\r\n" * 5000,
        "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=fingerprint:sha-256 00\r\n",
        "m=application x webrtc-datachannel\r\na=fingerprint:sha-256 \r\na=ice-ufrag:\r\na=candidate: x\r\n",
        (
            "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=application 9 DTLS/SCTP 5000 webrtc-datachannel\r\n"
            "a=fingerprint:sha-256 AB\r\na=sctp-port:x\r\na=max-message-size:-1\r\na=setup:both\r\n"
        ),
    ],
    ids=["empty", "long", "bare", "mangled", "of another kind"],
)
def test_a_description_that_none_can_read_is_one_line(name: str, sdp: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, the_engine(name))
    signaller = QueueSignaller()
    signaller.inbox.put(signal.encode(RtcOffer(sdp=sdp)))
    with pytest.raises(NoWay) as refused:
        open_webrtc(signaller, False, (), timeout_s=2)
    assert "\n" not in refused.value.message


def test_an_engine_that_can_do_nothing_gives_way_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, BrokenEngine(), FakeEngine())
    with pytest.raises(NoWay, match="came about within"):
        open_webrtc(QueueSignaller(), True, (), timeout_s=0.1)
    use(monkeypatch, BrokenEngine())
    with pytest.raises(NoWay, match=r"^the WebRTC engine broken has failed"):
        open_webrtc(QueueSignaller(), True, (), timeout_s=0.1)


def test_a_broken_installation_is_named_and_does_not_stop_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    room = "opsconsole_protocol.host.stream.webrtc.wrtc_engine"
    engine._native.cache_clear()
    try:
        with monkeypatch.context() as broken:
            broken.delitem(sys.modules, room, raising=False)
            broken.setitem(sys.modules, "webrtc", ModuleType("webrtc"))
            assert engine_names() == ("aiortc",)
            assert engine_fault().startswith("wrtc can't be loaded (ImportError), so aiortc is used")
            assert [one.name for one in engine.engines()] == ["aiortc"]
        engine._native.cache_clear()
        with monkeypatch.context() as missing:
            missing.delitem(sys.modules, room, raising=False)
            missing.setitem(sys.modules, "webrtc", None)
            assert engine_names() == ("aiortc",)
            assert engine_fault() == ""
    finally:
        engine._native.cache_clear()


class Silent:
    """A listener that only notes why it ended."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def on_open(self) -> None: ...
    def on_message(self, message: bytes) -> None: ...
    def on_room(self) -> None: ...
    def on_end(self, reason: str) -> None:
        self.reasons.append(reason)


@pytest.mark.parametrize("name", ENGINES)
async def test_without_servers_only_addresses_of_this_machine_are_offered(name: str) -> None:
    channel = the_engine(name).channel(Silent(), ())
    try:
        offer = check_description(await channel.offer())
    finally:
        await channel.close()
    kinds = {line.split(" typ ")[1].split()[0] for line in offer.splitlines() if line.startswith("a=candidate:")}
    assert kinds <= {"host"}


async def test_no_server_of_aiortcs_own_choice_is_asked() -> None:
    channel = AiortcChannel(Silent(), ())
    try:
        assert channel._connection.sctp is not None
        gatherer = channel._connection.sctp.transport.transport._connection
        assert gatherer.stun_server is None
        assert gatherer.turn_server is None
    finally:
        await channel.close()


@pytest.mark.parametrize("name", ENGINES)
async def test_an_address_of_a_server_that_is_none_is_refused(name: str) -> None:
    with pytest.raises((InvalidRequest, ValueError)):
        the_engine(name).channel(Silent(), (IceServer(url="http://example.org"),))


async def test_this_version_of_aiortc_can_be_tuned() -> None:
    channel = AiortcChannel(Silent(), ())
    try:
        assert type(channel._connection.sctp) is TunedAssociation
    finally:
        await channel.close()


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(
    ("deed", "reason"), [("text", "sends text"), ("channel", "opens a channel that nobody asked for")]
)
async def test_a_peer_that_does_something_else_is_cut_off(
    name: str, deed: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, the_engine(name))
    ours, theirs = queue_pair()
    opened = asyncio.get_running_loop().run_in_executor(None, lambda: open_webrtc(ours, True, (), timeout_s=20))
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        channel = peer.createDataChannel("any", negotiated=True, id=CHANNEL_ID)
        is_open = asyncio.Event()
        channel.on("open", is_open.set)
        offer = await asyncio.get_running_loop().run_in_executor(None, theirs.receive, 10.0)
        assert offer is not None
        said = signal.decode(offer)
        assert isinstance(said, RtcOffer)
        await peer.setRemoteDescription(RTCSessionDescription(said.sdp, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        theirs.send(signal.encode(RtcAnswer(sdp=peer.localDescription.sdp)))
        stream = await opened
        assert isinstance(stream, RtcStream)
        await is_open.wait()
        if deed == "text":
            channel.send("hello")
        else:
            peer.createDataChannel("another").on("open", lambda: None)
        with pytest.raises(StreamLost, match=reason):
            await asyncio.get_running_loop().run_in_executor(None, stream.receive_into, bytearray(1))
        stream.close()
        assert stream.join(10)
    finally:
        await peer.close()


def test_the_plain_engine_is_the_last_one() -> None:
    assert isinstance(list(engine.engines())[-1], AiortcEngine)
