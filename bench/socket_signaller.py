"""Signals between two ends of a stream in two processes of this machine."""

import contextlib
import socket

from opsconsole_protocol.stream.error import StreamLost


class SocketSignaller:
    """A Signaller over a socket to the other end; each body is one datagram."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def send(self, body: bytes) -> None:
        """Tell the other end."""
        self._socket.send(body)

    def receive(self, timeout_s: float) -> bytes | None:
        """What the other end tells, or None after `timeout_s`. Raises StreamLost once that is gone."""
        self._socket.settimeout(max(timeout_s, 0.001))
        with contextlib.suppress(TimeoutError):
            body = self._socket.recv(100_000)
            if not body:
                raise StreamLost("the other end is gone")
            return body
        return None
