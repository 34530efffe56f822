"""Streams by an agent's link: who asks in a thread is answered by the loop."""

import asyncio
import queue
from concurrent.futures import ThreadPoolExecutor

import pytest

from opsconsole_agent.transfer import link_broker as module
from opsconsole_agent.transfer.link_broker import SIGNALS_WAITING_MAX, LinkBroker, Mailbox
from opsconsole_protocol.error import NotFound, Unavailable
from opsconsole_protocol.host.content.session import Summary
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.link import (
    AskForStream,
    Message,
    Signal,
    StopStream,
    StreamEnded,
    StreamGranted,
    StreamRefused,
)
from opsconsole_protocol.stream.error import StreamLost, StreamStopped
from opsconsole_protocol.stream.message import FetchContent, OpenStream, PeerKind, StreamGrant, Way
from tests.waiting import until

TREE = ContentId("ab" * 32)
WANTED = OpenStream(purpose=FetchContent(content_id=TREE))


class Bench:
    """A broker, and what it has sent."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.broker = LinkBroker(self.sent.append)
        self.broker.connected()
        self.threads = ThreadPoolExecutor(4)

    async def asked(self) -> AskForStream:
        """The question that has been sent."""
        await until(lambda: any(isinstance(one, AskForStream) for one in self.sent))
        return next(one for one in self.sent if isinstance(one, AskForStream))

    def ask(self) -> asyncio.Future[tuple[StreamGrant, Mailbox]]:
        """Ask in a thread."""
        return asyncio.get_running_loop().run_in_executor(self.threads, self.broker.ask, WANTED)


@pytest.fixture
async def bench() -> Bench:
    return Bench()


def grant(stream_id: str = "s1") -> StreamGrant:
    return StreamGrant(
        stream_id=stream_id, secret="x", is_initiator=True, purpose=WANTED.purpose, peer=PeerKind.COORDINATOR
    )


async def test_a_stream_is_granted_and_its_signals_arrive(bench: Bench) -> None:
    answer = bench.ask()
    asked = await bench.asked()
    assert asked.open == WANTED
    bench.broker.on_granted(StreamGranted(number=asked.number, grant=grant()))
    bench.broker.on_signal(Signal(stream_id="s1", body=b"early"))  # before the thread has looked
    granted, mailbox = await answer
    assert granted.stream_id == "s1"
    assert mailbox.receive(5) == b"early"
    assert mailbox.receive(0) is None
    mailbox.send(b"hello")
    await until(lambda: Signal(stream_id="s1", body=b"hello") in bench.sent)
    bench.broker.on_signal(Signal(stream_id="s2", body=b"not ours"))
    assert mailbox.receive(0) is None


async def test_a_refusal_is_raised_as_what_it_is(bench: Bench) -> None:
    answer = bench.ask()
    asked = await bench.asked()
    bench.broker.on_refused(StreamRefused(number=asked.number + 1, code="invalid", message="not for us"))
    bench.broker.on_refused(StreamRefused(number=asked.number, code="not_found", message="nobody has it"))
    with pytest.raises(NotFound, match="nobody has it"):
        await answer


async def test_a_lost_link_ends_all_waiting(bench: Bench) -> None:
    answer = bench.ask()
    asked = await bench.asked()
    bench.broker.on_granted(StreamGranted(number=asked.number, grant=grant()))
    _, mailbox = await answer
    second = bench.ask()
    await until(lambda: sum(isinstance(one, AskForStream) for one in bench.sent) == 2)
    hears = asyncio.get_running_loop().run_in_executor(bench.threads, mailbox.receive, 20)
    bench.broker.disconnected()
    with pytest.raises(Unavailable, match="lost"):
        await second
    with pytest.raises(StreamLost):
        await hears
    with pytest.raises(StreamLost):
        mailbox.send(b"x")
    with pytest.raises(Unavailable, match="no connection"):
        await bench.ask()
    bench.broker.on_granted(StreamGranted(number=asked.number, grant=grant()))  # late, and nobody's


async def test_an_end_without_end_of_signals_is_ended(bench: Bench) -> None:
    mailbox = bench.broker.serve("s1")
    for _ in range(SIGNALS_WAITING_MAX + 1):
        bench.broker.on_signal(Signal(stream_id="s1", body=b"x"))
    for _ in range(SIGNALS_WAITING_MAX):
        mailbox.receive(0)
    with pytest.raises(StreamLost):
        mailbox.receive(0)


async def test_what_became_of_a_stream_is_told(bench: Bench) -> None:
    bench.broker.serve("s1")
    bench.broker.ended("s1", Summary(TREE, 100, 60, 3, 1.5), Way.WEBRTC, "", "wrtc")
    expected = StreamEnded(stream_id="s1", way=Way.WEBRTC, engine="wrtc", bytes=60, files=3, milliseconds=1500)
    await until(lambda: expected in bench.sent)
    bench.broker.ended("s2", None, None, "e" * 100_000)
    await until(lambda: len(bench.sent) == 2)
    last = bench.sent[-1]
    assert isinstance(last, StreamEnded)
    assert len(last.error) < 100_000


async def test_a_grant_that_nobody_waits_for_any_more_is_given_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_TIMEOUT_S", 0.01)
    with pytest.raises(Unavailable, match="doesn't answer"):
        await bench.ask()
    bench.broker.on_granted(StreamGranted(number=(await bench.asked()).number, grant=grant()))
    assert bench.sent[-1] == StreamEnded(stream_id="s1", error="it was granted too late")


async def test_a_grant_that_comes_at_the_moment_of_the_time_out_is_taken(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop has it in its hands when the thread stops waiting."""

    class Late(queue.SimpleQueue[object]):
        def get(self, block: bool = True, timeout: float | None = None) -> object:
            if timeout is not None:
                number = next(iter(bench.broker._asked))
                bench.broker.on_granted(StreamGranted(number=number, grant=grant()))
                raise queue.Empty
            return super().get(block, timeout)

    monkeypatch.setattr("opsconsole_agent.transfer.link_broker.queue.SimpleQueue", Late)
    granted, mailbox = await bench.ask()
    assert granted.stream_id == "s1"
    assert mailbox.receive(0) is None


async def test_a_stream_is_stopped_over_the_next_connection_too(bench: Bench) -> None:
    mailbox = bench.broker.serve("s1")
    bench.broker.disconnected()
    with pytest.raises(StreamLost):
        mailbox.receive(0)
    bench.broker.connected()
    bench.broker.on_stop(StopStream(stream_id="s2", reason="another"))
    bench.broker.on_stop(StopStream(stream_id="s1", reason="the credential of ana was revoked"))
    with pytest.raises(StreamStopped, match="ana"):
        mailbox.receive(20)
    bench.broker.release("s1")
    bench.broker.on_stop(StopStream(stream_id="s1", reason="late"))
