"""Fanning committed changes out to consoles.

There is one ledger of what changed, with at most one row of each entity, and a mark for each subscriber that says how far
it was told. A slow subscriber is told the latest row of an entity, not every row. All are told at the same moments, so
those with the same mark share one encoded update: a hundred who keep up cost little more than one.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Literal

from msgspec import Raw

from opsconsole_coordinator.server import preencoded
from opsconsole_coordinator.server.commit_loop import CommitLoop, ToldRows
from opsconsole_coordinator.server.worker_row_cache import WorkerRowCache
from opsconsole_protocol import api
from opsconsole_protocol.api import EventRow, Update
from opsconsole_protocol.ids import JobId, WorkerId

EVENTS_WAITING_MAX = 2_000
"""How many events are kept: as many as a view keeps (`client/fleet.py`)."""
INTERVAL_S = 0.05
ROWS_PER_S = 2_000
"""Nobody can follow more: after an update of many rows the next one waits longer."""
UPDATE_ROWS_MAX = 5_000
"""How many rows an update has, or jobs a snapshot: more would not fit a frame. The rest follows."""
ROWS_WAITING_MAX = 100_000
"""How many changed rows are kept for subscribers that don't read."""

_Key = tuple[Literal["job"], JobId] | tuple[Literal["worker"], WorkerId]


class Subscriber:
    """How far one console was told."""

    def __init__(self, broadcaster: "Broadcaster", mark: int) -> None:
        self._broadcaster = broadcaster
        self.mark = mark
        self.wake = asyncio.Event()

    @property
    def is_behind(self) -> bool:
        """Whether it missed changes that are kept no longer: only a new snapshot helps."""
        return self.mark < self._broadcaster.floor

    async def wait(self) -> None:
        """Wait until there is something to tell and the next moment has come at which updates are made."""
        while self.mark >= self._broadcaster.mark:
            self.wake.clear()
            await self.wake.wait()
        await self._broadcaster.beat()

    def next_update(self) -> Raw:
        """The next update, encoded."""
        update, self.mark = self._broadcaster.update(self.mark)
        return update


class Broadcaster:
    """All subscribers, and what they are told."""

    def __init__(self, commit_loop: CommitLoop, worker_row_cache: WorkerRowCache) -> None:
        self.worker_row_cache = worker_row_cache
        self._subscribers: set[Subscriber] = set()
        self.mark = 0
        """Counts changes."""
        self.floor = 0
        """Whoever was told less misses changes that are kept no longer."""
        self._seq = 0
        self._ledger: dict[_Key, tuple[int, Raw | None]] = {}
        """The mark of each entity's last change, oldest first, and a job's row."""
        self._events: deque[tuple[int, Raw]] = deque(maxlen=EVENTS_WAITING_MAX)
        self._updates: dict[int, tuple[Raw, int]] = {}
        """Updates up to the present mark, by the mark that they go on from."""
        self._rows_told = 0
        self._beat: asyncio.Future[None] | None = None
        commit_loop.commit_listeners.append(self)

    def subscribe(self) -> Subscriber:
        """A new subscriber, to be told what changes from now on; end it with `unsubscribe`."""
        subscriber = Subscriber(self, self.mark)
        self._subscribers.add(subscriber)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Forget a subscriber."""
        self._subscribers.discard(subscriber)
        if not self._subscribers:
            self._ledger.clear()
            self._events.clear()
            self._updates.clear()

    def publish(self, jobs: ToldRows, workers: Iterable[WorkerId], events: list[EventRow], seq: int) -> None:
        """Take note of a committed batch."""
        before, self._seq = self.mark, seq
        if not self._subscribers:
            return
        for job, row in jobs.items():
            self._record(("job", job), row if isinstance(row, Raw) else preencoded.encode(row))
        for worker in workers:
            self._record(("worker", worker), None)
        self.mark += max(0, len(events) - EVENTS_WAITING_MAX)
        for event in events[-EVENTS_WAITING_MAX:]:
            self.mark += 1
            self._events.append((self.mark, preencoded.encode(event)))
        if self.mark == before:
            return
        self._updates.clear()
        self._trim()
        for subscriber in self._subscribers:
            subscriber.wake.set()

    def _record(self, key: _Key, row: Raw | None) -> None:
        self.mark += 1
        self._ledger.pop(key, None)
        self._ledger[key] = (self.mark, row)

    def _trim(self) -> None:
        """Drop what everybody was told, and the oldest where more than ROWS_WAITING_MAX rows wait."""
        told = min((one.mark for one in self._subscribers if not one.is_behind), default=self.mark)
        excess = len(self._ledger) - ROWS_WAITING_MAX
        while self._ledger:
            key = next(iter(self._ledger))
            mark, _ = self._ledger[key]
            if mark > told and excess <= 0:
                return
            if mark > told:
                self.floor = mark
            del self._ledger[key]
            excess -= 1

    async def beat(self) -> None:
        """Wait for the next moment at which updates are made, which is the same for all who wait."""
        if self._beat is None:
            loop = asyncio.get_running_loop()
            self._beat = loop.create_future()
            loop.call_later(max(INTERVAL_S, self._rows_told / ROWS_PER_S), self._end_beat, self._beat)
        await asyncio.shield(self._beat)

    def _end_beat(self, beat: asyncio.Future[None]) -> None:
        self._beat, self._rows_told = None, 0
        beat.set_result(None)

    def update(self, since: int) -> tuple[Raw, int]:
        """Whole rows for what changed since a mark, and the mark that this leads to."""
        if since not in self._updates:
            self._updates[since] = self._make_update(since)
        return self._updates[since]

    def _make_update(self, since: int) -> tuple[Raw, int]:
        changed: list[tuple[_Key, int, Raw | None]] = []
        for key, (mark, row) in reversed(self._ledger.items()):
            if mark <= since:
                break
            changed.append((key, mark, row))
        changed.reverse()
        until = self.mark
        if len(changed) > UPDATE_ROWS_MAX:
            del changed[UPDATE_ROWS_MAX:]
            until = changed[-1][1]
        self._rows_told = max(self._rows_told, len(changed))
        workers = {key[1]: self.worker_row_cache.row(key[1]) for key, _, _ in changed if key[0] == "worker"}
        update = Update(
            seq=self._seq,
            workers=preencoded.rows((row for row in workers.values() if row is not None), api.WorkerRow),
            workers_removed=tuple(worker for worker, row in workers.items() if row is None),
            jobs=preencoded.rows((row for _, _, row in changed if row is not None), api.JobRow),
            events=preencoded.rows((event for mark, event in self._events if since < mark <= until), api.EventRow),
        )
        return preencoded.encode(update), until
