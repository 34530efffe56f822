"""Frames of sessions: as they always were on the wire, however they are cut, and refused where they are none."""

import pytest

from opsconsole_protocol.error import ProtocolError
from opsconsole_protocol.session.flow import TELL_BYTES, WINDOW_BYTES, Incoming, Outgoing
from opsconsole_protocol.session.frame import (
    CONTROL_BYTES_MAX,
    DATA_BYTES_MAX,
    Alive,
    Data,
    End,
    Exit,
    Failed,
    Frame,
    FrameReader,
    Open,
    Reset,
    Resize,
    Signal,
    Taken,
    encode,
)
from tests.fuzz.decoder import GOLDEN

FRAMES: list[Frame] = [
    Open(7),
    Data(7, b"\x00\xffbytes"),
    Data(0xFFFF, b""),
    Taken(7, 131_072),
    End(7),
    Reset(7, "Connection refused"),
    Resize(132, 43),
    Signal(2),
    Exit(143, "the task has ended"),
    Failed("conflict", "the task is paused"),
    Alive(),
]


def test_frames_are_what_they_always_were() -> None:
    stored = (GOLDEN / "session_v1.bin").read_bytes()
    assert b"".join(map(encode, FRAMES)) == stored
    assert list(FrameReader().feed(stored)) == FRAMES


@pytest.mark.parametrize("size", [1, 2, 7, 50])
def test_it_does_not_matter_where_the_bytes_are_cut(size: int) -> None:
    stored = b"".join(map(encode, FRAMES))
    reader = FrameReader()
    pieces = [stored[place : place + size] for place in range(0, len(stored), size)]
    assert [frame for piece in pieces for frame in reader.feed(piece)] == FRAMES


@pytest.mark.parametrize(
    "head",
    [
        b"\x02\x00\x00\x00\x00\x00\x01",
        b"\x00\x00\x00" + (DATA_BYTES_MAX + 1).to_bytes(4),
        b"\x01\x00\x00" + (CONTROL_BYTES_MAX + 1).to_bytes(4),
        b"\x01\x00\x00\x00\x00\x00\x01\xc1",
        encode(Exit(7)).replace(b"\x07", b"\xcd\x01\x00", 1)[:-1],
    ],
)
def test_what_is_no_frame_is_refused_before_it_is_kept(head: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(FrameReader().feed(head + b"\0" * 16))


def test_nobody_is_further_ahead_than_the_window() -> None:
    outgoing, incoming = Outgoing(), Incoming()
    outgoing.sent(WINDOW_BYTES)
    incoming.receive(bytes(WINDOW_BYTES))
    assert outgoing.room == 0
    with pytest.raises(ProtocolError):
        incoming.receive(b"x")
    assert incoming.take(TELL_BYTES - 1) == 0
    outgoing.taken(incoming.take(1))
    assert outgoing.room == TELL_BYTES
    incoming.receive(bytes(TELL_BYTES))
    with pytest.raises(ProtocolError):
        outgoing.taken(WINDOW_BYTES)
    incoming.is_ended = True
    with pytest.raises(ProtocolError):
        incoming.receive(b"")
