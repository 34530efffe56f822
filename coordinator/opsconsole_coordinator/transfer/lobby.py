"""Connections before they are an end of a stream: TLS, then the request, then the wait for the other end. One thread serves all.

Who doesn't finish TLS and request in OPENING_S, sends what isn't a request, or shows no secret that is expected, is told so
in one line, closed and counted.
"""

import contextlib
import selectors
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from opsconsole_coordinator.transfer.message import Closed, FromProcess, Known, Relay
from opsconsole_coordinator.transfer.ticket import Admission, Tickets
from opsconsole_protocol.error import ProtocolError
from opsconsole_protocol.host.stream.stream import tune
from opsconsole_protocol.stream import upgrade
from opsconsole_protocol.stream.proof import where_of

OPENING_S = 10.0
JOIN_S = 20.0
"""How long one end of a relay waits for the other, which is less than it waits for an answer."""
SWEEP_S = 1.0


@dataclass(slots=True, eq=False)
class Guest:
    """A connection that isn't part of a stream yet. `socket` is wrapped by TLS where the port speaks it."""

    number: int
    socket: socket.socket
    until_s: float
    is_shaking_hands: bool
    request: bytes = b""
    admission: Admission | None = None


class Lobby:
    """All guests. Its methods are called by one thread, which also runs the selector."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        tickets: Tickets,
        context: ssl.SSLContext | None,
        tell: Callable[[FromProcess], None],
        begin: Callable[[list[Guest]], str],
        *,
        opening_s: float = OPENING_S,
    ) -> None:
        """`begin` takes over the guests of a stream, in the order of its secrets, or says in one line why not."""
        self._selector = selector
        self._tickets = tickets
        self._context = context
        self._tell = tell
        self._begin = begin
        self._opening_s = opening_s
        self._guests: set[Guest] = set()
        self._waiting: dict[str, Guest] = {}
        """Ends of relays whose other end hasn't come, by the stream."""
        self.refused: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._guests)

    def welcome(self, number: int, connection: socket.socket) -> None:
        """A connection has come."""
        connection.setblocking(False)
        try:
            tune(connection)
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        except OSError:  # it has gone already
            connection.close()
            self._tell(Closed(number=number))
            return
        guest = Guest(number, connection, time.monotonic() + self._opening_s, self._context is not None)
        self._guests.add(guest)
        self._selector.register(connection, selectors.EVENT_READ, guest)
        self.go_on(guest)

    def go_on(self, guest: Guest) -> None:
        """Something has come from a guest, or it takes more."""
        try:
            if guest.is_shaking_hands:
                assert isinstance(guest.socket, ssl.SSLSocket)  # noqa: S101 - what shakes hands speaks TLS
                guest.socket.do_handshake()
                guest.is_shaking_hands = False
            while guest in self._guests:
                self._read(guest)
        except BlockingIOError:
            return
        except ssl.SSLWantReadError:
            self._selector.modify(guest.socket, selectors.EVENT_READ, guest)
        except ssl.SSLWantWriteError:
            self._selector.modify(guest.socket, selectors.EVENT_WRITE, guest)
        except ProtocolError as error:
            self._refuse(guest, "request", upgrade.NOT_UNDERSTOOD, error.message)
        except OSError:
            self._drop(guest, "tls" if guest.is_shaking_hands else "gone")

    def sweep(self) -> None:
        """Close the guests whose time is over."""
        now_s = time.monotonic()
        self._tickets.drop_expired(now_s)
        for guest in [one for one in self._guests if one.until_s <= now_s]:
            if guest.admission is not None:
                self._refuse(guest, "alone", upgrade.NOT_JOINED, "the other end of this stream didn't come in time")
            else:
                self._drop(guest, "silent")

    def cancel(self, stream_id: str, reason: str) -> None:
        """A stream isn't wanted any more."""
        self._tickets.forget(stream_id)
        guest = self._waiting.get(stream_id)
        if guest is not None:
            self._refuse(guest, "cancelled", upgrade.GONE, reason)

    def _read(self, guest: Guest) -> None:
        data = guest.socket.recv(upgrade.UPGRADE_BYTES_MAX)
        if not data:
            self._drop(guest, "gone")
            return
        if guest.admission is not None:
            raise ProtocolError("nothing may follow a request for a stream before it is answered")
        guest.request += data
        request = upgrade.parse_request(guest.request)
        if request is None:
            return
        where = "" if self._context is not None else where_of(guest.socket.getsockname())
        guest.admission = self._tickets.admit(request, where, time.monotonic())
        if guest.admission is None:
            text = "this stream isn't expected: it was used, it has expired, or it is another's"
            self._refuse(guest, "ticket", upgrade.NOT_GOOD, text)
            return
        self._tell(Known(number=guest.number))
        self._join(guest, guest.admission)

    def _join(self, guest: Guest, admission: Admission) -> None:
        guests = [guest]
        if isinstance(admission.expect.work, Relay):
            stream_id = admission.expect.stream_id
            other = self._waiting.pop(stream_id, None)
            if other is None:
                self._waiting[stream_id] = guest
                guest.until_s = min(admission.until_s, time.monotonic() + JOIN_S)
                return
            guests = sorted((guest, other), key=_end)
        for one in guests:
            self._guests.discard(one)
            self._selector.unregister(one.socket)
        if word := self._begin(guests):
            for one in guests:
                self._turn_away(one, "full", upgrade.TOO_MANY, word)

    def _refuse(self, guest: Guest, why: str, status: int, text: str) -> None:
        self._forget(guest)
        self._turn_away(guest, why, status, text)

    def _turn_away(self, guest: Guest, why: str, status: int, text: str) -> None:
        with contextlib.suppress(OSError):
            guest.socket.send(upgrade.format_refusal(status, text))
            socket.socket.shutdown(guest.socket, socket.SHUT_WR)
        self._close(guest, why)

    def _drop(self, guest: Guest, why: str) -> None:
        self._forget(guest)
        self._close(guest, why)

    def _forget(self, guest: Guest) -> None:
        self._guests.discard(guest)
        self._selector.unregister(guest.socket)
        if guest.admission is not None:
            self._waiting.pop(guest.admission.expect.stream_id, None)

    def _close(self, guest: Guest, why: str) -> None:
        self.refused[why] += 1
        guest.socket.close()
        self._tell(Closed(number=guest.number))


def _end(guest: Guest) -> int:
    return guest.admission.end if guest.admission is not None else 0
