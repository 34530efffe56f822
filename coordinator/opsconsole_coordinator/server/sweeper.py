"""Does a sweep every hour, and sooner when it is asked to."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from opsconsole_protocol.error import OpsconsoleError

SWEEP_S = 3_600.0


class Sweeper:
    """Repeats one sweep. A sweep that fails is logged as `what`, and done again an hour later."""

    def __init__(self, sweep: Callable[[], Awaitable[None]], log: logging.Logger, what: str) -> None:
        self._sweep = sweep
        self._log = log
        self._what = what
        self._is_asked = asyncio.Event()

    def hurry(self) -> None:
        """Have the next sweep done now."""
        self._is_asked.set()

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_asked.wait(), SWEEP_S)
            self._is_asked.clear()
            try:
                await self._sweep()
            except OpsconsoleError as error:
                self._log.warning("%s: %s", self._what, error)
