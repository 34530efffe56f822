"""Trees, and a stream between two threads, for tests of transfers."""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from opsconsole_agent.state.content_folder import open_store
from opsconsole_protocol.content.manifest import Manifest
from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.host.content.scan import scan
from opsconsole_protocol.host.content.session import Summary, receive, send
from opsconsole_protocol.host.content.source import FolderSource
from opsconsole_protocol.host.stream.stream import SocketStream, Stream
from opsconsole_protocol.host.transfer_thread import Cancel
from opsconsole_protocol.stream.error import StreamLost
from opsconsole_protocol.stream.message import FetchContent, Way


def make_tree(folder: Path, **files: str | bytes) -> Manifest:
    """A folder with these files (`__` for a slash, `_` for a dot), and its manifest."""
    for name, data in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return scan(folder)


def keep_tree(state_dir: Path, folder: Path, manifest: Manifest) -> None:
    """Have the tree in an agent's store, before the agent starts."""
    state_dir.mkdir(mode=0o700, exist_ok=True)
    store = open_store(state_dir, 1 << 34, readable=False)
    here, there = stream_pair()
    source = FolderSource(folder, manifest)
    sending = threading.Thread(target=send, args=(there, source))
    sending.start()
    try:
        receive(here, store.sink)
        sending.join(60)
    finally:
        here.close()
        there.close()
        source.close()
        store.close()


def stream_pair() -> tuple[Stream, Stream]:
    """Two ends of one stream."""
    here, there = socket.socketpair()
    return SocketStream(here, Way.DIRECT), SocketStream(there, Way.DIRECT)


class Peer:
    """Whoever has trees: what `move` reaches in tests. `cut_after`: streams break after this many bytes, one after the other."""

    def __init__(self) -> None:
        self.trees: dict[str, Path] = {}
        self.asked: list[FetchContent] = []
        self.refusals: list[OpsconsoleError] = []
        self.cut_after: list[int] = []
        self.sent_bytes = 0
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def add(self, folder: Path) -> Manifest:
        """It has this tree."""
        manifest = scan(folder)
        self.trees[manifest.content_id] = folder
        return manifest

    def move(
        self, purpose: FetchContent, *, work: Callable[[Stream], Summary], tell: Callable[[str], None], cancel: Cancel
    ) -> Summary:
        """See Move."""
        self.asked.append(purpose)
        tell("over a socket pair")
        if self.refusals:
            raise self.refusals.pop(0)
        here, there = stream_pair()
        folder = self.trees[purpose.content_id]
        sender = threading.Thread(target=self._send, args=(there, folder), daemon=True)
        sender.start()
        try:
            return work(_Cut(here, self.cut_after.pop(0)) if self.cut_after else here)
        finally:
            here.close()
            sender.join(20)
            assert cancel is not None

    def _send(self, stream: Stream, folder: Path) -> None:
        self.may_go_on.wait(20)
        source = FolderSource(folder, scan(folder))
        try:
            self.sent_bytes += send(stream, source).bytes_sent
        except OpsconsoleError:
            return  # the other end is tested, not this one
        finally:
            source.close()
            stream.close()


class _Cut:
    """A stream that breaks after so many bytes."""

    def __init__(self, stream: Stream, left: int) -> None:
        self._stream = stream
        self._left = left

    @property
    def way(self) -> Way:
        return self._stream.way

    @property
    def engine(self) -> str:
        return self._stream.engine

    def send(self, data: bytes | bytearray | memoryview) -> None:
        self._stream.send(data)

    def receive_into(self, view: bytearray | memoryview) -> int:
        if self._left <= 0:
            raise StreamLost("cut by the test")
        count = self._stream.receive_into(memoryview(view)[: self._left])
        self._left -= count
        return count

    def close(self) -> None:
        self._stream.close()


def random_bytes(size: int) -> bytes:
    """Bytes that are like no others."""
    return os.urandom(size)
