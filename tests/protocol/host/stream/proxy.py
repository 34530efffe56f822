"""A TCP proxy on loopback that can end a connection after any byte, and remembers what went through it."""

import contextlib
import socket
import threading
from collections.abc import Iterator


class Proxy:
    """Passes connections on to `port` of `address`; after `cut_after_bytes` from the dialling side it ends them."""

    def __init__(self, address: str, port: int, cut_after_bytes: int | None = None) -> None:
        self._target = address, port
        self._cut_after_bytes = cut_after_bytes
        self._server = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._server]
        self._threads: list[threading.Thread] = []
        self.recorded = bytearray()
        """What the dialling side sent."""
        self._run(self._accept)

    @property
    def port(self) -> int:
        return int(self._server.getsockname()[1])

    def close(self) -> None:
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for sock in self._sockets:
            sock.close()

    def _run(self, work: object, *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                self._sockets.append(near)
                far = socket.create_connection(self._target)
                self._sockets.append(far)
                self._run(self._pump, near, far, self._cut_after_bytes, self.recorded)
                self._run(self._pump, far, near, None, bytearray())

    def _pump(self, source: socket.socket, target: socket.socket, left: int | None, recorded: bytearray) -> None:
        with contextlib.suppress(OSError):
            while left is None or left > 0:
                data = source.recv(1 << 16 if left is None else min(left, 1 << 16))
                if not data:
                    break
                recorded += data
                target.sendall(data)
                left = None if left is None else left - len(data)
        for sock in (source, target):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def proxy(address: str, port: int, cut_after_bytes: int | None = None) -> Iterator[Proxy]:
    """One that is closed at the end."""
    made = Proxy(address, port, cut_after_bytes)
    try:
        yield made
    finally:
        made.close()
