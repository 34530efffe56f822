"""Wait for a thing, never for a time."""

import asyncio
import time
from collections.abc import Callable

_POLL_S, _POLL_MAX_S = 0.01, 0.2
_POLL_SHARE = 0.05
"""Looked at again after this part of the time that was waited: what comes late isn't looked at a thousand times for it."""


def _pause_s(waited_s: float) -> float:
    return min(max(_POLL_S, _POLL_SHARE * waited_s), _POLL_MAX_S)


async def until(condition: Callable[[], object], timeout_s: float = 10.0, what: str = "") -> None:
    """Return once `condition()` is true; raise AssertionError naming `what` after `timeout_s` seconds."""
    began = time.monotonic()
    while not condition():
        waited_s = time.monotonic() - began
        if waited_s > timeout_s:
            raise AssertionError(f"still waiting for {what or condition} after {timeout_s} s")
        await asyncio.sleep(_pause_s(waited_s))


def until_sync(condition: Callable[[], object], timeout_s: float = 10.0, what: str = "") -> None:
    """The same without an event loop."""
    began = time.monotonic()
    while not condition():
        waited_s = time.monotonic() - began
        if waited_s > timeout_s:
            raise AssertionError(f"still waiting for {what or condition} after {timeout_s} s")
        time.sleep(_pause_s(waited_s))
