"""When the garbage collector looks at everything: seldom, and not in the middle of a heavy hour.

A fleet is some hundred thousand objects that refer to each other in no circle: counting references frees them. A full
pass over them takes 50 to 200 ms in which nobody is answered, and Python makes one whenever enough was allocated, which
is when most is going on. Here the young generations are looked at as always; everything, once in a while.
"""

import asyncio
import gc

EVERY_S = 600.0
_NEVER = 1 << 30


class GcTimer:
    """Holds full passes back between `begin` and `end`, and makes them in `run`. It is the whole process's."""

    def __init__(self) -> None:
        self._before: tuple[int, int, int] | None = None

    def begin(self) -> None:
        """What exists now lives as long as the process: no pass needs to look at it."""
        gc.collect()
        gc.freeze()
        self._before = gc.get_threshold()
        young, middle, _ = self._before
        gc.set_threshold(young, middle, _NEVER)

    async def run(self) -> None:
        """Look at everything, every now and then, for ever."""
        while True:
            await asyncio.sleep(EVERY_S)
            gc.collect()

    def end(self) -> None:
        """As it was before `begin`."""
        if self._before is not None:
            gc.set_threshold(*self._before)
            self._before = None
            gc.unfreeze()
