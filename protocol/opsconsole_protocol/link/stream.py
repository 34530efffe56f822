"""Streams and contents on an agent's link."""

from typing import Annotated

from msgspec import Meta

from opsconsole_protocol.bound import CONTENTS_MAX, BoundedContentId, Id, Label, Text, Whole
from opsconsole_protocol.link.message import Message
from opsconsole_protocol.stream.message import SIGNAL_BYTES_MAX, OpenStream, StreamGrant, Way


class AskForStream(Message, frozen=True, kw_only=True, tag="ask_for_stream"):
    """An agent wants a stream. Answered by `stream_granted` or `stream_refused` with the same number."""

    number: Whole
    open: OpenStream


class StreamGranted(Message, frozen=True, kw_only=True, tag="stream_granted"):
    """The stream that an agent asked for."""

    number: Whole
    grant: StreamGrant


class StreamRefused(Message, frozen=True, kw_only=True, tag="stream_refused"):
    """Why there is no such stream; `code` is an error's."""

    number: Whole
    code: Label
    message: Text


class ServeStream(Message, frozen=True, kw_only=True, tag="serve_stream"):
    """An agent is to be the other end of a stream. The grant says what may be done by it."""

    grant: StreamGrant


class Signal(Message, frozen=True, kw_only=True, tag="stream_signal"):
    """What one end of a stream tells the other, both ways."""

    stream_id: Id
    body: Annotated[bytes, Meta(max_length=SIGNAL_BYTES_MAX)]


class StopStream(Message, frozen=True, kw_only=True, tag="stop_stream"):
    """An agent is to end a stream, whether it stands or not; `reason` is one line for people."""

    stream_id: Id
    reason: Text


class StreamEnded(Message, frozen=True, kw_only=True, tag="stream_ended"):
    """An initiator's stream has done its work, or failed."""

    stream_id: Id
    way: Way | None = None
    bytes: Whole = 0
    files: Whole = 0
    milliseconds: Whole = 0
    error: Text = ""
    engine: Label = ""
    """Of WebRTC, where that was the way."""


class Contents(Message, frozen=True, kw_only=True, tag="contents"):
    """Trees that the worker has whole: all of them, or with `whole` false what came and what went since."""

    whole: bool = True
    added: Annotated[tuple[BoundedContentId, ...], Meta(max_length=CONTENTS_MAX)] = ()
    removed: Annotated[tuple[BoundedContentId, ...], Meta(max_length=CONTENTS_MAX)] = ()
