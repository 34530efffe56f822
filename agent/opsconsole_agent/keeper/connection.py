"""One agent's connection: whole lines in, lines out, both bounded, nothing that blocks."""

import socket

LINE_BYTES_MAX = 4 << 20
"""Longest command: a start with a large environment."""
BACKLOG_BYTES_MAX = 4 << 20
"""No more commands are read while the agent leaves this much unread."""
_CHUNK_BYTES = 1 << 16


class Connection:
    """A connected socket."""

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
        """Bytes that the agent hasn't taken yet."""
        return len(self._unsent)

    def receive(self) -> list[bytes | None]:
        """Complete lines that have arrived; None stands for one that was too long. Clears `open` at the end."""
        try:
            chunk = self._socket.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return []
        except OSError:  # a killed agent that left something unread shows as a reset, not as an end
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
        """Send as much as the socket takes; keep the rest for `flush`."""
        self._unsent += data
        self.flush()

    def flush(self) -> None:
        """Send what is kept."""
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
        """Hang up."""
        self.open = False
        self._socket.close()
