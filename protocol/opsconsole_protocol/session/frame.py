"""The frames of a session: a byte that says whether it is bytes of a channel, the channel, the length of what follows, and that.

Of a program that runs in a task the channels are its stdin, stdout and stderr. Of a port each connection is one, that the initiator
opens. Either way each end may be ahead of the other's reader by a window (`flow`), so no channel stops another.
"""

import struct
from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from opsconsole_protocol.bound import Label, Side, Text
from opsconsole_protocol.error import ProtocolError

DATA_BYTES_MAX = 64 * 1024
"""Bytes of a channel in one frame."""
CONTROL_BYTES_MAX = 8 * 1024
STDIN, STDOUT, STDERR = 0, 1, 2
CHANNEL_MAX = 0xFFFF
SIGNAL_MAX = 64
EXIT_CODE_MAX = 255
TAKEN_MAX = 1 << 30
_HEAD = struct.Struct(">BHI")
_DATA, _CONTROL = 0, 1

Channel = Annotated[int, Meta(ge=0, le=CHANNEL_MAX)]
SignalNumber = Annotated[int, Meta(ge=1, le=SIGNAL_MAX)]


class Data(msgspec.Struct, frozen=True):
    """Bytes of a channel. It alone isn't packed: its body is the bytes."""

    channel: Channel
    data: bytes | memoryview


class Open(msgspec.Struct, frozen=True, array_like=True, tag="open"):
    """The initiator has a connection to the port."""

    channel: Channel


class Taken(msgspec.Struct, frozen=True, array_like=True, tag="taken"):
    """The reader of a channel has taken `count` bytes more."""

    channel: Channel
    count: Annotated[int, Meta(ge=1, le=TAKEN_MAX)]


class End(msgspec.Struct, frozen=True, array_like=True, tag="end"):
    """No more bytes of this channel come from this end."""

    channel: Channel


class Reset(msgspec.Struct, frozen=True, array_like=True, tag="reset"):
    """A channel is over in both directions, and why."""

    channel: Channel
    reason: Text = ""


class Resize(msgspec.Struct, frozen=True, array_like=True, tag="resize"):
    """The terminal has another size now."""

    columns: Side
    rows: Side


class Signal(msgspec.Struct, frozen=True, array_like=True, tag="signal"):
    """A signal for the program."""

    number: SignalNumber


class Exit(msgspec.Struct, frozen=True, array_like=True, tag="exit"):
    """The program has exited, and all that it wrote came before. `note`: what a person should know of that, in one line."""

    code: Annotated[int, Meta(ge=0, le=EXIT_CODE_MAX)]
    """As a shell has it: of a signal 128 and its number."""
    note: Text = ""


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """The session is over, or never began: an error by its code, and why in one line."""

    code: Label
    message: Text


class Alive(msgspec.Struct, frozen=True, array_like=True, tag="alive"):
    """Nothing else was to be said for a while."""


Control = Open | Taken | End | Reset | Resize | Signal | Exit | Failed | Alive
Frame = Data | Control

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Control] = msgspec.msgpack.Decoder(Control)


def encode(frame: Frame) -> bytes:
    """The bytes of a frame."""
    if isinstance(frame, Data):
        return _HEAD.pack(_DATA, frame.channel, len(frame.data)) + frame.data
    body = _ENCODER.encode(frame)
    return _HEAD.pack(_CONTROL, 0, len(body)) + body


class FrameReader:
    """Finds the frames in the bytes of a stream, however these are cut."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes | memoryview) -> Iterator[Frame]:
        """The frames that are whole by now. Raises ProtocolError, by its head for a frame that is longer than it may be."""
        self._rest += data
        start = 0
        try:
            while (found := self._next(start)) is not None:
                frame, start = found
                yield frame
        finally:
            del self._rest[:start]

    def _next(self, start: int) -> tuple[Frame, int] | None:
        begin = start + _HEAD.size
        if len(self._rest) < begin:
            return None
        kind, channel, length = _HEAD.unpack_from(self._rest, start)
        if kind not in {_DATA, _CONTROL} or length > (DATA_BYTES_MAX if kind == _DATA else CONTROL_BYTES_MAX):
            raise ProtocolError("the other end of the session sends what is no frame: it is closed")
        end = begin + length
        if len(self._rest) < end:
            return None
        body = bytes(self._rest[begin:end])
        if kind == _DATA:
            return Data(channel, body), end
        try:
            return _DECODER.decode(body), end
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
            raise ProtocolError("the other end of the session says what can't be understood: it is closed") from None
