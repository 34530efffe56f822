"""The end that wants the stream: it tries one way after another, until one works."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from opsconsole_protocol.host.stream import coordinator_dial, direct, rtc
from opsconsole_protocol.host.stream.conversation import Conversation, Outcome, Try
from opsconsole_protocol.host.stream.coordinator_dial import Home
from opsconsole_protocol.host.stream.place import own_place
from opsconsole_protocol.host.stream.stream import Stream, reason_of
from opsconsole_protocol.stream import ladder
from opsconsole_protocol.stream.error import NoWay, StreamLost
from opsconsole_protocol.stream.ladder import Experience, Facts, Step
from opsconsole_protocol.stream.message import Failure, PeerKind, StreamGrant, Via, Way
from opsconsole_protocol.stream.proof import place_mark
from opsconsole_protocol.stream.signal import COMMIT, DialBack, Failed, Hello, Listen, Listening, RelayNow

HELLO_S = 30.0
"""An operator's machine asks for streams from time to time only."""
LISTENING_S = 5.0
DIAL_S = 8.0
DIAL_BACK_S = 8.0
RELAY_S = 30.0
WEBRTC_S = 20.0


class Initiator:
    """Opens one stream. `experience`: gets every way that didn't work, and why."""

    def __init__(
        self,
        grant: StreamGrant,
        conversation: Conversation,
        home: Home,
        *,
        tell: Callable[[str], None],
        cancel: threading.Event,
        experience: Experience,
    ) -> None:
        self._grant = grant
        self._conversation = conversation
        self._home = home
        self._tell = tell
        self._cancel = cancel
        self._experience = experience
        self._has_asked_to_listen = False
        self._tried: list[Failure] = []
        self._facts = Facts(
            peer=grant.peer, peer_name=grant.peer_name, via=grant.via, relay=grant.relay, relay_mb_s=grant.relay_mb_s,
            failed=grant.failed,
        )  # fmt: skip

    def open(self) -> Stream:
        """The stream. Raises NoWay, StreamLost or StreamCancelled."""
        if self._facts.peer is not PeerKind.COORDINATOR:
            stream = self._open_at_once()
            if stream is not None:
                return stream
        for step in ladder.steps(self._facts):
            if all(failure.way is not step.way for failure in self._tried):
                stream = self._try(step)
                if stream is not None:
                    return stream
        raise ladder.no_way(self._facts, self._tried)

    def _open_at_once(self) -> Stream | None:
        """Try the direct way before anything is asked that only the others need: to look for engines takes its time."""
        via = self._facts.via
        has_failed = any(failure.way is Way.DIRECT for failure in self._facts.failed)
        if via is Via.DIRECT or (via is Via.AUTO and not has_failed):
            self._introduce(asks_engines=False, listen=True)
            stream = self._try(ladder.steps(self._facts)[0])
            if stream is not None or via is Via.DIRECT:
                return stream
        self._introduce(asks_engines=via is not Via.RELAY, listen=False)
        return None

    def _try(self, step: Step) -> Stream | None:
        """A stream by this step's way, or None where it doesn't work. Raises StreamLost or StreamCancelled."""
        try:
            stream = self._by(step.way)
        except NoWay as error:
            self._tell(ladder.not_opened(step.way, error.message))
            self._tried.append(Failure(step.way, error.message))
            self._experience.add(step.way, error.message)
            return None
        self._tell(ladder.opened(step, self._facts.peer_name, stream.engine))
        return stream

    def _introduce(self, *, asks_engines: bool, listen: bool) -> None:
        """Tell the other end who this one is, and hear the same. `listen`: where to dial is to come with that."""
        place = place_mark(self._grant.shared_secret, own_place())
        engines = rtc.engine_names() if asks_engines else ()
        self._conversation.say(Hello(place=place, engines=engines, asks_engines=asks_engines))
        if listen:
            self._ask_to_listen()
        theirs = self._await_hello()
        same_machine = bool(place) and theirs.place == place
        self._experience.life = theirs.life
        self._facts = replace(
            self._facts,
            same_machine=same_machine,
            engines_here=engines,
            engines_there=theirs.engines,
            life=theirs.life,
        )

    def _await_hello(self) -> Hello:
        until = time.monotonic() + HELLO_S
        while (left_s := until - time.monotonic()) > 0:
            said = self._conversation.next(left_s)
            if isinstance(said, Hello):
                return said
        name = self._grant.peer_name or "the other end"
        raise NoWay(f"{name} doesn't answer within {HELLO_S:g} s: it may be busy or just gone; try again")

    def _by(self, way: Way) -> Stream:
        """A stream by this way. Raises NoWay, StreamLost or StreamCancelled."""
        match way:
            case Way.DIRECT if self._grant.peer is PeerKind.COORDINATOR:
                return self._dial_coordinator(way)
            case Way.DIRECT:
                stream = self._direct()
            case Way.RELAY:
                self._conversation.say(RelayNow())
                stream = self._dial_coordinator(way)
            case _:
                stream = rtc.open_stream(self._grant, self._conversation, timeout_s=WEBRTC_S, cancel=self._cancel)
        try:
            stream.send(COMMIT)
        except StreamLost as error:
            raise NoWay(error.message) from None
        return stream

    def _dial_coordinator(self, way: Way) -> Stream:
        begun = self._conversation.begin(way)
        coordinator_dial.dial(begun.candidates, self._home, self._grant)
        return self._outcome(begun, RELAY_S)

    def _direct(self) -> Stream:
        """Dial the other end, and where it can't be reached let it dial this one."""
        try:
            return self._dial()
        except NoWay as error:
            if self._facts.same_machine:
                raise
            there = error.message
        try:
            return self._be_dialled()
        except NoWay as error:
            raise NoWay(f"{there}; the other way round: {error.message}") from None

    def _dial(self) -> Stream:
        self._ask_to_listen()
        listening = self._await_listening()
        begun = self._conversation.begin(Way.DIRECT)
        direct.dial(begun.candidates, self._grant, listening)
        return self._outcome(begun, DIAL_S)

    def _be_dialled(self) -> Stream:
        begun = self._conversation.begin(Way.DIRECT)
        try:
            own = direct.listen(begun.candidates, self._grant, same_machine=False)
        except OSError as error:
            raise NoWay(f"this machine can't listen ({reason_of(error)})") from None
        self._conversation.say(DialBack(listening=own))
        return self._outcome(begun, DIAL_BACK_S)

    def _ask_to_listen(self) -> None:
        if not self._has_asked_to_listen:
            self._has_asked_to_listen = True
            self._conversation.say(Listen())

    def _await_listening(self) -> Listening:
        until = time.monotonic() + LISTENING_S
        while (left_s := until - time.monotonic()) > 0:
            match self._conversation.next(left_s):
                case Listening() as said:
                    return said
                case Failed(way=Way.DIRECT, reason=text):
                    raise NoWay(f"it doesn't listen: {text}")
                case _:
                    pass
        raise NoWay("it doesn't say where it listens")

    def _outcome(self, begun: Try, timeout_s: float) -> Stream:
        """What comes of a try. Raises NoWay where nothing does, or the other end says that nothing will."""
        until = time.monotonic() + timeout_s
        try:
            while (left_s := until - time.monotonic()) > 0:
                match self._conversation.next(left_s):
                    case Outcome(number=begun.number, result=result):
                        if isinstance(result, str):
                            raise NoWay(result)
                        return result
                    case Failed(way=begun.way, reason=text):
                        raise NoWay(f"the other end says: {text}")
                    case _:
                        pass
        finally:
            begun.candidates.end()
        raise NoWay("nothing comes of it in time")
