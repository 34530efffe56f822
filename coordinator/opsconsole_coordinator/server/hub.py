"""Fanning committed changes out to consoles. A subscriber holds at most one row of each entity: slow ones see fewer steps."""

import asyncio
from collections import deque
from collections.abc import Iterable
from itertools import islice

from opsconsole_coordinator.core import view
from opsconsole_coordinator.server.kernel import Kernel
from opsconsole_protocol.api import EventRow, JobRow, Update
from opsconsole_protocol.ids import JobId, WorkerId

EVENTS_MAX = 500
INTERVAL_S = 0.05
ROWS_MAX = 5_000
"""Of jobs in one update, or snapshot: more would not fit a frame. The rest follows."""
ROWS_WAITING_MAX = 100_000
"""Of jobs kept for a subscriber that doesn't read."""


class Subscriber:
    """What one console hasn't been told yet."""

    def __init__(self, hub: "Hub") -> None:
        self._hub = hub
        self.is_behind = False
        """So much was missed that only a new snapshot helps."""
        self._jobs: dict[JobId, JobRow] = {}
        self._workers: dict[WorkerId, None] = {}
        self._events: deque[EventRow] = deque(maxlen=EVENTS_MAX)
        self._seq = 0
        self._wake = asyncio.Event()

    def note(self, jobs: dict[JobId, JobRow], workers: Iterable[WorkerId], events: list[EventRow], seq: int) -> None:
        """Take a committed batch into what is to be told."""
        self._jobs.update(jobs)
        if len(self._jobs) > ROWS_WAITING_MAX:
            self._jobs.clear()
            self.is_behind = True
        for worker in workers:
            self._workers[worker] = None
        self._events.extend(events)
        self._seq = seq
        self._wake.set()

    def begin(self, rest: list[JobRow]) -> None:
        """The snapshot has gone out, without these rows: they follow, unless something newer is known already."""
        self._jobs = {**{JobId(row.id): row for row in rest}, **self._jobs}
        if self._jobs:
            self._wake.set()

    async def next(self) -> Update:
        """Wait for news and gather them; bursts within INTERVAL_S become one update."""
        await self._wake.wait()
        await asyncio.sleep(INTERVAL_S)
        self._wake.clear()
        jobs, self._jobs = self._jobs, {}
        if len(jobs) > ROWS_MAX:
            some = dict(islice(jobs.items(), ROWS_MAX))
            self._jobs = {job: row for job, row in jobs.items() if job not in some}
            jobs = some
            self._wake.set()
        workers, self._workers = self._workers, {}
        events = tuple(self._events)
        self._events.clear()
        return self._hub.update(jobs, workers, events, self._seq)


class Hub:
    """All subscribers. Worker rows are made when they are told, so heartbeats cost nothing while nobody looks."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._subscribers: set[Subscriber] = set()
        kernel.audience.append(self)

    def subscribe(self) -> Subscriber:
        """A new subscriber; end it with `unsubscribe`."""
        subscriber = Subscriber(self)
        self._subscribers.add(subscriber)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Forget a subscriber."""
        self._subscribers.discard(subscriber)

    def publish(self, jobs: dict[JobId, JobRow], workers: Iterable[WorkerId], events: list[EventRow], seq: int) -> None:
        """Take note of a committed batch."""
        workers = tuple(workers)
        if not (jobs or workers or events):
            return
        for subscriber in self._subscribers:
            subscriber.note(jobs, workers, events, seq)

    def update(
        self, jobs: dict[JobId, JobRow], workers: Iterable[WorkerId], events: tuple[EventRow, ...], seq: int
    ) -> Update:
        """Whole rows for what changed."""
        fleet, now_ms = self._kernel.fleet, self._kernel.clock.now_ms()
        known = [fleet.workers[worker] for worker in workers if worker in fleet.workers]
        return Update(
            seq=seq,
            workers=tuple(view.worker_row(fleet, worker, now_ms) for worker in known),
            workers_removed=tuple(worker for worker in workers if worker not in fleet.workers),
            jobs=tuple(jobs.values()),
            events=events,
        )
