"""Streams by WebRTC, whose engines are imported when they are needed only, and the signals that these exchange."""

import threading

from opsconsole_protocol.host.stream.conversation import Conversation
from opsconsole_protocol.host.stream.stream import Stream
from opsconsole_protocol.stream import signal
from opsconsole_protocol.stream.error import NoWay
from opsconsole_protocol.stream.message import StreamGrant, Way
from opsconsole_protocol.stream.signal import DialBack, Failed, Listen, RelayNow, RtcAnswer, RtcOffer


def engine_names() -> tuple[str, ...]:
    """The engines of this machine, best first."""
    from opsconsole_protocol.host.stream import webrtc

    return webrtc.engine_names()


def open_stream(
    grant: StreamGrant,
    conversation: Conversation,
    offer: RtcOffer | None = None,
    *,
    timeout_s: float,
    cancel: threading.Event,
) -> Stream:
    """A stream to the other end, which calls this as well. `offer`: the initiator's, at the responder's end.

    Raises NoWay, StreamLost or StreamCancelled.
    """
    from opsconsole_protocol.host.stream import webrtc

    signaller = RtcSignaller(conversation, offer)
    return webrtc.open_webrtc(signaller, grant.is_initiator, grant.ice_servers, timeout_s=timeout_s, cancel=cancel)


class RtcSignaller:
    """A Signaller, which gives the offer first. Where the other end goes on to another way, that is left for who comes next."""

    def __init__(self, conversation: Conversation, offer: RtcOffer | None) -> None:
        self._conversation = conversation
        self._offer = offer

    def send(self, body: bytes) -> None:
        """Tell the other end. Raises StreamLost."""
        self._conversation.say(signal.decode(body))

    def receive(self, timeout_s: float) -> bytes | None:
        """What the other end tells, or None after `timeout_s`. Raises NoWay, StreamLost or StreamCancelled."""
        offer, self._offer = self._offer, None
        match offer or self._conversation.next(timeout_s):
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
