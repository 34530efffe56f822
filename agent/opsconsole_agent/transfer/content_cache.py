"""The trees that this worker has: one store for all attempts, and one fetch for all that want the same tree.

An attempt pins what it needs before it asks for it; the pins are files, and outlive the agent. The coordinator is told which
trees are here: all of them on every connection, afterwards what comes and goes.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

from opsconsole_agent.transfer.fetcher import Fetcher
from opsconsole_protocol.bound import CONTENTS_MAX
from opsconsole_protocol.content.error import CacheChanged
from opsconsole_protocol.content.manifest import Manifest
from opsconsole_protocol.error import NotFound, Unavailable
from opsconsole_protocol.host.content.store import ContentStore, StoredTree
from opsconsole_protocol.ids import AttemptId, ContentId
from opsconsole_protocol.link import Contents, Leaving

_TRIES = 3
"""A tree that is gone again as soon as it has come is fetched so often."""

_log = logging.getLogger(__name__)


class Fetching(Protocol):
    """Who waits for a tree. All methods but `begin` may be called from any thread."""

    def begin(self) -> None:
        """It isn't here, and is fetched."""

    def progress(self, done: int) -> None:
        """This many bytes of it are here."""

    def tell(self, text: str) -> None:
        """Something happened, in one line."""


@dataclass(slots=True, eq=False)
class _Fetch:
    """One tree that is on its way, and all who wait for it."""

    waiting: list[tuple[AttemptId, Fetching]] = field(default_factory=list)
    task: "asyncio.Task[None] | None" = None
    done: int = 0
    is_ending: bool = False
    """Nobody waits any more; another fetch of this tree begins when this one has ended."""

    def attempts(self) -> tuple[AttemptId, ...]:
        """See Wanted."""
        return tuple(attempt_id for attempt_id, _ in self.waiting)

    def progress(self, done: int) -> None:
        """See Wanted."""
        self.done = done
        for _, one in tuple(self.waiting):
            one.progress(done)

    def tell(self, text: str) -> None:
        """See Wanted."""
        for _, one in tuple(self.waiting):
            one.tell(text)


class ContentCache:
    """For the loop; the store's own work is done in threads."""

    def __init__(self, store: ContentStore, fetcher: Fetcher, tell: Callable[[Contents], None]) -> None:
        """`tell` is given what the coordinator is to know of the trees that are here."""
        self._store = store
        self._fetcher = fetcher
        self._tell = tell
        self._fetches: dict[ContentId, _Fetch] = {}
        self._told: frozenset[ContentId] = frozenset()
        self._loop = asyncio.get_running_loop()

    @property
    def store(self) -> ContentStore:
        """The store itself, for threads."""
        return self._store

    # --- for attempts ----------------------------------------------------------------------------------------------

    async def obtain(self, content_id: ContentId, attempt_id: AttemptId, fetching: Fetching) -> StoredTree:
        """The tree, whole and unchanged, kept for this attempt until `release`; it is fetched where it is lacking.

        Raises OpsconsoleError. Cancelled, the fetch goes on only if others wait for it, too.
        """
        await _whole(asyncio.to_thread(self._store.pin, attempt_id, content_id))
        for _ in range(_TRIES):
            try:
                return await asyncio.to_thread(self._store.open, content_id)
            except CacheChanged as error:
                fetching.tell(f"{error.message}; it is fetched again")
                _log.warning("%s", error.message)
                self.look_around()
            except NotFound:
                pass
            fetching.begin()
            await self._fetch(content_id, attempt_id, fetching)
        raise Unavailable(
            f"the tree {content_id[:12]} is changed by somebody as soon as it has come: look who writes there"
        )

    async def _fetch(self, content_id: ContentId, attempt_id: AttemptId, fetching: Fetching) -> None:
        while (fetch := self._fetches.get(content_id)) is not None and fetch.is_ending and fetch.task is not None:
            await asyncio.wait([fetch.task])
        if fetch is None:
            fetch = self._fetches[content_id] = _Fetch()
            fetch.task = asyncio.create_task(self._run(content_id, fetch), name=f"fetch {content_id[:12]}")
        else:
            fetching.tell("another task fetches it already")
        waits = (attempt_id, fetching)
        fetch.waiting.append(waits)
        fetching.progress(fetch.done)
        assert fetch.task is not None  # noqa: S101  (for the type checker; it was set with the fetch)
        try:
            await asyncio.shield(fetch.task)
        finally:
            fetch.waiting.remove(waits)
            if not fetch.waiting and not fetch.task.done():
                fetch.is_ending = True
                fetch.task.cancel()

    async def _run(self, content_id: ContentId, fetch: _Fetch) -> None:
        try:
            await self._fetcher.fetch(content_id, self._store, fetch)
        finally:
            del self._fetches[content_id]
            self.look_around()

    async def manifest(self, content_id: ContentId) -> Manifest | None:
        """What a tree consists of, None where it isn't here."""
        try:
            return (await asyncio.to_thread(self._store.open, content_id)).manifest
        except (CacheChanged, NotFound):
            self.look_around()
            return None

    def release(self, attempt_id: AttemptId) -> None:
        """The attempt needs nothing any more. Blocks."""
        self._store.unpin(attempt_id)

    def recover(self, known: Collection[str]) -> None:
        """After a restart: only these attempts need something. Blocks."""
        for holder in self._store.holders():
            if holder not in known:
                self._store.unpin(holder)

    # --- for `opsconsole clean` ------------------------------------------------------------------------------------

    def look(self, before_ms: int) -> list[Leaving]:
        """The trees that no attempt needs and that were used last before this time (Unix milliseconds). Blocks."""
        return [one for one in self._unneeded().values() if one.at_ms < before_ms]

    def remove(self, names: Collection[str]) -> list[Leaving]:
        """Remove those trees of these names that no attempt needs, and return them. Blocks."""
        gone = {content_id: one for content_id, one in self._unneeded().items() if one.name in names}
        removed = [one for content_id, one in gone.items() if self._store.remove(content_id, unless_pinned=True)]
        if removed:
            self._loop.call_soon_threadsafe(self.look_around)
        return removed

    def _unneeded(self) -> dict[ContentId, Leaving]:
        needed = {content_id for held in self._store.holders().values() for content_id in held}
        return {
            content_id: Leaving(
                name=f"content/{content_id}",
                path=str(self._store.path(content_id)),
                why="files or code that a job brought, kept for the next one with the same",
                bytes=head.size_bytes,
                at_ms=self._store.used_ms(content_id),
            )
            for content_id, head in self._store.heads().items()
            if content_id not in needed
        }

    # --- for the coordinator ---------------------------------------------------------------------------------------

    def introduce(self) -> None:
        """Tell a coordinator that has just been connected all that is here."""
        self._told = frozenset(self._store.ids())
        first, *rest = _pages(self._told) or [()]
        self._tell(Contents(whole=True, added=first))
        for page in rest:
            self._tell(Contents(whole=False, added=page))

    def look_around(self) -> None:
        """Tell what has come and gone since it was told last."""
        now = frozenset(self._store.ids())
        added, removed, self._told = now - self._told, self._told - now, now
        for page in _pages(added):
            self._tell(Contents(whole=False, added=page))
        for page in _pages(removed):
            self._tell(Contents(whole=False, removed=page))

    async def close(self) -> None:
        """Cancel what is on its way; what has arrived of it stays for the next time."""
        tasks = [fetch.task for fetch in self._fetches.values() if fetch.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._store.close()


async def _whole(work: Coroutine[Any, Any, None]) -> None:
    """Do it to its end, also where this is cancelled meanwhile: what undoes it comes afterwards."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _pages(ids: Collection[ContentId]) -> list[tuple[ContentId, ...]]:
    whole = tuple(sorted(ids))
    return [whole[start : start + CONTENTS_MAX] for start in range(0, len(whole), CONTENTS_MAX)]
