"""One end of a session: bytes from files and sockets of this machine go to the other end, and the other end's to them.

One thread carries all of it (`run`), another one receives. The receiving one never waits for a file here, as what it has is bounded
by the channels' windows: so the two ends never wait for each other.
"""

import contextlib
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable

from opsconsole_protocol.bound import cut
from opsconsole_protocol.error import OpsconsoleError, ProtocolError
from opsconsole_protocol.host.stream.stream import Stream
from opsconsole_protocol.session.flow import Incoming, Outgoing
from opsconsole_protocol.session.frame import (
    DATA_BYTES_MAX,
    Alive,
    Control,
    Data,
    End,
    Frame,
    FrameReader,
    Reset,
    Taken,
    encode,
)
from opsconsole_protocol.stream.error import StreamLost

ALIVE_S = 30.0
"""How long an end is silent at most."""
SILENT_S = 4 * ALIVE_S
"""After this the other end is gone."""
_BLOCKING_BYTES = 4096
"""A file that may block takes this much whenever it says that it takes anything."""
_RECEIVE_BYTES = 256 * 1024
_INBOX_MAX = 1_000
"""Pieces that came and weren't looked at. Of an other end that keeps to the windows there are fewer."""


class Wire:
    """A channel's files at this end; -1 where it has none. Whoever gives them away here has them no longer.

    `sock`: the connection whose descriptor they are. `is_lent`: they stay open, and may block.
    """

    def __init__(
        self, source: int = -1, sink: int = -1, *, sock: socket.socket | None = None, is_lent: bool = False
    ) -> None:
        self.source = source if sock is None else sock.fileno()
        self.sink = sink if sock is None else sock.fileno()
        self.outgoing, self.incoming = Outgoing(), Incoming()
        self.on_read: Callable[[bytes], bytes] = bytes
        """What is sent of what was read."""
        self._sock = sock
        self.is_lent = is_lent
        if not is_lent:
            for descriptor in {self.source, self.sink} - {-1}:
                os.set_blocking(descriptor, False)

    @property
    def is_connection(self) -> bool:
        """Whether it is one that came or was made for its channel."""
        return self._sock is not None

    @property
    def room_bytes(self) -> int:
        """How much may be read now. `on_read` may have held a byte back, which goes with the next ones."""
        return max(0, self.outgoing.room - 1)

    @property
    def piece_bytes(self) -> int:
        """The most that is written at once."""
        return _BLOCKING_BYTES if self.is_lent else DATA_BYTES_MAX

    def end_source(self) -> None:
        """There is no more to be read."""
        source, self.source = self.source, -1
        if source >= 0 and not self.is_lent and self._sock is None:
            os.close(source)
        self._close_if_over()

    def end_sink(self) -> None:
        """There is no more to be written."""
        sink, self.sink = self.sink, -1
        if sink < 0 or self.is_lent:
            return
        if self._sock is None:
            os.close(sink)
        else:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)
        self._close_if_over()

    @property
    def is_over(self) -> bool:
        """Whether nothing goes either way any more."""
        return self.source < 0 and self.sink < 0

    def close(self) -> None:
        """End both."""
        self.end_source()
        self.end_sink()

    def _close_if_over(self) -> None:
        if self.is_over and self._sock is not None:
            self._sock.close()


class Session:
    """`on_control` is called in the thread of `run` with what the other end says that isn't about a channel that is here."""

    def __init__(self, stream: Stream, on_control: Callable[[Control], None]) -> None:
        self._stream = stream
        self._on_control = on_control
        self.wires: dict[int, Wire] = {}
        self._listeners: dict[int, Callable[[], None]] = {}
        self._inbox: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._is_over = False
        self._woken, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._said_s = self._heard_s = time.monotonic()
        self._is_draining = False
        self.is_broken = False
        """A file that was lent takes no more, which has ended it."""
        self.bytes = 0
        """Of all channels, both ways."""

    # --- in the thread of `run`, or before ---------------------------------------------------------------------------

    def listen(self, descriptor: int, on_ready: Callable[[], None]) -> None:
        """Have `on_ready` called whenever this descriptor can be read."""
        self._listeners[descriptor] = on_ready

    def say(self, frame: Frame) -> None:
        """Send a frame. Raises StreamLost."""
        self._said_s = time.monotonic()
        self._stream.send(encode(frame))

    def drain(self) -> None:
        """Whoever wrote to the sources has ended: what they have at once is all that there is."""
        self._is_draining = True

    @property
    def has_sources(self) -> bool:
        """Whether something may still have to be sent."""
        return any(wire.source >= 0 for wire in self.wires.values())

    @property
    def has_waiting(self) -> bool:
        """Whether something that came hasn't been written."""
        return any(wire.incoming.waiting and wire.sink >= 0 for wire in self.wires.values())

    def reset(self, channel: int, reason: str) -> None:
        """A channel is over."""
        wire = self.wires.pop(channel, None)
        if wire is not None:
            wire.close()
        self.say(Reset(channel, cut(reason)))

    def end(self) -> None:
        """Have `run` return."""
        self._is_over = True

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Carry all of it until `end`, or until `until` says so. Raises what `on_control` raises, StreamLost or ProtocolError."""
        receiver = threading.Thread(target=self._receive, name="session", daemon=True)
        receiver.start()
        try:
            while not (self._is_over or until()):
                self._turn()
        finally:
            self._stream.close()
            receiver.join()
            for wire in self.wires.values():
                wire.close()
            with self._lock:
                os.close(self._waker)
                os.close(self._woken)
                self._waker = -1

    def _turn(self) -> None:
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        for descriptor in self._listeners:
            poll.register(descriptor, select.POLLIN)
        for descriptor, interest in self._interests().items():
            poll.register(descriptor, interest)
        ready = dict(poll.poll(0 if self._is_draining else ALIVE_S * 1000 / 2))
        if not ready and self._is_draining and any(one.source >= 0 and one.room_bytes for one in self.wires.values()):
            for channel, wire in list(self.wires.items()):
                if wire.source >= 0 and wire.room_bytes:
                    self._end_source(channel, wire)
        elif not ready and self._is_draining:
            ready = dict(poll.poll(ALIVE_S * 1000 / 2))
        if self._woken in ready:
            self._take_inbox()
        for descriptor, on_ready in list(self._listeners.items()):
            if descriptor in ready:
                on_ready()
        for channel, wire in list(self.wires.items()):
            if self.wires.get(channel) is wire:
                self._serve(channel, wire, ready)
        self._check_life()

    def _interests(self) -> dict[int, int]:
        """What is waited for. A file of which nothing is wanted is left out, or its end would be told over and over."""
        found: dict[int, int] = {}
        for wire in self.wires.values():
            if wire.source >= 0 and wire.room_bytes:
                found[wire.source] = found.get(wire.source, 0) | select.POLLIN
            if wire.sink >= 0 and wire.incoming.waiting:
                found[wire.sink] = found.get(wire.sink, 0) | select.POLLOUT
        return found

    def _check_life(self) -> None:
        now_s = time.monotonic()
        if now_s - self._said_s > ALIVE_S:
            self.say(Alive())
        if now_s - self._heard_s > SILENT_S:
            raise StreamLost(f"nothing was heard of the other end for {SILENT_S:g} s")

    def _serve(self, channel: int, wire: Wire, ready: dict[int, int]) -> None:
        try:
            if wire.sink in ready and wire.incoming.waiting:
                self._write(channel, wire)
            if wire.source in ready and wire.room_bytes:
                self._read(channel, wire)
        except OSError as error:
            self.reset(channel, os.strerror(error.errno or 0))
            return
        if wire.incoming.is_ended and not wire.incoming.waiting:
            wire.end_sink()
        if wire.is_over and wire.is_connection:
            self.wires.pop(channel, None)

    def _read(self, channel: int, wire: Wire) -> None:
        try:
            data = os.read(wire.source, min(DATA_BYTES_MAX, wire.room_bytes))
        except BlockingIOError:
            return
        except OSError:
            if wire.is_connection:
                raise
            data = b""  # of a terminal that nobody writes to any more
        if not data:
            self._end_source(channel, wire)
        elif data := wire.on_read(data):
            wire.outgoing.sent(len(data))
            self.bytes += len(data)
            self.say(Data(channel, data))

    def _end_source(self, channel: int, wire: Wire) -> None:
        wire.end_source()
        self.say(End(channel))

    def _write(self, channel: int, wire: Wire) -> None:
        try:
            count = os.write(wire.sink, memoryview(wire.incoming.waiting)[: wire.piece_bytes])
        except BlockingIOError:
            return
        except OSError:
            if wire.is_connection:
                raise
            wire.end_sink()  # nobody reads it any more; what comes is let go of
            if wire.is_lent:
                self.is_broken = self._is_over = True
            count = len(wire.incoming.waiting)
        self._took(channel, wire, count)

    def _took(self, channel: int, wire: Wire, count: int) -> None:
        self.bytes += count
        told = wire.incoming.take(count)
        if told and not wire.incoming.is_ended:
            self.say(Taken(channel, told))

    # --- what comes --------------------------------------------------------------------------------------------------

    def post(self, act: Callable[[], None]) -> None:
        """Have `act` called in the thread of `run`; from any thread. It is dropped where that has returned."""
        with self._lock:
            self._inbox.append(act)
            if self._waker >= 0:
                with contextlib.suppress(BlockingIOError):
                    os.write(self._waker, b"\0")

    def _take_inbox(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, 1 << 12)
        while self._inbox:
            self._inbox.popleft()()

    def _receive(self) -> None:
        reader = FrameReader()
        buffer = memoryview(bytearray(_RECEIVE_BYTES))
        try:
            while size := self._stream.receive_into(buffer):
                frames = list(reader.feed(buffer[:size]))
                if len(self._inbox) > _INBOX_MAX:
                    raise ProtocolError("the other end of the session says more than it may: it is closed")
                self.post(lambda frames=frames: self._take(frames))  # type: ignore[misc]
        except OpsconsoleError as error:
            self.post(lambda error=error: _throw(error))  # type: ignore[misc]
        else:
            self.post(lambda: _throw(StreamLost("the other end has left")))

    def _take(self, frames: list[Frame]) -> None:
        self._heard_s = time.monotonic()
        for frame in frames:
            self._take_one(frame)

    def _take_one(self, frame: Frame) -> None:
        match frame:
            case Data(channel=channel, data=data):
                wire = self.wires.get(channel)
                if wire is not None:
                    wire.incoming.receive(data)
                    if wire.sink < 0:
                        self._took(channel, wire, len(data))
            case Taken(channel=channel, count=count):
                if (wire := self.wires.get(channel)) is not None:
                    wire.outgoing.taken(count)
            case End(channel=channel):
                if (wire := self.wires.get(channel)) is not None:
                    wire.incoming.is_ended = True
            case Reset(channel=channel):
                wire = self.wires.pop(channel, None)
                if wire is not None:
                    wire.close()
                self._on_control(frame)
            case Alive():
                pass
            case _:
                self._on_control(frame)


def _throw(error: OpsconsoleError) -> None:
    raise error
