"""The transfer process: one thread takes connections and orders, and every stream has a thread that carries it."""

import selectors
import socket
import ssl
import threading
import time
import traceback
from pathlib import Path

from opsconsole_coordinator.transfer.channel import Channel
from opsconsole_coordinator.transfer.keeping import Keeping
from opsconsole_coordinator.transfer.lobby import SWEEP_S, Guest, Lobby
from opsconsole_coordinator.transfer.message import (
    Begun,
    Cancel,
    Closed,
    Configure,
    Connection,
    Counted,
    Expect,
    FromCoordinator,
    FromProcess,
    Look,
    Over,
    Pin,
    Receive,
    Relay,
    Remove,
    Said,
    Serve,
    Unpin,
)
from opsconsole_coordinator.transfer.rate import Rate
from opsconsole_coordinator.transfer.relay import IDLE_S, RelayBroken
from opsconsole_coordinator.transfer.relay import Relay as RunningRelay
from opsconsole_coordinator.transfer.ticket import Tickets
from opsconsole_coordinator.transfer.watched_stream import WatchedStream
from opsconsole_protocol.bound import cut
from opsconsole_protocol.error import OpsconsoleError, ProtocolError, Unavailable
from opsconsole_protocol.host.content.session import Summary
from opsconsole_protocol.host.stream.stream import SocketStream
from opsconsole_protocol.stream import upgrade
from opsconsole_protocol.stream.message import Way

STORE_STREAMS_MAX = 64
"""Trees that are sent or received here at a time; each has buffers for the largest frames."""


class TransferProcess:
    """All of it. `run` returns once the coordinator is gone."""

    def __init__(self, channel: Channel, configure: Configure) -> None:
        self._channel = channel
        self._selector = selectors.DefaultSelector()
        self._tickets = Tickets()
        self._lobby = Lobby(self._selector, self._tickets, tls_context(configure), self._tell, self._begin)
        self._rate = Rate(configure.relay_bytes_s)
        self._relays_max = configure.relay_streams
        self._keeping = Keeping(Path(configure.content_folder), configure.content_bytes_max, self._tell)
        self._lock = threading.Lock()
        self._relays: dict[str, RunningRelay] = {}
        self._streams: dict[str, WatchedStream] = {}
        """Streams from and to the store."""
        self._relayed_bytes = 0
        """By relays that are over."""
        self._told = Counted(relays=0, relayed_bytes=0, kept_bytes=0, refused={})

    def run(self) -> None:
        """Serve until the coordinator is gone."""
        threading.Thread(target=self._keeping.run, name="keep trees", daemon=True).start()
        self._selector.register(self._channel.socket, selectors.EVENT_READ, None)
        swept_s = 0.0
        while True:
            for key, _ in self._selector.select(SWEEP_S):
                if key.data is not None:
                    self._lobby.go_on(key.data)
                elif not self._take_order():
                    return
            if time.monotonic() - swept_s > SWEEP_S:
                swept_s = time.monotonic()
                self._lobby.sweep()
                self._end_stalled()
                self._count()

    def _take_order(self) -> bool:
        received = self._channel.receive()
        if received is None:
            return False
        message, connection = received
        if isinstance(message, Connection):
            if connection is None:
                self._tell(Closed(number=message.number))  # this process had no descriptor left
            else:
                self._lobby.welcome(message.number, connection)
        else:
            self._obey(message)
        return True

    def _obey(self, message: FromCoordinator) -> None:
        match message:
            case Expect():
                self._tickets.expect(message, time.monotonic())
            case Cancel(stream_id=stream_id, reason=reason):
                self._cancel(stream_id, reason)
            case Pin() | Unpin() | Remove():
                self._keeping.order(message)
            case Look():
                work = threading.Thread(
                    target=lambda: self._tell(self._keeping.look(message)), name="look", daemon=True
                )
                work.start()
            case _:
                raise ProtocolError(f"{type(message).__name__} isn't expected here")

    def _cancel(self, stream_id: str, reason: str) -> None:
        self._lobby.cancel(stream_id, reason)
        with self._lock:
            relay, stream = self._relays.get(stream_id), self._streams.get(stream_id)
        if relay is not None:
            relay.cancel(reason)
        if stream is not None:
            stream.close()

    def _end_stalled(self) -> None:
        """Close the streams from and to the store by which nothing has moved for long. Relays see to it themselves."""
        with self._lock:
            streams = list(self._streams.values())
        for stream in streams:
            if time.monotonic() - stream.moved_s > IDLE_S:
                stream.close()

    # --- streams -----------------------------------------------------------------------------------------------

    def _begin(self, guests: list[Guest]) -> str:
        """Let a thread carry the stream of these guests; says in one line why not."""
        admission = guests[0].admission
        assert admission is not None  # noqa: S101 - only who was admitted is part of a stream
        is_relay = isinstance(admission.expect.work, Relay)
        with self._lock:
            if is_relay and len(self._relays) >= self._relays_max:
                return f"the coordinator relays {self._relays_max} streams already: try again later"
            if not is_relay and len(self._streams) >= STORE_STREAMS_MAX:
                return f"the coordinator sends or receives {STORE_STREAMS_MAX} trees already: try again later"
            stream_id = admission.expect.stream_id
            carry: RunningRelay | WatchedStream
            if is_relay:
                carry = self._relays[stream_id] = RunningRelay(guests[0].socket, guests[1].socket, self._rate)
            else:
                carry = self._streams[stream_id] = WatchedStream(SocketStream(guests[0].socket, Way.RELAY))
        thread = threading.Thread(
            target=self._carry, args=(admission.expect, guests, carry), name=stream_id, daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # the system has no thread left
            with self._lock:
                self._relays.pop(stream_id, None)
                self._streams.pop(stream_id, None)
            return "the coordinator can carry no more streams at the moment: try again later"
        return ""

    def _carry(self, expect: Expect, guests: list[Guest], carry: RunningRelay | WatchedStream) -> None:
        began_s = time.monotonic()
        self._tell(Begun(stream_id=expect.stream_id))
        error, code, moved_bytes = "", "", 0
        summary: Summary | None = None
        try:
            for guest in guests:
                _accept(guest)
            if isinstance(carry, RunningRelay):
                carry.run()
            else:
                summary = self._move(expect, carry)
                moved_bytes = summary.bytes_sent
        except (RelayBroken, OpsconsoleError, OSError) as broken:
            error = cut(" ".join(str(broken).split()))
            code = broken.code if isinstance(broken, OpsconsoleError) else Unavailable.code
        except Exception:  # noqa: BLE001 - a mistake over one stream must not be the end of all
            code, error = "internal", "the coordinator made a mistake over this; its log says more. Please report it"
            self._tell(Said(text=cut(traceback.format_exc(limit=-5))))
        finally:
            with self._lock:
                self._relays.pop(expect.stream_id, None)
                self._streams.pop(expect.stream_id, None)
                if isinstance(carry, RunningRelay):
                    moved_bytes = carry.moved_bytes
                    self._relayed_bytes += moved_bytes
                else:
                    carry.close()
            for guest in guests:
                guest.socket.close()
                self._tell(Closed(number=guest.number))
        self._tell(
            Over(
                stream_id=expect.stream_id,
                moved_bytes=moved_bytes,
                milliseconds=round((time.monotonic() - began_s) * 1000),
                error=error,
                code=code,
                content_id=summary.content_id if summary is not None else None,
                files=summary.files if summary is not None else 0,
                size_bytes=summary.bytes if summary is not None else 0,
            )
        )

    def _move(self, expect: Expect, stream: WatchedStream) -> Summary:
        if isinstance(expect.work, Serve):
            return self._keeping.serve(expect.work, stream)
        assert isinstance(expect.work, Receive)  # noqa: S101 - relays aren't moved here
        return self._keeping.receive(expect.work, stream)

    # --- what is told ------------------------------------------------------------------------------------------

    def _tell(self, message: FromProcess) -> None:
        try:
            self._channel.send(message)
        except OSError:
            return  # the coordinator is gone, which ends `run`

    def _count(self) -> None:
        with self._lock:
            relays = list(self._relays.values())
            relayed_bytes = self._relayed_bytes + sum(relay.moved_bytes for relay in relays)
        counted = Counted(
            relays=len(relays),
            relayed_bytes=relayed_bytes,
            kept_bytes=self._keeping.size_bytes,
            refused=dict(self._lobby.refused),
        )
        if counted != self._told:
            self._told = counted
            self._tell(counted)


def _accept(guest: Guest) -> None:
    assert guest.admission is not None  # noqa: S101 - only who was admitted is part of a stream
    guest.socket.settimeout(SWEEP_S)
    guest.socket.sendall(upgrade.format_acceptance(guest.admission.proof))


def tls_context(configure: Configure) -> ssl.SSLContext | None:
    """How the port speaks TLS; None where it speaks none. Raises OSError where the files can't be read."""
    if not configure.certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF  # one side's end is passed on below TLS
    context.set_alpn_protocols([upgrade.ALPN])
    context.load_cert_chain(configure.certificate, configure.key, password=lambda: "")
    return context


def serve(sock: socket.socket) -> None:
    """Serve the coordinator at the other end of `sock` until it is gone."""
    channel = Channel(sock)
    received = channel.receive()
    if received is None:
        return
    configure, _ = received
    if not isinstance(configure, Configure):
        raise ProtocolError("the first message has to be `configure`")
    try:
        TransferProcess(channel, configure).run()
    except Exception:
        channel.send(Said(text=cut(f"the transfer process ends: {traceback.format_exc(limit=-5)}")))
        raise
