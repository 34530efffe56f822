"""When the garbage collector makes a full pass: every ten minutes, and not whenever much is allocated.

A fleet is some hundred thousand objects without reference cycles, so counting references frees them. A full pass over
them takes 50 to 200 ms in which nobody is answered, and Python makes one whenever enough was allocated, which is when
most is going on. Here the young generations are collected as always, and the oldest one by a timer.
"""

import asyncio
import gc

EVERY_S = 600.0
_NEVER = 1 << 30


class GcTimer:
    """Makes full passes in `run` only, between `begin` and `end`. This holds for the whole process.

    Between `pause` and `begin` or `end` it makes none at all: while the fleet is read, a pass would look at ever more of it.
    """

    def __init__(self) -> None:
        self._before: tuple[int, int, int] | None = None
        self._has_frozen = False
        self._is_paused = False

    def pause(self) -> None:
        """Stop all passes, unless the process has done that itself."""
        self._is_paused = gc.isenabled()
        if self._is_paused:
            gc.collect(1)
            gc.disable()

    def _go_on(self) -> None:
        if self._is_paused:
            self._is_paused = False
            gc.enable()

    def begin(self) -> None:
        """Stop automatic full passes. What exists now is taken to live as long as the process: no pass looks at it.

        Where the process has done that itself, it stays as the process has it.
        """
        self._has_frozen = not gc.get_freeze_count()
        if self._has_frozen:
            if not self._is_paused:
                gc.collect(1)
            gc.freeze()
        self._go_on()
        self._before = gc.get_threshold()
        young, middle, _ = self._before
        gc.set_threshold(young, middle, _NEVER)

    async def run(self) -> None:
        """Make a full pass every EVERY_S seconds, for ever."""
        while True:
            await asyncio.sleep(EVERY_S)
            gc.collect()

    def end(self) -> None:
        """Put back the collector's settings as they were before `pause` and `begin`."""
        self._go_on()
        if self._before is not None:
            gc.set_threshold(*self._before)
            self._before = None
        if self._has_frozen:
            self._has_frozen = False
            gc.unfreeze()
