"""A stream that stands is ended when the coordinator says so, and not when the link to it is lost."""

import socket
import threading
from collections.abc import Iterator

import pytest

from opsconsole_protocol.host.stream import stoppable_stream
from opsconsole_protocol.host.stream.stoppable_stream import StoppableStream
from opsconsole_protocol.host.stream.stream import SocketStream
from opsconsole_protocol.stream.error import StreamCancelled, StreamLost, StreamStopped
from opsconsole_protocol.stream.message import Way
from tests.protocol.host.stream.lab import opening, pair

WAIT_S = 20.0


class Link:
    """A Signaller that says what it was given to say, once each, then nothing."""

    def __init__(self, *said: Exception) -> None:
        self._said = list(said)
        self.heard = threading.Semaphore(0)

    def send(self, body: bytes) -> None:
        raise AssertionError(body)

    def receive(self, timeout_s: float) -> bytes | None:
        self.heard.release()
        if self._said:
            raise self._said.pop(0)
        threading.Event().wait(min(timeout_s, 0.01))
        return None


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[StoppableStream, SocketStream]]:
    monkeypatch.setattr(stoppable_stream, "AGAIN_S", 0.01)
    near, far = (SocketStream(one, Way.DIRECT) for one in socket.socketpair())
    stream = StoppableStream(near)
    yield stream, far
    stream.close()
    far.close()


def watching(stream: StoppableStream, link: Link) -> threading.Thread:
    thread = threading.Thread(target=stream.watch, args=(link,))
    thread.start()
    return thread


def test_whoever_waits_in_it_is_told_why_and_the_other_end_sees_it_end(
    ends: tuple[StoppableStream, SocketStream],
) -> None:
    stream, far = ends
    thread = watching(stream, Link(StreamLost("the link is lost"), StreamStopped("the credential of a was revoked")))
    with pytest.raises(StreamStopped, match="the credential of a was revoked"):
        stream.receive_into(bytearray(1))
    with pytest.raises(StreamStopped, match="the credential of a was revoked"):
        stream.send(b"x")
    assert far.receive_into(bytearray(1)) == 0
    thread.join(WAIT_S)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    "error", [StreamLost("the link is lost"), StreamCancelled("cancelled")], ids=["lost", "cancelled"]
)
def test_a_lost_link_ends_nothing(ends: tuple[StoppableStream, SocketStream], error: Exception) -> None:
    stream, far = ends
    link = Link(error)
    thread = watching(stream, link)
    assert link.heard.acquire(timeout=WAIT_S)
    stream.send(b"x")
    assert far.receive_into(bytearray(1)) == 1
    stream.close()
    with pytest.raises(StreamLost):
        stream.send(b"x")
    thread.join(WAIT_S)
    assert not thread.is_alive()


@pytest.mark.parametrize("stopped", [0, 1], ids=["initiator", "responder"])
def test_either_end_of_a_direct_stream_hears_it(stopped: int) -> None:
    ends = pair()
    with opening(*ends) as opened:
        stream, other = opened[stopped].result(WAIT_S), opened[1 - stopped].result(WAIT_S)
        assert stream.way is Way.DIRECT
        ends[stopped].inbox.put(StreamStopped("the credential of ana was revoked"))
        with pytest.raises(StreamStopped, match="ana"):
            stream.receive_into(bytearray(1))
        assert other.receive_into(bytearray(1)) == 0
        stream.close()
        other.close()
