"""Streams by WebRTC, whose engines are imported when they are needed only, and the signals that these exchange."""

import threading
from importlib import import_module

from opsconsole_protocol.host.stream.conversation import Conversation
from opsconsole_protocol.host.stream.stream import Stream
from opsconsole_protocol.stream import signal
from opsconsole_protocol.stream.error import NoWay
from opsconsole_protocol.stream.message import StreamGrant, Way
from opsconsole_protocol.stream.signal import DialBack, Failed, Listen, RelayNow, RtcAnswer, RtcOffer

_ROOM = "opsconsole_protocol.host.stream.webrtc"


def engine_names() -> tuple[str, ...]:
    """The engines of this machine, best first."""
    try:
        names: tuple[str, ...] = import_module(_ROOM).engine_names()
    except ModuleNotFoundError:
        return ()
    return names


def open_stream(grant: StreamGrant, conversation: Conversation, *, timeout_s: float, cancel: threading.Event) -> Stream:
    """A stream to the other end, which calls this as well. Raises NoWay, StreamLost or StreamCancelled."""
    signaller = RtcSignaller(conversation)
    stream: Stream = import_module(_ROOM).open_webrtc(
        signaller, grant.is_initiator, grant.ice_servers, timeout_s=timeout_s, cancel=cancel
    )
    return stream


class RtcSignaller:
    """A Signaller. Where the other end goes on to another way, that signal is left for who comes next."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def send(self, body: bytes) -> None:
        """Tell the other end. Raises StreamLost."""
        self._conversation.say(signal.decode(body))

    def receive(self, timeout_s: float) -> bytes | None:
        """What the other end tells, or None after `timeout_s`. Raises NoWay, StreamLost or StreamCancelled."""
        match self._conversation.next(timeout_s):
            case RtcOffer() | RtcAnswer() as said:
                return signal.encode(said)
            case Failed(way=way, reason=text):
                if way is Way.WEBRTC:
                    raise NoWay(f"the other end says: {text}")
            case DialBack() | Listen() | RelayNow() as said:
                self._conversation.put_back(said)
                raise NoWay("the other end goes another way")
            case _:
                pass
        return None
