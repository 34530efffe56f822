"""Moves bytes between a socket, whose other end the caller has, and a data channel, in the channel's loop.

It reads from the socket only what the channel has room for, and writes no faster than the caller reads: how far either may be
ahead is bounded by `ChannelFlow` and by the engine's own buffer.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections import deque

from opsconsole_protocol.error import ProtocolError
from opsconsole_protocol.host.stream.webrtc.channel import Channel
from opsconsole_protocol.stream.channel_flow import DONE_MESSAGE, MESSAGE_BYTES_MAX, ChannelFlow, MessageKind

BUFFERED_BYTES_MAX = 2 * 1024 * 1024
"""What may wait in the engine to be sent."""
BEAT_S = 2.0
SILENT_S = 20.0
"""Without any message for this time the other end counts as gone; each sends a sign of life every BEAT_S."""
FAREWELL_S = 3.0
"""How long an end that needs the channel no longer waits for the other to say the same."""
LINGER_S = 30.0
"""How long the last bytes of a caller that has closed may take to be read by the other end, without any progress."""
READS_AT_ONCE = 8
"""Messages made of one wake-up, so that what arrives has its turn."""


class Pump:
    """Made in the loop of its channel; `ended` is done with the reason when nothing moves any more, empty for an orderly end."""

    def __init__(self, end: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = end
        self._end.setblocking(False)
        self._channel: Channel | None = None
        self._flow = ChannelFlow()
        self._buffer = bytearray(1 + MESSAGE_BYTES_MAX)
        self._buffer[0] = MessageKind.DATA
        self._incoming: deque[memoryview] = deque()
        self._reads = self._writes = False
        self._is_deaf = False
        """The caller reads no more."""
        self.is_told_end = False
        """The caller has been given all that the other end sent, and its end."""
        self._is_done = False
        self._heard_s = self._progress_s = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self.opened: asyncio.Future[None] = self._loop.create_future()
        self.ended: asyncio.Future[str] = self._loop.create_future()

    def attach(self, channel: Channel) -> None:
        """Set the channel that this is the listener of."""
        self._channel = channel

    # what the channel says

    def on_open(self) -> None:
        """Start moving."""
        if self.ended.done() or self.opened.done():
            return
        self.opened.set_result(None)
        self._heard_s = self._progress_s = self._loop.time()
        self._timer = self._loop.call_later(BEAT_S, self._beat)
        self._watch()

    def on_message(self, message: bytes) -> None:
        """Take in what the other end says."""
        if self.ended.done():
            return
        self._heard_s = self._loop.time()
        room_bytes = self._flow.room_bytes
        try:
            data = self._flow.receive(message)
        except ProtocolError as error:
            self.on_end(error.message)
            return
        if data:
            self._incoming.append(data)
        elif self._flow.room_bytes > room_bytes:
            self._progress_s = self._heard_s
        elif last := self._flow.last_taken_message():
            self._send(last)
        if not self._writes:
            self._deliver()
        self._watch()
        self._maybe_finish()

    def on_room(self) -> None:
        """Read on."""
        self._watch()

    def on_end(self, reason: str) -> None:
        """Note that nothing moves any more."""
        if self.ended.done():
            return
        if not self.opened.done():
            self.opened.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._unwatch()
        self.ended.set_result("" if self._is_done else reason)

    # from the caller to the channel

    def _watch(self) -> None:
        """Read from the caller if there is room for it."""
        wanted = self._may_read()
        if wanted and not self._reads:
            self._loop.add_reader(self._end, self._read)
        elif self._reads and not wanted:
            self._loop.remove_reader(self._end)
        self._reads = wanted

    def _may_read(self) -> bool:
        return (
            self._channel is not None
            and self.opened.done()
            and not self.ended.done()
            and not self._flow.has_ended
            and self._flow.room_bytes > 0
            and self._channel.buffered_bytes < BUFFERED_BYTES_MAX
        )

    def _read(self) -> None:
        for _ in range(READS_AT_ONCE):
            if not self._may_read():
                break
            room = min(MESSAGE_BYTES_MAX, self._flow.room_bytes)
            try:
                count = self._end.recv_into(memoryview(self._buffer)[1 : 1 + room])
            except BlockingIOError:
                break
            except ConnectionError:
                count = 0
            if not count:
                self._is_deaf = self._is_deaf or _is_closed(self._end)
                self._progress_s = self._loop.time()
                self._send(self._flow.end())
                break
            self._flow.sent(count)
            self._send(bytes(memoryview(self._buffer)[: 1 + count]))
        self._watch()
        self._maybe_finish()

    def _send(self, message: bytes) -> None:
        if self._channel is not None and not self.ended.done():
            self._channel.send(message)

    # from the channel to the caller

    def _deliver(self) -> None:
        while self._incoming and not self.ended.done():
            data = self._incoming[0]
            try:
                count = len(data) if self._is_deaf else self._end.send(data)
            except BlockingIOError:
                break
            except ConnectionError:
                self._is_deaf = True
                continue
            if count == len(data):
                self._incoming.popleft()
            else:
                self._incoming[0] = data[count:]
            if told := self._flow.take(count):
                self._send(told)
        wanted = bool(self._incoming) and not self.ended.done()
        if wanted and not self._writes:
            self._loop.add_writer(self._end, self._on_writable)
        elif self._writes and not wanted:
            self._loop.remove_writer(self._end)
        self._writes = wanted
        if self._flow.peer_has_ended and not self._incoming and not self.is_told_end:
            self.is_told_end = True
            if not self._is_deaf:
                self._end.shutdown(socket.SHUT_WR)

    def _on_writable(self) -> None:
        self._deliver()
        self._maybe_finish()

    # the end

    def _maybe_finish(self) -> None:
        """Take leave when all that this end had to send is taken, and nothing more is to be read."""
        if self.ended.done():
            return
        if not self._is_done and self._flow.is_all_taken and (self.is_told_end or self._is_deaf):
            self._is_done = True
            self._send(DONE_MESSAGE)
            self._loop.call_later(FAREWELL_S, self.on_end, "")
        if self._flow.peer_is_done and self._is_done:
            self.on_end("")
        elif self._flow.peer_is_done and not self._incoming:
            # It has sent all that it had and reads no more.
            self._send(DONE_MESSAGE)
            self.on_end("the other end has closed the stream")

    def _unwatch(self) -> None:
        if self._reads:
            self._loop.remove_reader(self._end)
        if self._writes:
            self._loop.remove_writer(self._end)
        self._reads = self._writes = False

    def _beat(self) -> None:
        now = self._loop.time()
        if now - self._heard_s > SILENT_S:
            self.on_end(f"nothing has been heard from the other end for {SILENT_S:.0f} s")
            return
        if self._flow.has_ended and self._is_deaf and now - self._progress_s > LINGER_S:
            self.on_end("the other end doesn't read the last bytes")
            return
        self._send(self._flow.taken_message())
        self._timer = self._loop.call_later(BEAT_S, self._beat)


def _is_closed(end: socket.socket) -> bool:
    """Whether the other end of the pair is closed in both directions."""
    poll = select.poll()
    poll.register(end, 0)
    return any(state & select.POLLHUP for _, state in poll.poll(0))
