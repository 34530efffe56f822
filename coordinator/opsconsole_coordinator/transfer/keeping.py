"""The coordinator's store of trees: what is received into it, sent from it, and pinned in it."""

import queue
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from opsconsole_coordinator.transfer.message import (
    PACKET_IDS_MAX,
    FromProcess,
    Held,
    Kept,
    Pin,
    Ready,
    Receive,
    Remove,
    Said,
    Serve,
    Unpin,
)
from opsconsole_protocol.content.glob import matches
from opsconsole_protocol.content.manifest import Manifest
from opsconsole_protocol.content.path import shown
from opsconsole_protocol.error import NotFound, OpsconsoleError, Unavailable
from opsconsole_protocol.host.content import session
from opsconsole_protocol.host.content.sink import Sink
from opsconsole_protocol.host.content.source import FolderSource
from opsconsole_protocol.host.content.store import ContentStore
from opsconsole_protocol.host.stream.stream import Stream
from opsconsole_protocol.ids import ContentId

OPENING_S = 60.0
"""How long a stream waits for the store to be opened, which reads what is in it."""
_SENDING = "sending."
"""Before the stream's id: the holder of a tree that is being sent."""
_RECEIVING = "receiving."
"""Before the stream's id: the holder of a tree that is being received, until it has its own."""


class Keeping:
    """The store, opened by `run`. Every method may be called by any thread."""

    def __init__(self, folder: Path, bytes_max: int, tell: Callable[[FromProcess], None]) -> None:
        self._folder = folder
        self._bytes_max = bytes_max
        self._tell = tell
        self._store: ContentStore | None = None
        self._is_open = threading.Event()
        self._trouble = ""
        self._orders: queue.SimpleQueue[Pin | Unpin | Remove] = queue.SimpleQueue()
        self._told: set[ContentId] = set()
        self._telling = threading.Lock()
        self._receiving: set[ContentId] = set()
        self._received = threading.Condition()

    @property
    def size_bytes(self) -> int:
        """Of all kept trees."""
        return self._store.size_bytes if self._store is not None else 0

    def order(self, message: Pin | Unpin | Remove) -> None:
        """Have something done, after what was ordered before."""
        self._orders.put(message)

    def run(self) -> None:
        """Open the store, tell what is in it, then do what is ordered, for ever."""
        try:
            store = ContentStore(self._folder, self._bytes_max)
        except (OSError, OpsconsoleError) as error:
            self._trouble = f"the coordinator's folder {self._folder} can't be used: {error}"
            self._tell(Said(text=self._trouble))
            self._is_open.set()
            return
        self._store = store
        for holder, content_ids in store.holders().items():
            if holder.startswith((_SENDING, _RECEIVING)):
                store.unpin(holder)
                continue
            self._tell_held(store, holder, content_ids)
        self._tell_changes(store)
        self._is_open.set()
        self._tell(Ready())
        while True:
            message = self._orders.get()
            try:
                self._obey(store, message)
            except (OSError, OpsconsoleError) as error:
                self._tell(Said(text=f"the store of trees: {error}"))

    def _obey(self, store: ContentStore, message: Pin | Unpin | Remove) -> None:
        match message:
            case Pin(holder=holder, content_ids=content_ids):
                for content_id in content_ids:
                    store.pin(holder, content_id)
            case Unpin(holder=holder):
                store.unpin(holder)
            case Remove(content_id=content_id):
                if not any(content_id in pinned for pinned in store.holders().values()):
                    store.remove(content_id)
                    self._tell_changes(store)

    # --- streams -----------------------------------------------------------------------------------------------

    def serve(self, stream_id: str, work: Serve, stream: Stream) -> session.Summary:
        """Send a tree. Raises OpsconsoleError."""
        store = self._opened(stream)
        holder = _SENDING + stream_id
        store.pin(holder, work.content_id)
        try:
            source = _source(store, work)
        except (OSError, OpsconsoleError) as error:
            refusal = error if isinstance(error, OpsconsoleError) else Unavailable(f"the coordinator's store: {error}")
            session.refuse(stream, refusal)
            raise refusal from None
        else:
            try:
                return session.send(stream, source)
            finally:
                source.close()
        finally:
            store.unpin(holder)
            self._tell_changes(store)  # a tree that was found to be spoilt is gone

    def receive(self, stream_id: str, work: Receive, stream: Stream) -> session.Summary:
        """Take a tree in. Raises OpsconsoleError."""
        store = self._opened(stream)
        holder = _RECEIVING + stream_id

        def sink(manifest: Manifest) -> Sink:
            content_id = manifest.content_id
            store.pin(holder, content_id)  # else it could give way to another before its sender is told that it is here
            return ArrivingSink(store.sink(manifest), lambda: self._arrived(store, content_id, work))

        with self._turn(work.content_id):
            try:
                return session.receive(stream, sink, expected=work.content_id, bytes_max=work.bytes_max)
            finally:
                store.unpin(holder)
                self._tell_changes(store)  # others may have given way to it

    def _arrived(self, store: ContentStore, content_id: ContentId, work: Receive) -> None:
        if work.holder:
            store.unpin(work.holder)
            store.pin(work.holder, content_id)
            self._tell_held(store, work.holder, (content_id,))
        self._tell_changes(store)

    def _opened(self, stream: Stream) -> ContentStore:
        self._is_open.wait(OPENING_S)
        if self._store is None:
            refusal = Unavailable(self._trouble or "the coordinator's store isn't open yet: try again")
            session.refuse(stream, refusal)
            raise refusal
        return self._store

    def _tell_held(self, store: ContentStore, holder: str, content_ids: Collection[ContentId]) -> None:
        heads = store.heads()
        size_bytes = sum(heads[one].size_bytes for one in content_ids if one in heads)
        for some in _batches(sorted(content_ids)):
            self._tell(Held(holder=holder, content_ids=some, size_bytes=size_bytes))

    @contextmanager
    def _turn(self, content_id: ContentId | None) -> Iterator[None]:
        """One stream at a time brings a tree; the next one then finds it, or goes on where that one stopped.

        Of a tree that isn't known before it comes (None), the store takes the first, and the others are tried again.
        """
        if content_id is None:
            yield
            return
        with self._received:
            self._received.wait_for(lambda: content_id not in self._receiving)
            self._receiving.add(content_id)
        try:
            yield
        finally:
            with self._received:
                self._receiving.discard(content_id)
                self._received.notify_all()

    def _tell_changes(self, store: ContentStore) -> None:
        with self._telling:
            now = set(store.ids())
            added, removed = sorted(now - self._told), sorted(self._told - now)
            self._told = now
            for some in _batches(added):
                self._tell(Kept(added=some))
            for some in _batches(removed):
                self._tell(Kept(removed=some))


class ArrivingSink:
    """A sink that has `on_finished` called when the tree is there, before its sender is told so."""

    def __init__(self, sink: Sink, on_finished: Callable[[], None]) -> None:
        self._sink = sink
        self._on_finished = on_finished

    @property
    def manifest(self) -> Manifest:
        """The tree."""
        return self._sink.manifest

    def wanted(self) -> list[int]:
        """As the sink below."""
        return self._sink.wanted()

    def wanted_chunks(self, index: int, leaves: list[bytes]) -> list[int]:
        """As the sink below."""
        return self._sink.wanted_chunks(index, leaves)

    def write_chunk(self, index: int, number: int, data: memoryview) -> None:
        """As the sink below."""
        self._sink.write_chunk(index, number, data)

    def write_files(self, indexes: Sequence[int], data: memoryview) -> None:
        """As the sink below."""
        self._sink.write_files(indexes, data)

    def finish(self) -> None:
        """The tree is there, and everybody is told so."""
        self._sink.finish()
        self._on_finished()

    def abandon(self) -> None:
        """As the sink below."""
        self._sink.abandon()


def _source(store: ContentStore, work: Serve) -> FolderSource:
    """What is sent of a tree. Raises NotFound where nothing of it is meant, and as `ContentStore.open` does."""
    if not work.folder and not work.patterns:
        return store.source(work.content_id)
    tree = store.open(work.content_id)
    start = work.folder + b"/" if work.folder else b""
    chosen = {
        entry.path[len(start) :]: entry
        for entry in tree.manifest.entries
        if entry.path.startswith(start) and _is_meant(entry.path[len(start) :], work.patterns)
    }
    if not chosen:
        raise NotFound(f"nothing that is kept matches {', '.join(work.patterns) or shown(work.folder)}")
    manifest = Manifest.make(replace(entry, path=path) for path, entry in chosen.items())
    names = {path: entry.path for path, entry in chosen.items()}
    return FolderSource(tree.path, manifest, names=names, cache=store.hashes)


def _is_meant(path: bytes, patterns: Sequence[str]) -> bool:
    return not patterns or any(matches(pattern, path) for pattern in patterns)


def _batches(content_ids: Sequence[ContentId]) -> Iterator[tuple[ContentId, ...]]:
    for start in range(0, len(content_ids), PACKET_IDS_MAX):
        yield tuple(content_ids[start : start + PACKET_IDS_MAX])
