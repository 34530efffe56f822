"""Room for a few at a time, given to those who ask in turn: who asks for much holds up themselves."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """At most `room` are in at a time; of one caller at most `each`, so that somebody else always finds room."""

    def __init__(self, room: int, each: int) -> None:
        self._free = room
        self._each = each
        self._inside: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, caller: str) -> AsyncIterator[None]:
        """Wait for one's turn, and have it within."""
        await self._enter(caller)
        try:
            yield
        finally:
            self._leave(caller)

    async def _enter(self, caller: str) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(future)
        self._admit()
        try:
            await future
        except asyncio.CancelledError:
            if future.cancelled():
                self._forget(caller, future)
            else:
                self._leave(caller)  # it was this one's turn just then
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
            future = queue.popleft()
            if queue:
                self._waiting[caller] = queue  # behind all others
            if not future.cancelled():
                self._free -= 1
                self._inside[caller] += 1
                future.set_result(None)

    def _forget(self, caller: str, future: asyncio.Future[None]) -> None:
        queue = self._waiting.get(caller)
        if queue is not None and future in queue:
            queue.remove(future)
            if not queue:
                del self._waiting[caller]
