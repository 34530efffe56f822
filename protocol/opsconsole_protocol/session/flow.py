"""How far one end of a channel may be ahead of the reader at the other: no more than a window may wait there."""

from opsconsole_protocol.error import ProtocolError

WINDOW_BYTES = 512 * 1024
TELL_BYTES = WINDOW_BYTES // 4
"""How much a reader takes until the other end is told."""


class Outgoing:
    """What this end sends."""

    def __init__(self) -> None:
        self.room = WINDOW_BYTES
        """Bytes that may be sent now."""

    def sent(self, count: int) -> None:
        """Note that `count` more went out."""
        self.room -= count

    def taken(self, count: int) -> None:
        """Note that the other end's reader has taken `count`. Raises ProtocolError where nobody sent them."""
        if self.room + count > WINDOW_BYTES:
            raise ProtocolError("the other end of the session says that it has read what nobody sent: it is closed")
        self.room += count


class Incoming:
    """What this end is sent: bytes that wait for their reader."""

    def __init__(self) -> None:
        self.waiting = bytearray()
        self.is_ended = False
        """No more comes."""
        self._untold = 0

    def receive(self, data: bytes | memoryview) -> None:
        """More has come. Raises ProtocolError where it may not."""
        if self.is_ended or len(self.waiting) + self._untold + len(data) > WINDOW_BYTES:
            raise ProtocolError("the other end of the session sends more than it may: it is closed")
        self.waiting += data

    def take(self, count: int) -> int:
        """Note that the reader has taken `count`; return how many the other end is to be told of now, often none."""
        del self.waiting[:count]
        self._untold += count
        if self._untold < TELL_BYTES:
            return 0
        told, self._untold = self._untold, 0
        return told
