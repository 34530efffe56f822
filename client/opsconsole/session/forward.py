"""A port of a running task at an address of this machine: each connection there is one to the port."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from opsconsole.session.opening import opened
from opsconsole_protocol.error import Conflict, InvalidRequest, ProtocolError, from_code
from opsconsole_protocol.session.frame import Control, Failed, Open, Reset
from opsconsole_protocol.stream.error import StreamLost
from opsconsole_protocol.stream.message import ReachPort, Via

if TYPE_CHECKING:
    import socket

    from opsconsole.transfer.broker import Asker
    from opsconsole_protocol.host.session.session import Session
    from opsconsole_protocol.host.stream.stream import Stream

AGAIN_S = 1.0
"""After a stream broke."""
_CHANNELS = 1 << 16
_PORT_MAX = 65_535
_BACKLOG = 128


def listen(port: int) -> socket.socket:
    """A socket of this machine that listens on this port of 127.0.0.1, 0: on one that is free. Raises InvalidRequest or Conflict."""
    import socket

    if not 0 <= port <= _PORT_MAX:
        raise InvalidRequest(f"{port} is no port: choose one from 1 to {_PORT_MAX}")
    try:
        return socket.create_server(("127.0.0.1", port), backlog=_BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "no reason is known"  # its text has words of Python's
        raise Conflict(f"127.0.0.1:{port} can't be listened on ({reason}): choose another port") from None


class Forward:
    """One port. `listener` listens here; it stays open. `stands` is called, each time, when connections get through."""

    def __init__(self, purpose: ReachPort, listener: socket.socket, stands: Callable[[], None]) -> None:
        self._purpose = purpose
        self._listener = listener
        self._stands = stands
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._has_stood = False
        self._next = 0

    def leave(self) -> bool:
        """Break off, from any thread; False where no stream stands."""
        with self._lock:
            session = self._session
        if session is None:
            return False
        session.post(session.end)
        return True

    def run(self, asker: Asker, via: Via, tell: Callable[[str], None], cancel: threading.Event) -> None:
        """Pass connections on, in a thread, until `leave`. A stream that broke is opened again. Raises OpsconsoleError."""
        while True:
            try:
                with opened(asker, self._purpose, via, _say_nothing, cancel, self._count) as stream:
                    self._carry(stream, tell)
            except StreamLost as lost:
                if not self._has_stood or cancel.wait(AGAIN_S):
                    raise
                tell(f"the connections were lost ({lost.message}): it is opened again")
            else:
                return

    def _count(self) -> int:
        return 0 if self._session is None else self._session.bytes

    def _carry(self, stream: Stream, tell: Callable[[str], None]) -> None:
        from opsconsole_protocol.host.session.session import Session

        session = Session(stream, lambda control: _heard(control, tell))
        session.listen(self._listener.fileno(), lambda: self._accept(session))
        with self._lock:
            self._session = session
        self._has_stood = True
        self._stands()
        session.run()

    def _accept(self, session: Session) -> None:
        from opsconsole_protocol.host.session.session import Wire
        from opsconsole_protocol.host.stream.stream import tune

        try:
            sock, _ = self._listener.accept()
        except OSError:  # it has gone again, or there is no descriptor for it
            return
        while self._next in session.wires:
            self._next = (self._next + 1) % _CHANNELS
        tune(sock)
        session.wires[self._next] = Wire(sock=sock)
        session.say(Open(self._next))
        self._next = (self._next + 1) % _CHANNELS


def _heard(control: Control, tell: Callable[[str], None]) -> None:
    match control:
        case Reset(reason=reason):
            tell(f"a connection was closed: {reason}")
        case Failed(code=code, message=message):
            raise from_code(code, message)
        case _:
            raise ProtocolError("the worker says what makes no sense here: the session is closed")


def _say_nothing(_: str) -> None:
    """Which way is taken is nobody's concern while it works."""
