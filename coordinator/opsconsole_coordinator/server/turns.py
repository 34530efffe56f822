"""Room for a few at a time, given to those who ask in turn: who asks for much holds up themselves."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(eq=False, slots=True)
class _Ticket:
    future: "asyncio.Future[None]"
    is_in: bool = False


class Turns:
    """At most `room` are in at a time; of one caller at most `each`, so that somebody else always finds room."""

    def __init__(self, room: int, each: int) -> None:
        self._free = room
        self._each = each
        self._inside: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[_Ticket]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, caller: str) -> AsyncIterator[None]:
        """Wait for one's turn, and have it within."""
        await self._enter(caller)
        try:
            yield
        finally:
            self._leave(caller)

    async def _enter(self, caller: str) -> None:
        ticket = _Ticket(asyncio.get_running_loop().create_future())
        self._waiting.setdefault(caller, deque()).append(ticket)
        self._admit()
        try:
            await ticket.future
        except asyncio.CancelledError:
            if ticket.is_in:
                self._leave(caller)  # it was this one's turn just then
            else:
                self._forget(caller, ticket)
            raise

    def _leave(self, caller: str) -> None:
        self._free += 1
        self._inside[caller] -= 1
        if not self._inside[caller]:
            del self._inside[caller]
        self._admit()

    def _admit(self) -> None:
        """Let in as many as there is room for: of each caller one, then of each the next."""
        while self._free:
            caller = next((one for one in self._waiting if self._inside[one] < self._each), None)
            if caller is None:
                return
            queue = self._waiting.pop(caller)
            ticket = queue.popleft()
            if queue:
                self._waiting[caller] = queue  # behind all others
            if not ticket.future.done():  # else it was cancelled, and has not heard of it yet
                ticket.is_in = True
                self._free -= 1
                self._inside[caller] += 1
                ticket.future.set_result(None)

    def _forget(self, caller: str, ticket: "_Ticket") -> None:
        queue = self._waiting.get(caller)
        if queue is not None and ticket in queue:
            queue.remove(ticket)
            if not queue:
                del self._waiting[caller]
