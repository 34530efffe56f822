"""A stream over a data channel, without a network below: it presses back, ends in order, and refuses what no peer sends."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from opsconsole_protocol.host.stream.webrtc import pump
from opsconsole_protocol.host.stream.webrtc.rtc_stream import PAIR_BYTES, EngineFailed, RtcStream
from opsconsole_protocol.stream.channel_flow import DONE_MESSAGE, END_MESSAGE, MESSAGE_BYTES_MAX, WINDOW_BYTES
from opsconsole_protocol.stream.error import StreamLost
from tests.protocol.host.stream.webrtc.fake_engine import BrokenEngine, FakeChannel, FakeEngine
from tests.waiting import until_sync

DATA = b"\x00"


@pytest.fixture
def worker() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def pair() -> Iterator[tuple[RtcStream, RtcStream]]:
    """Two streams that are each other's other end."""
    engine = FakeEngine()
    streams = RtcStream(engine, ()), RtcStream(engine, ())
    one, two = engine.channels
    one.other, two.other = two, one
    one.open()
    two.open()
    yield streams
    for stream in streams:
        stream.abandon()
    assert all(stream.join(10) for stream in streams), "a thread is left"


@pytest.fixture
def alone() -> Iterator[tuple[RtcStream, FakeChannel]]:
    """A stream whose other end is the test."""
    engine = FakeEngine()
    stream = RtcStream(engine, ())
    engine.channels[0].open()
    yield stream, engine.channels[0]
    stream.abandon()
    assert stream.join(10)


def read(stream: RtcStream, count: int) -> bytes:
    """Read so much, or up to the end."""
    found, view = bytearray(), memoryview(bytearray(300_000))
    while len(found) < count and (size := stream.receive_into(view[: count - len(found)])):
        found += view[:size]
    return bytes(found)


def test_bytes_travel_both_ways(pair: tuple[RtcStream, RtcStream], worker: ThreadPoolExecutor) -> None:
    one, two = pair
    there, back = bytes(range(256)) * 40_000, b"back" * 500_000
    sent = worker.submit(one.send, there), worker.submit(two.send, back)
    got = worker.submit(read, one, len(back))
    assert read(two, len(there)) == there
    assert got.result(30) == back
    for one_sent in sent:
        one_sent.result(30)


def test_who_sends_waits_for_who_reads(pair: tuple[RtcStream, RtcStream], worker: ThreadPoolExecutor) -> None:
    one, two = pair
    done = 0

    def send() -> None:
        nonlocal done
        for _ in range(64):
            one.send(bytes(1024 * 1024))
            done += 1

    sending = worker.submit(send)
    bound = WINDOW_BYTES + 4 * PAIR_BYTES
    until_sync(lambda: one._pump is not None and one._pump._flow.room_bytes == 0, what="a full window")
    assert not sending.done()
    assert done * 1024 * 1024 <= bound
    assert two._pump is not None
    assert sum(map(len, two._pump._incoming)) <= WINDOW_BYTES
    assert len(read(two, 64 * 1024 * 1024)) == 64 * 1024 * 1024
    sending.result(30)


def test_it_waits_while_the_engine_has_enough_to_send(
    alone: tuple[RtcStream, FakeChannel], worker: ThreadPoolExecutor
) -> None:
    stream, channel = alone
    channel.buffered_bytes = pump.BUFFERED_BYTES_MAX
    sending = worker.submit(stream.send, bytes(3 * MESSAGE_BYTES_MAX))
    sending.result(10)  # the pair holds it
    assert not channel.sent
    channel.buffered_bytes = 0
    channel.loop.call_soon_threadsafe(channel.listener.on_room)
    until_sync(lambda: sum(map(len, channel.sent)) >= 3 * MESSAGE_BYTES_MAX, what="the messages")
    assert max(map(len, channel.sent)) <= 1 + MESSAGE_BYTES_MAX


def test_the_last_bytes_arrive_although_the_sender_closes_at_once(pair: tuple[RtcStream, RtcStream]) -> None:
    one, two = pair
    one.send(b"last words")
    one.close()
    assert read(two, 100) == b"last words"
    two.close()
    assert one.join(10)
    assert two.join(10)


def test_an_end_that_has_said_all_can_still_read(pair: tuple[RtcStream, RtcStream]) -> None:
    one, two = pair
    one.send(b"question")
    one.end()
    assert read(two, 100) == b"question"
    two.send(b"answer")
    two.end()
    assert read(one, 100) == b"answer"
    assert one.receive_into(bytearray(1)) == 0
    one.close()
    two.close()


def test_closing_wakes_who_waits_for_bytes(pair: tuple[RtcStream, RtcStream], worker: ThreadPoolExecutor) -> None:
    one, _two = pair
    began = threading.Event()

    def wait() -> None:
        began.set()
        one.receive_into(bytearray(1))

    waiting = worker.submit(wait)
    began.wait(10)
    one.close()
    with pytest.raises(StreamLost, match="closed at this end"):
        waiting.result(10)


def test_a_reader_that_closes_ends_who_sends(pair: tuple[RtcStream, RtcStream], worker: ThreadPoolExecutor) -> None:
    one, two = pair

    def send() -> None:
        while True:
            one.send(bytes(100_000))

    sending: Future[None] = worker.submit(send)
    assert read(two, 1_000_000) == bytes(1_000_000)
    two.close()
    with pytest.raises(StreamLost, match="the other end has closed the stream"):
        sending.result(30)


def test_the_end_of_the_connection_wakes_both_with_the_reason(
    alone: tuple[RtcStream, FakeChannel], worker: ThreadPoolExecutor
) -> None:
    stream, channel = alone
    reading = worker.submit(stream.receive_into, bytearray(1))
    sending = worker.submit(stream.send, bytes(WINDOW_BYTES + 8 * PAIR_BYTES))
    channel.break_off("no connection holds between the two ends")
    for waiting in (reading, sending):
        with pytest.raises(StreamLost, match="no connection holds"):
            waiting.result(10)
    assert channel.was_closed.wait(10)


def test_what_had_arrived_can_be_read_after_the_connection_is_lost(alone: tuple[RtcStream, FakeChannel]) -> None:
    stream, channel = alone
    channel.hear(DATA + b"abc")
    channel.break_off("gone")
    assert stream.join(10)
    assert read(stream, 3) == b"abc"
    with pytest.raises(StreamLost, match="gone"):
        stream.receive_into(bytearray(1))


@pytest.mark.parametrize("size", [1, MESSAGE_BYTES_MAX, 256 * 1024, WINDOW_BYTES])
def test_messages_of_any_size_are_taken(alone: tuple[RtcStream, FakeChannel], size: int) -> None:
    stream, channel = alone
    channel.hear(DATA + bytes(size))
    channel.hear(END_MESSAGE)
    assert len(read(stream, size + 1)) == size


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([b"\x09"], "none of a stream's"),
        ([b""], "none of a stream's"),
        ([DATA + bytes(WINDOW_BYTES), DATA + bytes(WINDOW_BYTES)], "faster than it may"),
        ([END_MESSAGE, DATA + b"x"], "there is no more"),
        ([b"\x01" + (1).to_bytes(8)], "read what nobody sent"),
    ],
    ids=["a kind that isn't", "an empty one", "too much", "after the end", "a false receipt"],
)
def test_a_peer_that_lies_is_cut_off(alone: tuple[RtcStream, FakeChannel], messages: list[bytes], reason: str) -> None:
    stream, channel = alone
    for message in messages:
        channel.hear(message)
    assert stream.join(10)
    assert channel.was_closed.is_set()
    with pytest.raises(StreamLost, match=reason):
        stream.send(bytes(10 * PAIR_BYTES))
    if END_MESSAGE not in messages:
        with pytest.raises(StreamLost, match=reason):
            read(stream, 2 * WINDOW_BYTES)


def test_a_silent_other_end_is_gone(alone: tuple[RtcStream, FakeChannel], monkeypatch: pytest.MonkeyPatch) -> None:
    stream, channel = alone
    until_sync(lambda: stream._pump is not None and stream._pump.opened.done(), what="an open channel")
    monkeypatch.setattr(pump, "SILENT_S", 0.0)
    assert stream._pump is not None
    channel.loop.call_soon_threadsafe(stream._pump._beat)
    with pytest.raises(StreamLost, match="nothing has been heard from the other end"):
        stream.receive_into(bytearray(1))


def test_signs_of_life_go_out_without_any_bytes(alone: tuple[RtcStream, FakeChannel]) -> None:
    stream, channel = alone
    until_sync(lambda: stream._pump is not None and stream._pump.opened.done(), what="an open channel")
    assert stream._pump is not None
    channel.loop.call_soon_threadsafe(stream._pump._beat)
    until_sync(lambda: channel.sent, what="a sign of life")
    assert channel.sent[0] == b"\x01" + bytes(8)


def test_an_end_that_needs_nothing_more_says_so(alone: tuple[RtcStream, FakeChannel]) -> None:
    stream, channel = alone
    channel.hear(END_MESSAGE)
    assert stream.receive_into(bytearray(1)) == 0
    stream.close()
    until_sync(lambda: DONE_MESSAGE in channel.sent, what="the farewell")
    channel.hear(DONE_MESSAGE)
    assert stream.join(10)
    assert channel.sent[:2] == [END_MESSAGE, DONE_MESSAGE]


def test_an_engine_that_fails_says_which_one_and_leaves_no_thread() -> None:
    with pytest.raises(EngineFailed, match=r"the WebRTC engine broken has failed \(AttributeError\)"):
        RtcStream(BrokenEngine(), ())
    until_sync(lambda: not [thread for thread in threading.enumerate() if thread.name == "webrtc-broken"])
