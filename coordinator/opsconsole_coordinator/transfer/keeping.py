"""The coordinator's store of trees: what is received into it, sent from it, and pinned in it."""

import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec.structs import replace

from opsconsole_coordinator.transfer.kept_files import list_kept, read_kept
from opsconsole_coordinator.transfer.message import (
    PACKET_IDS_MAX,
    FromProcess,
    Held,
    Kept,
    Look,
    Looked,
    Pin,
    Ready,
    Receive,
    Remove,
    Said,
    Serve,
    Unpin,
    Unusable,
)
from opsconsole_coordinator.transfer.watched_stream import WatchedStream
from opsconsole_protocol.content.error import CacheChanged
from opsconsole_protocol.content.glob import matches
from opsconsole_protocol.content.manifest import Entry, Manifest
from opsconsole_protocol.content.path import shown
from opsconsole_protocol.content.task_folder import task_folder, task_patterns
from opsconsole_protocol.error import NotFound, OpsconsoleError, Unavailable
from opsconsole_protocol.host.content import session
from opsconsole_protocol.host.content.sink import Sink
from opsconsole_protocol.host.content.source import FolderSource
from opsconsole_protocol.host.content.store import ContentStore
from opsconsole_protocol.ids import ContentId
from opsconsole_protocol.stream.error import StreamLost

OPENING_S = 60.0
"""How long a stream waits for the store to be opened, which reads what is in it."""
REOPEN_S = 5.0
"""How soon a store that can't be opened is tried again."""
TURN_LOOK_S = 1.0
"""How often a stream that waits for its turn looks whether the one before it makes headway."""
_OF_STREAMS = ("sending.", "receiving.")
"""So began the holders of streams, of which nothing is written any more."""


class Keeping:
    """The store, opened by `run`. Every method may be called by any thread."""

    def __init__(self, folder: Path, bytes_max: int, tell: Callable[[FromProcess], None]) -> None:
        self._folder = folder
        self._bytes_max = bytes_max
        self._tell = tell
        self._store: ContentStore | None = None
        self._is_known = threading.Event()
        """Whether the store is open, or why it isn't, is known."""
        self._trouble = ""
        self._orders: queue.SimpleQueue[Pin | Unpin | Remove] = queue.SimpleQueue()
        self._told: set[ContentId] = set()
        self._telling = threading.Lock()
        self._turns: dict[ContentId, list[WatchedStream]] = {}
        """The streams that bring a tree, in the order in which they came; the first has its turn."""
        self._turn_over = threading.Condition()

    @property
    def size_bytes(self) -> int:
        """Of all kept trees."""
        return self._store.size_bytes if self._store is not None else 0

    def order(self, message: Pin | Unpin | Remove) -> None:
        """Have something done, after what was ordered before."""
        self._orders.put(message)

    def run(self) -> None:
        """Open the store, tell what is in it, then do what is ordered, for ever. Where it can't be opened, it is tried again."""
        while (store := self._open()) is None:
            time.sleep(REOPEN_S)
        self._trouble = ""
        for holder, content_ids in store.holders().items():
            if holder.startswith(_OF_STREAMS):
                store.unpin(holder)
                continue
            self._tell_held(store, holder, content_ids)
        self._tell_changes(store)
        self._store = store
        self._is_known.set()
        self._tell(Ready())
        while True:
            message = self._orders.get()
            try:
                self._obey(store, message)
            except (OSError, OpsconsoleError) as error:
                self._tell(Said(text=f"the store of trees: {error}"))

    def _open(self) -> ContentStore | None:
        try:
            return ContentStore(self._folder, self._bytes_max)
        except (OSError, OpsconsoleError, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) else error
            trouble = f"the coordinator's folder of files {str(self._folder)!r} can't be used ({said}): mend it, and it goes on by itself"
        if trouble != self._trouble:
            self._trouble = trouble
            self._tell(Unusable(text=trouble))
        self._is_known.set()
        return None

    def _obey(self, store: ContentStore, message: Pin | Unpin | Remove) -> None:
        match message:
            case Pin(holder=holder, content_ids=content_ids):
                for content_id in content_ids:
                    store.pin(holder, content_id)
            case Unpin(holder=holder):
                store.unpin(holder)
            case Remove(content_id=content_id):
                if store.remove(content_id, unless_pinned=True):
                    self._tell_changes(store)

    # --- streams -----------------------------------------------------------------------------------------------

    def serve(self, work: Serve, stream: WatchedStream) -> session.Summary:
        """Send a tree. Raises OpsconsoleError."""
        store = self._opened(stream)
        try:
            with store.held(*work.content_ids):
                return _send(store, work, stream)
        finally:
            self._tell_changes(store)  # a tree that was found to be spoilt is gone

    def look(self, message: Look) -> Looked:
        """What a look at a kept tree shows. It may wait for the disk."""
        try:
            self._is_known.wait(OPENING_S)
            if self._store is None:
                raise Unavailable(self._trouble or "the coordinator's store isn't open yet: try again")
            tree = self._store.open(message.content_id)
            if message.part is not None:
                return Looked(number=message.number, part=read_kept(tree, message.part))
            if message.listing is not None:
                kept_ms = self._store.used_ms(message.content_id)
                return Looked(number=message.number, page=list_kept(tree.manifest, message.listing, kept_ms))
            raise NotFound("nothing was asked for")
        except OpsconsoleError as error:
            return Looked(number=message.number, code=error.code, error=error.message)
        except OSError as error:
            said = f"the coordinator's store: {error.strerror or error}"
            return Looked(number=message.number, code=Unavailable.code, error=said)

    def receive(self, work: Receive, stream: WatchedStream) -> session.Summary:
        """Take a tree in. Raises OpsconsoleError."""
        store = self._opened(stream)

        with self._turn(work.content_id, stream), ExitStack() as held:

            def sink(manifest: Manifest) -> Sink:
                content_id = manifest.content_id
                held.enter_context(
                    store.held(content_id)
                )  # else it could give way to another before its sender is told that it is here
                return ArrivingSink(store.sink(manifest), lambda: self._arrived(store, content_id, work))

            try:
                return session.receive(stream, sink, expected=work.content_id, bytes_max=work.bytes_max)
            finally:
                held.close()
                self._tell_changes(store)  # others may have given way to it

    def _arrived(self, store: ContentStore, content_id: ContentId, work: Receive) -> None:
        if work.holder:
            store.unpin(work.holder)
            store.pin(work.holder, content_id)
            self._tell_held(store, work.holder, (content_id,))
        self._tell_changes(store)

    def _opened(self, stream: WatchedStream) -> ContentStore:
        self._is_known.wait(OPENING_S)
        if self._store is None:
            refusal = Unavailable(self._trouble or "the coordinator's store isn't open yet: try again")
            session.refuse(stream, refusal)
            raise refusal
        return self._store

    def _tell_held(self, store: ContentStore, holder: str, content_ids: Collection[ContentId]) -> None:
        """Tell which trees a holder has; one that isn't here (it was damaged, say) isn't held."""
        heads = store.heads()
        here = sorted(one for one in content_ids if one in heads)
        size_bytes = sum(heads[one].size_bytes for one in here)
        for some in list(_batches(here)) or [()]:
            self._tell(Held(holder=holder, content_ids=some, size_bytes=size_bytes))

    @contextmanager
    def _turn(self, content_id: ContentId | None, stream: WatchedStream) -> Iterator[None]:
        """One stream at a time brings a tree; the next one then finds it, or goes on where that one stopped.

        One for which others wait, and that trickles, is ended: its sender may queue anew, and what it has brought stays. Of a
        tree that isn't known before it comes (None), the store takes the first, and the others are tried again. Raises
        StreamLost where the stream is ended before its turn.
        """
        if content_id is None:
            yield
            return
        with self._turn_over:
            turns = self._turns.setdefault(content_id, [])
            turns.append(stream)
        try:
            with self._turn_over:
                while turns[0] is not stream:
                    self._turn_over.wait(TURN_LOOK_S)
                    if stream.is_closed:
                        raise StreamLost("the coordinator has ended it before its turn")
                    if turns[0].is_trickling:
                        turns[0].close()
            yield
        finally:
            with self._turn_over:
                turns.remove(stream)
                if not turns:
                    del self._turns[content_id]
                self._turn_over.notify_all()

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


def _send(store: ContentStore, work: Serve, stream: WatchedStream) -> session.Summary:
    """Send what is meant. Raises OpsconsoleError, of which the other end is told."""
    try:
        source = _source(store, work)
    except (OSError, OpsconsoleError) as error:
        refusal = error if isinstance(error, OpsconsoleError) else Unavailable(f"the coordinator's store: {error}")
        session.refuse(stream, refusal)
        raise refusal from None
    try:
        return session.send(stream, source)
    finally:
        source.close()


def _source(store: ContentStore, work: Serve) -> FolderSource:
    """What is sent of a tree. Raises NotFound where nothing of it is meant, and as `ContentStore.open` does."""
    if work.content_id is None:
        return _tasks_source(store, work)
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


def _tasks_source(store: ContentStore, work: Serve) -> FolderSource:
    """What is sent of the trees of several tasks, each in its folder. Raises NotFound where nothing of them is meant."""
    names: dict[bytes, bytes] = {}
    entries: list[Entry] = []
    for task, content_id in work.kept:
        patterns = task_patterns(work.patterns, task)
        if patterns is None:
            continue
        try:
            tree = store.open(content_id)
        except (NotFound, CacheChanged):
            continue  # it has had to go
        for entry in tree.manifest.entries:
            if _is_meant(entry.path, patterns):
                path = task_folder(task) + b"/" + entry.path
                names[path] = content_id.encode() + b"/" + entry.path
                entries.append(replace(entry, path=path))
    if not entries:
        raise NotFound(f"nothing that is kept matches {', '.join(work.patterns) or 'this'}")
    return FolderSource(store.trees, Manifest.make(entries), names=names, cache=store.hashes)


def _is_meant(path: bytes, patterns: Sequence[str]) -> bool:
    return not patterns or any(matches(pattern, path) for pattern in patterns)


def _batches(content_ids: Sequence[ContentId]) -> Iterator[tuple[ContentId, ...]]:
    for start in range(0, len(content_ids), PACKET_IDS_MAX):
        yield tuple(content_ids[start : start + PACKET_IDS_MAX])
