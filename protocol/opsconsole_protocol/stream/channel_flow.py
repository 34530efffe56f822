"""What the two ends of a data channel say to each other, and how far one may be ahead of the other's reader.

No WebRTC engine holds its peer back when the program behind it reads slowly: what arrives is handed over and piles up. So
each end tells how many bytes its reader has taken, and the other sends at most `WINDOW_BYTES` more than that. A message is one
byte that says its kind, and then

- DATA: bytes of the stream;
- TAKEN: how many of them the reader has taken so far, as eight bytes, highest first. It is also sent when there is no news,
  as a sign of life;
- END: nothing, the writer has no more;
- DONE: nothing, this end needs the channel no longer.
"""

from enum import IntEnum

from opsconsole_protocol.error import ProtocolError

WINDOW_BYTES = 4 * 1024 * 1024
MESSAGE_BYTES_MAX = 64 * 1024
"""Bytes of the stream in one message that we send. All engines take messages of 64 KiB and the byte before them."""
TELL_BYTES = WINDOW_BYTES // 16
"""How much the reader takes until the other end is told."""


class MessageKind(IntEnum):
    """The first byte of a message."""

    DATA = 0
    TAKEN = 1
    END = 2
    DONE = 3


END_MESSAGE = bytes([MessageKind.END])
DONE_MESSAGE = bytes([MessageKind.DONE])


class ChannelFlow:
    """Counts what goes out and comes in on one channel, and refuses what a well-behaved peer doesn't send."""

    def __init__(self) -> None:
        self._sent_bytes = 0
        self._taken_by_peer_bytes = 0
        self._received_bytes = 0
        self._taken_bytes = 0
        self._told_bytes = 0
        self.has_ended = False
        """This end has sent END."""
        self.peer_has_ended = False
        self.peer_is_done = False

    @property
    def room_bytes(self) -> int:
        """How many bytes may be sent now."""
        return WINDOW_BYTES - (self._sent_bytes - self._taken_by_peer_bytes)

    @property
    def is_all_taken(self) -> bool:
        """Whether the other end's reader has taken all that was sent, and no more will be."""
        return self.has_ended and self._taken_by_peer_bytes == self._sent_bytes

    def sent(self, count: int) -> None:
        """Note that `count` bytes went out as DATA."""
        self._sent_bytes += count

    def end(self) -> bytes:
        """Note that no more will be sent, and return the message that says so."""
        self.has_ended = True
        return END_MESSAGE

    def receive(self, message: bytes) -> memoryview:
        """Take in a message and return the bytes of the stream in it, often none.

        Raises ProtocolError for what is no such message, and for a peer that sends more than it may.
        """
        match message[0] if message else None:
            case MessageKind.DATA:
                return self._receive_data(memoryview(message)[1:])
            case MessageKind.TAKEN if len(message) == 9:
                self._receive_taken(int.from_bytes(message[1:]))
            case MessageKind.END if len(message) == 1 and not self.peer_has_ended:
                self.peer_has_ended = True
            case MessageKind.DONE if len(message) == 1:
                self.peer_is_done = True
            case _:
                raise ProtocolError("the other end sends messages that are none of a stream's: the stream is closed")
        return memoryview(b"")

    def _receive_data(self, data: memoryview) -> memoryview:
        if self.peer_has_ended:
            raise ProtocolError("the other end sends on after it has said that there is no more: the stream is closed")
        if self._received_bytes + len(data) - self._taken_bytes > WINDOW_BYTES:
            raise ProtocolError("the other end sends faster than it may: the stream is closed")
        self._received_bytes += len(data)
        return data

    def _receive_taken(self, count: int) -> None:
        if not self._taken_by_peer_bytes <= count <= self._sent_bytes:
            raise ProtocolError("the other end says that it has read what nobody sent: the stream is closed")
        self._taken_by_peer_bytes = count

    def take(self, count: int) -> bytes:
        """Note that the reader took `count` bytes; return the message that has to be told now, or nothing."""
        self._taken_bytes += count
        return self.taken_message() if self._taken_bytes - self._told_bytes >= TELL_BYTES else self.last_taken_message()

    def last_taken_message(self) -> bytes:
        """The message that all is taken, once there is no more; nothing where it isn't so, or is told already."""
        is_last = self.peer_has_ended and self._told_bytes < self._taken_bytes == self._received_bytes
        return self.taken_message() if is_last else b""

    def taken_message(self) -> bytes:
        """TAKEN as it stands, also as a sign of life."""
        self._told_bytes = self._taken_bytes
        return bytes([MessageKind.TAKEN]) + self._taken_bytes.to_bytes(8)
