"""What happens at one end until its stream stands: the other end tells something, or a try of a way ends."""

import queue
import threading
import time
from collections import deque
from dataclasses import dataclass
from itertools import count
from typing import Self

from opsconsole_protocol.error import OpsconsoleError, ProtocolError
from opsconsole_protocol.host.stream.candidates import Candidates
from opsconsole_protocol.host.stream.signaller import Signaller
from opsconsole_protocol.host.stream.stoppable_stream import StoppableStream
from opsconsole_protocol.host.stream.stream import Stream
from opsconsole_protocol.stream import signal
from opsconsole_protocol.stream.error import NoWay, StreamCancelled, StreamStopped
from opsconsole_protocol.stream.message import Way
from opsconsole_protocol.stream.signal import AnySignal

SIGNALS_TAKEN_MAX = 64
"""Of one stream: ends that mean well need a dozen."""
POLL_S = 0.25
"""How soon a cancel is noticed."""
_RECEIVE_S = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """A try has ended: with a stream, or with the reason in words why there is none."""

    number: int
    """Of the try (`Try.number`)."""
    result: Stream | str


@dataclass(frozen=True, slots=True)
class Try:
    """A way that is being tried, and its number, by which its outcome is known."""

    number: int
    way: Way
    candidates: Candidates


class Conversation:
    """One end's view of a stream that is to be: a queue of what happens, and a mouth. A context; it ends all that it began.

    Without a signaller there is no other end to speak to, only tries.
    """

    def __init__(self, signaller: Signaller | None, cancel: threading.Event) -> None:
        self._signaller = signaller
        self._cancel = cancel
        self._events: queue.SimpleQueue[AnySignal | Outcome | OpsconsoleError] = queue.SimpleQueue()
        self._returned: deque[AnySignal] = deque()
        self._numbers = count()
        self._tries: list[Try] = []
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._kept: StoppableStream | None = None

    def __enter__(self) -> Self:
        if self._signaller is not None:
            threading.Thread(target=self._hear, args=(self._signaller,), name="stream signals", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._tries:
            one.candidates.end()
        with self._lock:
            self._is_over.set()
            while not self._events.empty():
                _close(self._events.get())

    def say(self, said: AnySignal) -> None:
        """Tell the other end. Raises StreamLost."""
        if self._signaller is not None:
            self._signaller.send(signal.encode(said))

    def next(self, timeout_s: float) -> AnySignal | Outcome | None:
        """What happens next, or None if nothing does within `timeout_s`.

        Raises StreamCancelled, StreamLost where the stream is over, StreamStopped where the coordinator has ended it, and NoWay
        where the other end tells nonsense.
        """
        if self._returned:
            return self._returned.popleft()
        until = time.monotonic() + timeout_s
        while True:
            if self._cancel.is_set():
                raise StreamCancelled("the transfer was cancelled")
            left_s = until - time.monotonic()
            try:
                event = self._events.get(timeout=max(0.0, min(POLL_S, left_s)))
            except queue.Empty:
                if left_s <= 0:
                    return None
                continue
            if isinstance(event, OpsconsoleError):
                self._events.put(event)  # nothing else happens any more
                raise event
            return event

    def put_back(self, said: AnySignal) -> None:
        """Let `said` be what happens next."""
        self._returned.appendleft(said)

    def begin(self, way: Way) -> Try:
        """A new try; what comes of it happens here. Whoever began it ends its candidates."""
        number = next(self._numbers)
        begun = Try(number, way, Candidates(way, lambda result: self._post(Outcome(number, result))))
        self._tries.append(begun)
        return begun

    def keep(self, stream: Stream) -> Stream:
        """The stream that this led to. From now on it is ended when the coordinator says so."""
        if self._signaller is None:
            return stream  # it is the coordinator's own
        self._kept = StoppableStream(stream)
        return self._kept

    def _post(self, outcome: Outcome) -> None:
        with self._lock:
            if not self._is_over.is_set():
                self._events.put(outcome)
                return
        _close(outcome)

    def _hear(self, signaller: Signaller) -> None:
        """Take in what the other end tells, in a thread; once the stream stands, only whether it has to end."""
        stopped = self._take_in(signaller)
        self._is_over.wait()
        if self._kept is not None and stopped is not None:
            self._kept.stop(stopped.message)
        elif self._kept is not None:
            self._kept.watch(signaller)

    def _take_in(self, signaller: Signaller) -> StreamStopped | None:
        taken = 0
        try:
            while not self._is_over.is_set():
                body = signaller.receive(_RECEIVE_S)
                if body is None:
                    continue
                taken += 1
                if taken > SIGNALS_TAKEN_MAX:
                    raise NoWay(f"the other end told more than {SIGNALS_TAKEN_MAX} things and opened no stream")
                self._events.put(signal.decode(body))
        except ProtocolError as error:
            self._events.put(NoWay(f"the other end tells what is not understood: {error.message}"))
        except StreamStopped as error:
            self._events.put(error)
            return error
        except OpsconsoleError as error:
            self._events.put(error)
        return None


def _close(event: AnySignal | Outcome | OpsconsoleError) -> None:
    """Close the stream of an outcome that nobody wants any more."""
    if isinstance(event, Outcome) and not isinstance(event.result, str):
        event.result.close()
