"""Streams by the agent's link: threads ask for them and exchange signals, the loop passes messages on in both directions.

When the connection is lost, whoever still waits for an answer or a signal is told so, and asks again on the next one. A stream
that stands doesn't need the link any more; the coordinator may end it over this one or the next.
"""

import asyncio
import itertools
import queue
import threading
from collections import deque
from collections.abc import Callable

from opsconsole_protocol.bound import cut
from opsconsole_protocol.error import OpsconsoleError, Unavailable, from_code
from opsconsole_protocol.host.stream.transfer import Moved
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
from opsconsole_protocol.stream.message import OpenStream, StreamGrant, Way

ANSWER_TIMEOUT_S = 30.0
SIGNALS_WAITING_MAX = 64
"""Of one stream, that its end here hasn't taken yet. One that gets more is ended: ends that mean well need a dozen."""
_LOST = "the link to the coordinator was lost"


class LinkBroker:
    """Made on the loop that `send` belongs to. What threads call and what the loop calls is said at each method."""

    def __init__(self, send: Callable[[Message], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._send = send
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._asked: dict[int, queue.SimpleQueue[StreamGrant | OpsconsoleError]] = {}
        self._mailboxes: dict[str, Mailbox] = {}
        self._is_up = False

    @property
    def is_up(self) -> bool:
        """Whether there is a connection, as far as is known. From any thread."""
        return self._is_up

    # --- by threads ------------------------------------------------------------------------------------------------

    def ask(self, open: OpenStream) -> "tuple[StreamGrant, Mailbox]":  # noqa: A002 – as on the wire
        """Ask for a stream. Raises what the coordinator refuses it with, Unavailable where it can't be asked."""
        answers: queue.SimpleQueue[StreamGrant | OpsconsoleError] = queue.SimpleQueue()
        with self._lock:
            if not self._is_up:
                raise Unavailable("there is no connection to the coordinator at the moment")
            number = next(self._numbers)
            self._asked[number] = answers
        self.tell(AskForStream(number=number, open=open))
        try:
            answer = answers.get(timeout=ANSWER_TIMEOUT_S)
        except queue.Empty:
            with self._lock:
                is_open = self._asked.pop(number, None) is not None
            if is_open:
                raise Unavailable("the coordinator doesn't answer") from None
            answer = answers.get()  # it has come at this very moment
        if isinstance(answer, OpsconsoleError):
            raise answer
        return answer, self._mailbox(answer.stream_id)

    def ended(self, stream_id: str, summary: Moved | None, way: Way | None, error: str, engine: str = "") -> None:
        """Report what became of a stream that was asked for here."""
        self.release(stream_id)
        self.tell(
            StreamEnded(
                stream_id=stream_id,
                way=way,
                bytes=0 if summary is None else summary.bytes_sent,
                files=0 if summary is None else summary.files,
                milliseconds=0 if summary is None else round(summary.seconds * 1000),
                error=cut(error),
                engine=engine,
            )
        )

    def release(self, stream_id: str) -> None:
        """No more signals of this stream are wanted."""
        with self._lock:
            mailbox = self._mailboxes.pop(stream_id, None)
        if mailbox is not None:
            mailbox.end()

    def tell(self, message: Message) -> None:
        """Send a message from any thread. It is dropped where there is no connection."""
        try:
            self._loop.call_soon_threadsafe(self._send, message)
        except RuntimeError:
            return  # the agent has ended meanwhile

    def _mailbox(self, stream_id: str) -> "Mailbox":
        with self._lock:
            mailbox = self._mailboxes.get(stream_id)
        if mailbox is None:
            raise StreamLost(_LOST)
        return mailbox

    # --- by the loop -----------------------------------------------------------------------------------------------

    def connected(self) -> None:
        """Streams can be asked for."""
        with self._lock:
            self._is_up = True

    def disconnected(self) -> None:
        """Nobody answers any more what was asked, or passes signals on."""
        with self._lock:
            self._is_up = False
            asked, self._asked = list(self._asked.values()), {}
            mailboxes = list(self._mailboxes.values())
        for answers in asked:
            answers.put(Unavailable(_LOST))
        for mailbox in mailboxes:
            mailbox.end()

    def on_granted(self, message: StreamGranted) -> None:
        """The answer to `ask`. Signals of the stream may come right after it. One that nobody waits for any more is given back."""
        stream_id = message.grant.stream_id
        with self._lock:
            answers = self._asked.pop(message.number, None)
            if answers is not None:
                self._mailboxes[stream_id] = Mailbox(stream_id, self.tell)
        if answers is not None:
            answers.put(message.grant)
        else:
            self._send(StreamEnded(stream_id=stream_id, error="it was granted too late"))

    def on_refused(self, message: StreamRefused) -> None:
        """The other answer to `ask`."""
        with self._lock:
            answers = self._asked.pop(message.number, None)
        if answers is not None:
            answers.put(from_code(message.code, message.message))

    def on_signal(self, message: Signal) -> None:
        """What the other end of a stream tells; nothing where nobody listens."""
        with self._lock:
            mailbox = self._mailboxes.get(message.stream_id)
        if mailbox is not None:
            mailbox.put(message.body)

    def on_stop(self, message: StopStream) -> None:
        """The coordinator ends a stream; nothing where there is none any more."""
        with self._lock:
            mailbox = self._mailboxes.get(message.stream_id)
        if mailbox is not None:
            mailbox.stop(message.reason)

    def serve(self, stream_id: str) -> "Mailbox":
        """The signals of a stream that somebody else has asked for; `release` ends it."""
        mailbox = Mailbox(stream_id, self.tell)
        with self._lock:
            self._mailboxes[stream_id] = mailbox
        return mailbox


class Mailbox:
    """The signals of one stream: a Signaller. A thread sends and receives, the loop puts in."""

    def __init__(self, stream_id: str, tell: Callable[[Message], None]) -> None:
        self._stream_id = stream_id
        self._tell = tell
        self._bodies: deque[bytes] = deque()
        self._has_news = threading.Condition()
        self._is_over = False
        self._stopped = ""

    def send(self, body: bytes) -> None:
        """See Signaller."""
        if self._is_over:
            raise StreamLost(_LOST)
        self._tell(Signal(stream_id=self._stream_id, body=body))

    def receive(self, timeout_s: float) -> bytes | None:
        """See Signaller."""
        with self._has_news:
            self._has_news.wait_for(lambda: self._bodies or self._is_over or self._stopped, timeout_s)
            if self._stopped:
                raise StreamStopped(self._stopped)
            if self._bodies:
                return self._bodies.popleft()
            if self._is_over:
                raise StreamLost(_LOST)
            return None

    def put(self, body: bytes) -> None:
        """The other end tells something."""
        with self._has_news:
            if len(self._bodies) < SIGNALS_WAITING_MAX:
                self._bodies.append(body)
            else:
                self._is_over = True
            self._has_news.notify_all()

    def end(self) -> None:
        """Nothing comes any more, unless it is that the stream has to end."""
        with self._has_news:
            self._is_over = True
            self._has_news.notify_all()

    def stop(self, reason: str) -> None:
        """The stream has to end, whether it stands or not."""
        with self._has_news:
            self._stopped = reason
            self._has_news.notify_all()
