"""The transfer process's end of the channel to its coordinator."""

import socket
import threading

from opsconsole_coordinator.transfer.message import (
    PACKET_BYTES_MAX,
    FromCoordinator,
    FromProcess,
    decode_from_coordinator,
    encode,
)


class Channel:
    """Packets over a connected socket. Any thread may send."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._lock = threading.Lock()

    def send(self, message: FromProcess) -> None:
        """Send a message; wait while the coordinator takes none. Raises OSError where it is gone."""
        with self._lock:
            self.socket.send(encode(message))

    def receive(self) -> tuple[FromCoordinator, socket.socket | None] | None:
        """Wait for a message, and for the connection that comes with it. None where the coordinator is gone.

        Raises ProtocolError.
        """
        try:
            packet, descriptors, _, _ = socket.recv_fds(self.socket, PACKET_BYTES_MAX, 1)
        except ConnectionError:
            return None
        if not packet:
            return None
        connection = socket.socket(fileno=descriptors[0]) if descriptors else None
        return decode_from_coordinator(packet), connection
