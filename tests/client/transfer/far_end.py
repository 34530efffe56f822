"""The other end of streams, in this process: a coordinator's store and a worker's folders, over a pair of sockets."""

import socket
import threading
from collections.abc import Callable
from pathlib import Path

from opsconsole.transfer.broker import RequestBroker
from opsconsole_protocol import api
from opsconsole_protocol.content.glob import matches
from opsconsole_protocol.content.manifest import Entry, Manifest
from opsconsole_protocol.content.task_folder import split_task_folder, task_patterns
from opsconsole_protocol.error import OpsconsoleError, Unavailable
from opsconsole_protocol.host.content.scan import scan
from opsconsole_protocol.host.content.session import Summary, receive, send
from opsconsole_protocol.host.content.sink import PlacingSink
from opsconsole_protocol.host.content.source import FolderSource
from opsconsole_protocol.host.content.store import ContentStore
from opsconsole_protocol.host.stream.coordinator_dial import Home
from opsconsole_protocol.host.stream.stream import SocketStream, Stream
from opsconsole_protocol.host.stream.transfer import Broker
from opsconsole_protocol.stream.message import (
    FileRoot,
    KeepContent,
    PeerKind,
    Purpose,
    ReadFiles,
    RootKind,
    StreamGrant,
    Via,
    Way,
    WriteFiles,
)
from tests.client.fake_server import FakeServer


class FarEnd:
    """`mounts` by label and `outputs` by worker are folders of workers; `away` has the workers that nobody reaches."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.store = ContentStore(folder / "store", 1 << 40)
        self.keep_bytes_max = 1 << 30
        self.asked: list[tuple[Purpose, str, Via]] = []
        self.away: set[str] = set()
        self.collected: set[str] = set()
        """Workers that are away, and of whose results the coordinator has collected some, though nothing of what is asked for."""
        self.left_out: tuple[str, ...] = ()
        """What workers say that they can't send."""
        self.lies: Callable[[Manifest], Manifest] = lambda manifest: manifest
        """What becomes of a manifest that a worker sends."""

    def mount(self, label: str) -> Path:
        """A folder of every worker."""
        return self._made(self.folder / "mount" / label)

    def outputs(self, worker: str, root: FileRoot) -> Path:
        """Where a worker has a job's results, or a task's."""
        task = "" if root.task_index is None else f"task-{root.task_index}"
        return self._made(self.folder / "out" / worker / root.job_id / task)

    def join(self, server: FakeServer) -> None:
        """Answer for the coordinator which trees it keeps."""

        def find(_: FakeServer, request: api.FindContents) -> api.ContentsAnswer:
            kept = tuple(one for one in request.content_ids if self.store.has(one))
            return api.ContentsAnswer(kept=kept, keep_bytes_max=self.keep_bytes_max)

        server.answers[api.FindContents] = find

    def move(
        self,
        broker: Broker,
        purpose: Purpose,
        *,
        peer: str,
        via: Via,
        home: Home,
        work: Callable[[Stream], Summary],
        tell: Callable[[str], None],
        cancel: threading.Event,  # noqa: ARG002
    ) -> Summary:
        """In place of `host.stream.transfer.move`."""
        assert home.url.startswith("ws://127.0.0.1:")
        self.asked.append((purpose, peer, via))
        if peer in self.away:
            raise Unavailable(f"{peer} is not connected")
        if peer in self.collected and isinstance(broker, RequestBroker) and broker._granted is not None:
            broker._granted(
                StreamGrant(stream_id="s", secret="x", is_initiator=True, purpose=purpose, peer=PeerKind.COORDINATOR)
            )
        tell("direct: both are here")
        near, far = socket.socketpair()
        near_stream, far_stream = SocketStream(near, Way.DIRECT), SocketStream(far, Way.DIRECT)
        thread = threading.Thread(target=self._serve, args=(purpose, peer, far_stream))
        thread.start()
        try:
            return work(near_stream)
        finally:
            near_stream.close()
            thread.join(10)

    def _serve(self, purpose: Purpose, peer: str, stream: SocketStream) -> None:
        try:
            match purpose:
                case KeepContent():
                    receive(stream, self.store.sink)
                case WriteFiles():
                    folder, replace = purpose.folder, purpose.replace
                    root = self.mount(purpose.root.mount)
                    receive(stream, lambda manifest: PlacingSink(manifest, root, folder, replace=replace))
                case ReadFiles(tasks=(_, *_)):
                    self._send_tasks(stream, peer, purpose)
                case ReadFiles():
                    is_mount = purpose.root.kind is RootKind.MOUNT
                    root = self.mount(purpose.root.mount) if is_mount else self.outputs(peer, purpose.root)
                    self._send(stream, root / purpose.folder.decode(), purpose.patterns)
                case _:
                    raise AssertionError(purpose)
        except OpsconsoleError:
            return  # the near end has its own word for it
        finally:
            stream.close()

    def _send_tasks(self, stream: SocketStream, peer: str, purpose: ReadFiles) -> None:
        """The results of several tasks, each in its folder."""
        root = self.folder / "out" / peer / purpose.root.job_id
        wanted = [
            one
            for one in scan(root).entries
            for task, path in [split_task_folder(one.path)]
            if task in purpose.tasks and path
            for own in [task_patterns(purpose.patterns, task)]
            if own is not None and (not own or any(matches(pattern, path) for pattern in own))
        ]
        self._send_some(stream, root, wanted)

    def _send(self, stream: SocketStream, root: Path, patterns: tuple[str, ...]) -> None:
        whole = scan(root).entries
        wanted = [one for one in whole if not patterns or any(matches(pattern, one.path) for pattern in patterns)]
        self._send_some(stream, root, wanted)

    def _send_some(self, stream: SocketStream, root: Path, wanted: list[Entry]) -> None:
        manifest = self.lies(Manifest.make(wanted))
        source = FolderSource(root, manifest)
        try:
            send(stream, source, left_out=self.left_out)
        finally:
            source.close()

    def _made(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        return folder
