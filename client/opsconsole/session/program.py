"""A program in a running task, with files of this process as its stdin, stdout and stderr, or with a terminal."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from opsconsole.session.escape import Escape
from opsconsole.session.opening import opened
from opsconsole_protocol.error import ProtocolError, from_code
from opsconsole_protocol.session.frame import STDERR, STDIN, STDOUT, Control, Exit, Failed, Resize, Signal
from opsconsole_protocol.stream.message import RunInTask, Via

if TYPE_CHECKING:
    from opsconsole.transfer.broker import Asker
    from opsconsole_protocol.host.session.session import Session
    from opsconsole_protocol.host.stream.stream import Stream

_BROKEN_PIPE = 128 + 13


class Program:
    """One. `files`: the descriptors of stdin, stdout and stderr here. They stay open. `begin` is called when the other end is there."""

    def __init__(
        self, purpose: RunInTask, files: tuple[int, int, int] = (0, 1, 2), begin: Callable[[], None] | None = None
    ) -> None:
        self._begin = begin
        self._escape = Escape()
        self._purpose = purpose
        self._files = files
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._exit: Exit | None = None

    # --- from any thread ---------------------------------------------------------------------------------------------

    def signal(self, number: int) -> bool:
        """Send it a signal; False where it doesn't run yet, or any more."""
        return self._post(lambda session: session.say(Signal(number)))

    def resize(self, columns: int, rows: int) -> bool:
        """Its terminal has another size."""
        return self._post(lambda session: session.say(Resize(columns, rows)))

    def leave(self) -> bool:
        """Break off, which ends it."""
        return self._post(lambda session: session.end())

    def _post(self, act: Callable[[Session], None]) -> bool:
        with self._lock:
            session = self._session
        if session is None:
            return False
        session.post(lambda: act(session))
        return True

    # --- in a thread -------------------------------------------------------------------------------------------------

    def run(self, asker: Asker, via: Via, tell: Callable[[str], None], cancel: threading.Event) -> Exit | None:
        """Run it to its end, and return how that was; None where this end has left. Raises OpsconsoleError."""
        with opened(asker, self._purpose, via, tell, cancel, self._count) as stream:
            self._carry(stream)
        return self._exit

    def _count(self) -> int:
        return 0 if self._session is None else self._session.bytes

    def _carry(self, stream: Stream) -> None:
        from opsconsole_protocol.host.session.session import Session, Wire

        session = Session(stream, self._on_control)
        stdin, stdout, stderr = self._files
        session.wires[STDOUT] = Wire(sink=stdout, is_lent=True)
        if self._purpose.terminal is None:
            session.wires[STDERR] = Wire(sink=stderr, is_lent=True)
        session.wires[STDIN] = Wire(source=stdin, is_lent=True)
        if self._purpose.terminal is not None:
            session.wires[STDIN].on_read = self._escape.take
        if self._begin is not None:
            self._begin()
        with self._lock:
            self._session = session
        session.run(lambda: self._escape.is_typed or (self._exit is not None and not session.has_waiting))
        if self._exit is None and session.is_broken:
            self._exit = Exit(_BROKEN_PIPE)

    def _on_control(self, control: Control) -> None:
        match control:
            case Exit():
                self._exit = control
            case Failed(code=code, message=message):
                raise from_code(code, message)
            case _:
                raise ProtocolError("the worker says what makes no sense here: the session is closed")
