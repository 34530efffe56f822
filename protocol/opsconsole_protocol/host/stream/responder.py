"""The end that is asked for a stream: it does what the initiator wants next, until the initiator takes one."""

import threading
import time
from collections.abc import Callable

from opsconsole_protocol.bound import cut
from opsconsole_protocol.host.stream import coordinator_dial, direct, rtc
from opsconsole_protocol.host.stream.conversation import Conversation, Outcome, Try
from opsconsole_protocol.host.stream.coordinator_dial import Home
from opsconsole_protocol.host.stream.greeting import COMMIT_S
from opsconsole_protocol.host.stream.place import own_life, own_place
from opsconsole_protocol.host.stream.stream import Stream, reason_of
from opsconsole_protocol.stream.error import NoWay, StreamLost
from opsconsole_protocol.stream.message import StreamGrant, Way, way_words
from opsconsole_protocol.stream.proof import place_mark
from opsconsole_protocol.stream.signal import (
    COMMIT,
    AnySignal,
    DialBack,
    Failed,
    Hello,
    Listen,
    Listening,
    RelayNow,
    RtcOffer,
)

NEXT_S = 60.0
"""Between two things that the initiator tells: the longest that it tries one way, and the rest of its patience."""
OPENING_S = 180.0
"""In all, whatever the initiator tells."""
WEBRTC_S = 20.0


class Responder:
    """Answers for one stream."""

    def __init__(
        self,
        grant: StreamGrant,
        conversation: Conversation,
        home: Home,
        *,
        tell: Callable[[str], None],
        cancel: threading.Event,
    ) -> None:
        self._grant = grant
        self._conversation = conversation
        self._home = home
        self._tell = tell
        self._cancel = cancel
        self._same_machine = False
        self._begun: Try | None = None

    def open(self) -> Stream:
        """The stream that the initiator takes. Raises NoWay, StreamLost or StreamCancelled."""
        until = time.monotonic() + OPENING_S
        while True:
            event = self._conversation.next(min(NEXT_S, until - time.monotonic()))
            if event is None:
                raise NoWay(f"{self._grant.peer_name or 'the other end'} has taken no way: it is gone, or has given up")
            stream = self._take(event) if isinstance(event, Outcome) else self._answer(event)
            if stream is not None:
                self._tell(
                    f"{way_words(stream.way, stream.engine)}: connected to {self._grant.peer_name or 'the other end'}"
                )
                return stream

    def _take(self, outcome: Outcome) -> Stream | None:
        """What has come of a try: the stream, which the initiator has committed to, or a failure to tell it."""
        is_late = self._begun is None or outcome.number != self._begun.number
        match outcome.result:
            case str(text):
                if self._begun is not None and not is_late:
                    self._conversation.say(Failed(way=self._begun.way, reason=cut(text)))
                return None
            case stream:
                if not is_late:
                    return stream
                stream.close()
                return None

    def _answer(self, said: AnySignal) -> Stream | None:
        """Do what the initiator wants; where that ends with a stream it is returned."""
        match said:
            case Hello(place=theirs, asks_engines=asks_engines):
                place = place_mark(self._grant.shared_secret, own_place())
                self._same_machine = bool(place) and theirs == place
                engines = rtc.engine_names() if asks_engines else ()
                self._conversation.say(Hello(place=place, engines=engines, life=own_life()))
            case Listen():
                self._listen()
            case DialBack(listening=listening):
                direct.dial(self._begin(Way.DIRECT).candidates, self._grant, listening)
            case RelayNow():
                coordinator_dial.dial(self._begin(Way.RELAY).candidates, self._home, self._grant)
            case RtcOffer():
                return self._webrtc(said)
            case _:
                pass
        return None

    def _begin(self, way: Way) -> Try:
        """A new try. What was tried before, the initiator has given up."""
        if self._begun is not None:
            self._begun.candidates.end()
        self._begun = self._conversation.begin(way)
        return self._begun

    def _listen(self) -> None:
        begun = self._begin(Way.DIRECT)
        try:
            own: Listening = direct.listen(begun.candidates, self._grant, same_machine=self._same_machine)
        except NoWay as error:
            self._conversation.say(Failed(way=Way.DIRECT, reason=error.message))
        except OSError as error:
            self._conversation.say(Failed(way=Way.DIRECT, reason=f"it can't listen ({reason_of(error)})"))
        else:
            self._conversation.say(own)

    def _webrtc(self, offer: RtcOffer) -> Stream | None:
        try:
            stream = rtc.open_stream(self._grant, self._conversation, offer, timeout_s=WEBRTC_S, cancel=self._cancel)
        except NoWay as error:
            self._conversation.say(Failed(way=Way.WEBRTC, reason=cut(error.message)))
            return None
        return stream if _is_committed(stream) else None


def _is_committed(stream: Stream) -> bool:
    """Whether the initiator takes this stream; it is closed if not."""
    impatience = threading.Timer(COMMIT_S, stream.close)
    impatience.daemon = True
    impatience.start()
    first = bytearray(len(COMMIT))
    try:
        if stream.receive_into(first) and first == COMMIT:
            return True
    except StreamLost:
        pass
    finally:
        impatience.cancel()
    stream.close()
    return False
