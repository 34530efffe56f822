"""Wait for a thing, never for a time."""

import asyncio
import time
from collections.abc import Callable

_POLL_S = 0.01


async def until(condition: Callable[[], object], timeout_s: float = 10.0, what: str = "") -> None:
    """Return once `condition()` is true; raise AssertionError naming `what` after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"still waiting for {what or condition} after {timeout_s} s")
        await asyncio.sleep(_POLL_S)


def until_sync(condition: Callable[[], object], timeout_s: float = 10.0, what: str = "") -> None:
    """The same without an event loop."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"still waiting for {what or condition} after {timeout_s} s")
        time.sleep(_POLL_S)
