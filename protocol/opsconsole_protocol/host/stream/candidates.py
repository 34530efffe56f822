"""The connections that one try of a way brings about, of which at most one becomes the stream."""

import contextlib
import socket
import threading
from collections.abc import Callable

from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.host.stream.stream import SocketStream, Stream, reason_of
from opsconsole_protocol.stream.message import Way

_REASONS_TOLD = 3

Connected = tuple[socket.socket, bytes]
"""A socket that is the stream, and those bytes of the stream that were read already."""


class Candidates:
    """Runs the workers of one try, each in a thread with a socket of its own, until one has the stream or all have failed.

    `post` is called once at most, from any thread: with the stream, or with the reason in words why there is none.
    """

    def __init__(self, way: Way, post: Callable[[Stream | str], None]) -> None:
        self._way = way
        self._post = post
        self._lock = threading.Lock()
        self._sockets: dict[int, socket.socket] = {}
        """By the thread that uses it."""
        self._running = 0
        self._reasons: list[str] = []
        self._over = threading.Event()

    @property
    def running(self) -> int:
        """How many workers there are."""
        return self._running

    def launch(self, where: str, work: Callable[[], Connected], after_s: float = 0.0) -> None:
        """Let `work` bring about a connection to `where`, in a thread, after a while. It raises NoWay or OSError."""
        with self._lock:
            self._running += 1
        name = f"stream {self._way} {where}"
        threading.Thread(target=self._work, args=(where, work, after_s), name=name, daemon=True).start()

    def hold(self, sock: socket.socket) -> None:
        """Called by a worker: this is its socket now. Raises ConnectionAbortedError where the try is over."""
        with self._lock:
            if not self._over.is_set():
                self._sockets[threading.get_ident()] = sock
                return
        sock.close()
        raise ConnectionAbortedError

    def end(self) -> None:
        """End the try, and every connection but the one that was posted."""
        with self._lock:
            self._end()

    def _work(self, where: str, work: Callable[[], Connected], after_s: float) -> None:
        reason = ""
        try:
            if after_s and self._over.wait(after_s):
                return  # else `work` is called even where it is over: it may have a socket to close, as `hold` does
            sock, received = work()
            stream = SocketStream(sock, self._way, received)
        except OpsconsoleError as error:
            reason = error.message
        except OSError as error:
            reason = reason_of(error)
        else:
            if self._win(stream):
                return
        finally:
            self._leave(f"{where}: {reason}" if where else reason)

    def _win(self, stream: Stream) -> bool:
        with self._lock:
            is_late = self._over.is_set()
            if not is_late:
                del self._sockets[threading.get_ident()]
                self._end()
        if not is_late:
            self._post(stream)
        return not is_late

    def _leave(self, reason: str) -> None:
        """A worker ends. What is left of its socket is closed here, by the only one who may be in it."""
        with self._lock:
            left = self._sockets.pop(threading.get_ident(), None)
            self._running -= 1
            if reason not in self._reasons:
                self._reasons.append(reason)
            has_failed = not self._running and not self._over.is_set()
            if has_failed:
                self._over.set()
        if left is not None:
            left.close()
        if has_failed:
            self._post("; ".join(self._reasons[:_REASONS_TOLD]))

    def _end(self) -> None:
        self._over.set()
        for sock in self._sockets.values():
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # wakes its worker, which closes it
