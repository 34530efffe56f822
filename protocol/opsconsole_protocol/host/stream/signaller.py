"""How the two ends of a stream reach each other before it stands, and what an end says while it waits."""

import time
from collections import deque
from threading import Event
from typing import Protocol

from opsconsole_protocol.error import ProtocolError
from opsconsole_protocol.stream import signal
from opsconsole_protocol.stream.error import NoWay, StreamCancelled
from opsconsole_protocol.stream.signal import AnySignal

SIGNALS_TAKEN_MAX = 64
"""Of one stream: ends that mean well need a dozen."""
POLL_S = 0.25
"""How soon a cancel is noticed."""


class Signaller(Protocol):
    """Carries signals between the two ends of one stream, over the links that they have to the coordinator. It blocks."""

    def send(self, body: bytes) -> None:
        """Tell the other end. Raises StreamLost when the stream is over."""

    def receive(self, timeout_s: float) -> bytes | None:
        """What the other end tells, or None after `timeout_s`. Raises StreamLost when the stream is over."""


class Conversation:
    """One end's side of what the two ends say. What is received can be put back for somebody else to receive.

    It is a Signaller, too: a way that exchanges signals of its own (WebRTC) is given the conversation.
    """

    def __init__(self, signaller: Signaller, cancel: Event) -> None:
        self._signaller = signaller
        self._cancel = cancel
        self._returned: deque[bytes] = deque()
        self._taken = 0

    def say(self, said: AnySignal) -> None:
        """Tell the other end. Raises StreamLost."""
        self.send(signal.encode(said))

    def hear(self, timeout_s: float) -> AnySignal | None:
        """What the other end tells, or None after `timeout_s`.

        Raises StreamLost, StreamCancelled, or NoWay where the other end tells what can't be, or without end.
        """
        until = time.monotonic() + timeout_s
        while True:
            if self._cancel.is_set():
                raise StreamCancelled("the transfer was cancelled")
            left_s = until - time.monotonic()
            body = self.receive(max(0.0, min(POLL_S, left_s)))
            if body is not None:
                try:
                    return signal.decode(body)
                except ProtocolError as error:
                    raise NoWay(f"the other end speaks another version: {error.message}") from None
            if left_s <= 0:
                return None

    def put_back(self, said: AnySignal) -> None:
        """Let `said` be the next that is heard."""
        self._returned.appendleft(signal.encode(said))

    def send(self, body: bytes) -> None:
        """Tell the other end. Raises StreamLost."""
        self._signaller.send(body)

    def receive(self, timeout_s: float) -> bytes | None:
        """What the other end tells, or None after `timeout_s`. Raises StreamLost, or NoWay where there is no end of it."""
        if self._returned:
            return self._returned.popleft()
        body = self._signaller.receive(timeout_s)
        if body is not None:
            self._taken += 1
            if self._taken > SIGNALS_TAKEN_MAX:
                raise NoWay(f"the other end told more than {SIGNALS_TAKEN_MAX} things and opened no stream")
        return body
