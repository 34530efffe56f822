"""One agent's connection: lines in and out, both bounded; nothing here blocks."""

import socket

LINE_BYTES_MAX = 4 << 20
"""The longest command; a start with a large environment is long."""
BACKLOG_BYTES_MAX = 4 << 20
"""How much the agent may leave unread; no further commands are read while it leaves more."""
_CHUNK_BYTES = 1 << 16


class Connection:
    """A connected socket. `open` is cleared when the other end is gone."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._received = bytearray()
        self._searched = 0
        self._skipping = False
        self._unsent = bytearray()
        self.fd = sock.fileno()
        self.open = True

    @property
    def backlog(self) -> int:
        """Bytes that the agent hasn't received yet."""
        return len(self._unsent)

    def receive(self) -> list[bytes | None]:
        """Return the complete lines that have arrived; None stands for one that was too long."""
        try:
            chunk = self._socket.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return []
        except OSError:  # an agent that was killed before it had read all shows as a reset, not as an end
            chunk = b""
        if not chunk:
            self.open = False
            return []
        self._received += chunk
        return self._lines()

    def _lines(self) -> list[bytes | None]:
        lines: list[bytes | None] = []
        start = 0
        while (end := self._received.find(b"\n", max(start, self._searched))) >= 0:
            if self._skipping:
                self._skipping = False
            else:
                lines.append(bytes(self._received[start:end]) if end - start <= LINE_BYTES_MAX else None)
            start = end + 1
        del self._received[:start]
        self._searched = len(self._received)
        if self._searched > LINE_BYTES_MAX:
            if not self._skipping:
                lines.append(None)
            self._skipping = True
        if self._skipping:
            self._received.clear()
            self._searched = 0
        return lines

    def send(self, data: bytes) -> None:
        """Send as much as the socket takes; `flush` sends the rest."""
        self._unsent += data
        self.flush()

    def flush(self) -> None:
        """Send as much of the rest as the socket takes."""
        while self._unsent and self.open:
            try:
                sent = self._socket.send(self._unsent)
            except BlockingIOError:
                return
            except OSError:
                self.open = False
                return
            del self._unsent[:sent]

    def close(self) -> None:
        """Close the socket."""
        self.open = False
        self._socket.close()
