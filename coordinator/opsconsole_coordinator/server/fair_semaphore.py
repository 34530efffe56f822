"""A semaphore that callers acquire in turn: one caller's many calls never make another caller's one call wait for them all."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(eq=False, slots=True)
class _Ticket:
    future: "asyncio.Future[None]"
    is_held: bool = False


class FairSemaphore:
    """At most `limit` hold it at a time, and at most `limit_per_caller` of one caller."""

    def __init__(self, limit: int, limit_per_caller: int) -> None:
        self._free = limit
        self._limit_per_caller = limit_per_caller
        self._held: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[_Ticket]] = OrderedDict()

    @asynccontextmanager
    async def acquire(self, caller: str) -> AsyncIterator[None]:
        """Wait until the semaphore is free for this caller, and hold it within."""
        await self._enter(caller)
        try:
            yield
        finally:
            self._release(caller)

    async def _enter(self, caller: str) -> None:
        ticket = _Ticket(asyncio.get_running_loop().create_future())
        self._waiting.setdefault(caller, deque()).append(ticket)
        self._admit()
        try:
            await ticket.future
        except asyncio.CancelledError:
            if ticket.is_held:
                self._release(caller)  # it had just been let in
            else:
                self._drop_ticket(caller, ticket)
            raise

    def _release(self, caller: str) -> None:
        self._free += 1
        self._held[caller] -= 1
        if not self._held[caller]:
            del self._held[caller]
        self._admit()

    def _admit(self) -> None:
        """Let as many calls hold it as there is room for: one call of each caller, then the next of each."""
        while self._free:
            caller = next((one for one in self._waiting if self._held[one] < self._limit_per_caller), None)
            if caller is None:
                return
            queue = self._waiting.pop(caller)
            ticket = queue.popleft()
            if queue:
                self._waiting[caller] = queue  # behind all other callers
            if not ticket.future.done():  # else its task was cancelled, and hasn't run since
                ticket.is_held = True
                self._free -= 1
                self._held[caller] += 1
                ticket.future.set_result(None)

    def _drop_ticket(self, caller: str, ticket: "_Ticket") -> None:
        queue = self._waiting.get(caller)
        if queue is not None and ticket in queue:
            queue.remove(ticket)
            if not queue:
                del self._waiting[caller]
