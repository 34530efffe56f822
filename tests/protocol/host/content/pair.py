"""A sender and a receiver at the two ends of a pair of sockets."""

import contextlib
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from opsconsole_protocol.content.manifest import Manifest
from opsconsole_protocol.content.round import chunk_size
from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.host.content.session import ByteStream, Summary, Tell, receive, send
from opsconsole_protocol.host.content.sink import Sink
from opsconsole_protocol.host.content.source import Source
from opsconsole_protocol.stream.error import StreamLost


class SocketEnd:
    """One end. `cut_after`: how many bytes it sends before it dies."""

    def __init__(self, connection: socket.socket, cut_after: int | None = None) -> None:
        self.connection = connection
        self.sent = 0
        self._cut_after = cut_after

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of it."""
        view = memoryview(data)
        if self._cut_after is not None and self.sent + len(view) > self._cut_after:
            with contextlib.suppress(OSError):
                self.connection.sendall(view[: self._cut_after - self.sent])
            self.connection.close()
            raise StreamLost("cut")
        try:
            self.connection.sendall(view)
        except OSError as error:
            raise StreamLost(str(error)) from None
        self.sent += len(view)

    def receive_into(self, view: memoryview) -> int:
        """Wait for bytes."""
        try:
            return self.connection.recv_into(view)
        except OSError as error:
            raise StreamLost(str(error)) from None


@contextlib.contextmanager
def ends(cut_after: int | None = None) -> Iterator[tuple[SocketEnd, SocketEnd]]:
    """The two ends of a stream; the first one's may be cut."""
    one, other = socket.socketpair()
    with one, other:
        yield SocketEnd(one, cut_after), SocketEnd(other)


Outcome = Summary | OpsconsoleError


def transfer(
    source: Source,
    make_sink: Callable[[Manifest], Sink],
    *,
    cut_after: int | None = None,
    progress: Tell | None = None,
    cancel: threading.Event | None = None,
    bytes_max: int | None = None,
    sending: Tell | None = None,
) -> tuple[Outcome, Outcome]:
    """Send and receive; what the sender and what the receiver had of it. The first end closes when it is done."""
    with ends(cut_after) as (here, there), ThreadPoolExecutor(1) as threads:

        def run() -> Outcome:
            with here.connection:
                return outcome(lambda: send(here, source, cancel=cancel, progress=sending))

        sent = threads.submit(run)
        received = outcome(lambda: receive(there, make_sink, progress=progress, bytes_max=bytes_max))
        there.connection.close()
        return sent.result(60), received


def feed(source: Source, sink: Sink) -> int:
    """Move a tree without a stream. Returns how many bytes of files were lacking."""
    moved = 0
    entries = source.manifest.entries
    for index in sink.wanted():
        entry = entries[index]
        if not entry.is_large:
            data = memoryview(bytearray(entry.size))
            source.read_files([index], data)
            sink.write_files([index], data)
            moved += len(data)
            continue
        for number in sink.wanted_chunks(index, source.leaves(index)):
            data = memoryview(bytearray(chunk_size(entry, number)))
            source.read_chunk(index, number, data)
            sink.write_chunk(index, number, data)
            moved += len(data)
    sink.finish()
    return moved


def outcome(work: Callable[[], Summary]) -> Outcome:
    """What the work gives, or its error."""
    try:
        return work()
    except OpsconsoleError as error:
        return error


def contents(folder: Path) -> dict[str, tuple[int, bytes | str | None]]:
    """All that lies below a folder: modes and bytes, and where symlinks lead."""
    found: dict[str, tuple[int, bytes | str | None]] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = (0o777, str(path.readlink()))
        else:
            found[name] = (stat.S_IMODE(status.st_mode), None if path.is_dir() else path.read_bytes())
    return found


__all__ = ["ByteStream", "SocketEnd", "contents", "ends", "feed", "outcome", "transfer"]
