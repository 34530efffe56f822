"""What the two ends of a data channel say to each other: nothing is lost, nobody is ahead too far, lies are refused."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsconsole_protocol.error import ProtocolError
from opsconsole_protocol.stream.channel_flow import (
    DONE_MESSAGE,
    END_MESSAGE,
    MESSAGE_BYTES_MAX,
    TELL_BYTES,
    WINDOW_BYTES,
    ChannelFlow,
    MessageKind,
)

DATA = bytes([MessageKind.DATA])


def taken(count: int) -> bytes:
    return bytes([MessageKind.TAKEN]) + count.to_bytes(8)


def test_the_sender_stops_when_the_window_is_full_and_goes_on_when_the_reader_has_taken() -> None:
    sender, reader = ChannelFlow(), ChannelFlow()
    for _ in range(WINDOW_BYTES // MESSAGE_BYTES_MAX):
        sender.sent(MESSAGE_BYTES_MAX)
        assert len(reader.receive(DATA + bytes(MESSAGE_BYTES_MAX))) == MESSAGE_BYTES_MAX
    assert sender.room_bytes == 0
    told = reader.take(TELL_BYTES)
    assert told == taken(TELL_BYTES)
    assert not sender.receive(told)
    assert sender.room_bytes == TELL_BYTES


def test_small_takes_are_told_together() -> None:
    reader = ChannelFlow()
    reader.receive(DATA + bytes(TELL_BYTES))
    assert [reader.take(TELL_BYTES // 4) for _ in range(4)] == [b"", b"", b"", taken(TELL_BYTES)]


def test_the_last_bytes_are_told_at_once() -> None:
    sender, reader = ChannelFlow(), ChannelFlow()
    sender.sent(3)
    reader.receive(DATA + b"abc")
    assert reader.take(2) == b""
    reader.receive(sender.end())
    assert not sender.is_all_taken
    sender.receive(reader.take(1))
    assert sender.is_all_taken
    reader.receive(DONE_MESSAGE)
    assert reader.peer_is_done


def test_bytes_that_were_taken_before_the_end_came_are_told_with_the_next_sign_of_life() -> None:
    sender, reader = ChannelFlow(), ChannelFlow()
    sender.sent(3)
    reader.receive(DATA + b"abc")
    assert reader.take(3) == b""
    assert not reader.receive(sender.end())
    assert reader.last_taken_message() == taken(3)
    assert reader.last_taken_message() == b""


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x04",
        b"\xff" * 100,
        taken(1),
        taken(2**63),
        b"\x01",
        b"\x01" + bytes(7),
        b"\x01" + bytes(9),
        b"\x02x",
        b"\x03x",
    ],
    ids=repr,
)
def test_what_no_peer_says_is_refused(message: bytes) -> None:
    with pytest.raises(ProtocolError, match="the stream is closed"):
        ChannelFlow().receive(message)


def test_more_than_the_window_is_refused_whatever_the_messages_are() -> None:
    for size in (1, 1000, MESSAGE_BYTES_MAX, 256 * 1024, WINDOW_BYTES):
        reader = ChannelFlow()
        whole = DATA + bytes(size)
        for _ in range(WINDOW_BYTES // size if size > 1 else 1):
            reader.receive(whole)
        with pytest.raises(ProtocolError, match="faster than it may"):
            reader.receive(DATA + bytes(WINDOW_BYTES))


def test_who_sends_after_the_end_is_refused() -> None:
    reader = ChannelFlow()
    reader.receive(END_MESSAGE)
    with pytest.raises(ProtocolError, match="there is no more"):
        reader.receive(DATA + b"x")
    with pytest.raises(ProtocolError):
        reader.receive(END_MESSAGE)


def test_who_takes_back_what_it_has_read_is_refused() -> None:
    sender = ChannelFlow()
    sender.sent(10)
    sender.receive(taken(5))
    with pytest.raises(ProtocolError, match="read what nobody sent"):
        sender.receive(taken(4))


@given(st.integers(0, 2**32), st.integers(0, 3 * WINDOW_BYTES))
def test_two_ends_move_any_amount_at_any_rhythm(seed: int, total: int) -> None:
    rhythm = random.Random(seed)  # noqa: S311  (a rhythm is no secret)
    sender, reader = ChannelFlow(), ChannelFlow()
    sent = waiting = arrived = 0
    while not sender.is_all_taken:
        if sent < total and sender.room_bytes and rhythm.random() < 0.7:
            size = min(total - sent, sender.room_bytes, rhythm.randint(1, 512 * 1024))
            sender.sent(size)
            sent += size
            waiting += len(reader.receive(DATA + bytes(size)))
        elif sent == total and not sender.has_ended:
            reader.receive(sender.end())
            if last := reader.last_taken_message():
                sender.receive(last)
        elif waiting:
            size = rhythm.randint(1, waiting)
            waiting -= size
            arrived += size
            if told := reader.take(size):
                sender.receive(told)
        assert waiting <= WINDOW_BYTES
    assert arrived == total
