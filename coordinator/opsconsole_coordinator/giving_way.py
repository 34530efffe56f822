"""Long loops on the event loop give way: others have their turn every few milliseconds."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

TURN_S = 0.002
"""How long such a loop holds others up at a time. A request needs several turns until it is answered."""

T = TypeVar("T")


async def giving_way(values: Iterable[T]) -> AsyncIterator[T]:
    """Yield the values. What takes less than a turn in all isn't interrupted."""
    until_s = time.monotonic() + TURN_S
    for value in values:
        yield value
        if time.monotonic() > until_s:
            await asyncio.sleep(0)
            until_s = time.monotonic() + TURN_S
