"""Fetches trees into the worker's store, from whoever the coordinator says has them."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from opsconsole_protocol.content.manifest import Manifest
from opsconsole_protocol.error import NotFound, OpsconsoleError, Unavailable
from opsconsole_protocol.host.content.session import Progress, Summary, receive
from opsconsole_protocol.host.content.sink import Sink
from opsconsole_protocol.host.content.store import ContentStore
from opsconsole_protocol.host.stream.stream import Stream
from opsconsole_protocol.host.transfer_thread import Cancel, TransferThreads
from opsconsole_protocol.ids import AttemptId, ContentId
from opsconsole_protocol.stream.message import FetchContent

AWAY_S = 120.0
"""How long an attempt keeps its slot while nobody who has its files can be reached. Then it goes back to the queue."""
_BACK_OFF_FIRST_S, _BACK_OFF_LAST_S = 0.5, 10.0

_log = logging.getLogger(__name__)


class ContentAway(Unavailable):
    """Nobody who has a tree can be reached, for so long that it isn't waited for any longer."""


class Move(Protocol):
    """Opens a stream for a purpose and lets `work` use it, on another one where that is lost. It blocks."""

    def __call__(
        self, purpose: FetchContent, *, work: Callable[[Stream], Summary], tell: Callable[[str], None], cancel: Cancel
    ) -> Summary:
        """What `work` has returned. Raises OpsconsoleError."""


class Wanted(Protocol):
    """A tree that attempts wait for. What is told may come from any thread."""

    def attempts(self) -> Sequence[AttemptId]:
        """Those that wait now, who waits longest first."""

    def progress(self, done: int) -> None:
        """This many bytes of it are here."""

    def tell(self, text: str) -> None:
        """Something happened, in one line."""


class Fetcher:
    """One agent's. `is_connected`: whether the coordinator can be asked at the moment."""

    def __init__(
        self, move: Move, threads: TransferThreads, is_connected: Callable[[], bool], *, away_max_s: float = AWAY_S
    ) -> None:
        self._move = move
        self._threads = threads
        self._is_connected = is_connected
        self._away_max_s = away_max_s

    async def fetch(self, content_id: ContentId, store: ContentStore, wanted: Wanted) -> None:
        """Have the tree in the store, for all who wait for it. `wanted` is told in threads.

        Goes on where an interrupted fetch was. Raises ContentAway, or the OpsconsoleError for which trying again can't help.
        """
        reached_s = time.monotonic()
        told = ""
        back_off_s = _BACK_OFF_FIRST_S

        def moved(done: Progress) -> None:
            nonlocal reached_s
            reached_s = time.monotonic()
            wanted.progress(done.bytes_done)

        while not store.has(content_id) and wanted.attempts():
            attempt_id = wanted.attempts()[0]
            purpose = FetchContent(content_id=content_id, attempt_id=attempt_id)
            try:
                await self._threads.run(partial(self._fetch_now, purpose, store, moved, wanted.tell))
            except OpsconsoleError as error:
                if attempt_id not in wanted.attempts():
                    continue  # it was cancelled, and the coordinator gives it nothing more; others still wait
                if not _may_pass(error):
                    raise
                if not self._is_connected():
                    reached_s = time.monotonic()
                elif time.monotonic() - reached_s > self._away_max_s:
                    raise ContentAway(f"its files can't be had at the moment: {error.message}") from None
                if error.message != told:
                    told = error.message
                    wanted.tell(f"{told}; trying again")
                await asyncio.sleep(back_off_s * random.uniform(0.5, 1.0))  # noqa: S311 – to spread attempts
                back_off_s = min(2 * back_off_s, _BACK_OFF_LAST_S)

    def _fetch_now(
        self,
        purpose: FetchContent,
        store: ContentStore,
        progress: Callable[[Progress], None],
        tell: Callable[[str], None],
        cancel: Cancel,
    ) -> Summary:
        content_id = purpose.content_id

        def make_sink(manifest: Manifest) -> Sink:
            return store.sink(manifest, cancel=cancel)

        def work(stream: Stream) -> Summary:
            with cancel.closing(stream):
                return receive(stream, make_sink, expected=content_id, progress=progress, cancel=cancel)

        summary = self._move(purpose, work=work, tell=tell, cancel=cancel)
        _log.info("fetched %s: %d bytes in %.1f s", content_id[:12], summary.bytes_sent, summary.seconds)
        return summary


def _may_pass(error: OpsconsoleError) -> bool:
    """Whether trying again can help: nobody was there; or the other end has stopped for a reason that isn't ours."""
    return isinstance(error, Unavailable | NotFound) or type(error) is OpsconsoleError
