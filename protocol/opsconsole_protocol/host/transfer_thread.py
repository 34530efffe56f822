"""Threads for transfers: a bounded number at a time, the rest waits for its turn; each can be cancelled."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")

_END_TIMEOUT_S = 10.0


class Closable(Protocol):
    """What a thread may be waiting in."""

    def close(self) -> None:
        """Wake whoever waits in it."""


GRACE_S = 0.5
"""How long a transfer that is cancelled has to tell its other end so, before what it may be waiting in is closed."""


class Cancel(threading.Event):
    """Set once a transfer is to end. What a thread is still waiting in a moment later is closed."""

    def __init__(self) -> None:
        super().__init__()
        self._mutex = threading.Lock()
        self._open: list[Closable] = []

    def set(self) -> None:
        """End it."""
        with self._mutex:
            is_first = not self.is_set()
            super().set()
            has_open = bool(self._open)
        if is_first and has_open:
            closing = threading.Timer(GRACE_S, self._close)
            closing.daemon = True
            closing.start()

    def _close(self) -> None:
        with self._mutex:
            opened, self._open = self._open, []
        for one in opened:
            one.close()

    @contextlib.contextmanager
    def closing(self, one: Closable) -> Iterator[None]:
        """Close `one` soon after this is set, at once if it is set already."""
        with self._mutex:
            is_set = self.is_set()
            if not is_set:
                self._open.append(one)
        if is_set:
            one.close()
        try:
            yield
        finally:
            with self._mutex, contextlib.suppress(ValueError):
                self._open.remove(one)


class TransferThreads:
    """At most `limit` at a time. They are daemons: one that hangs on a dead mount doesn't keep the process from ending."""

    def __init__(self, limit: int) -> None:
        self._free = asyncio.Semaphore(limit)
        self._cancels: set[Cancel] = set()

    @property
    def is_busy(self) -> bool:
        """Whether more work would have to wait for its turn."""
        return self._free.locked()

    async def run(self, work: Callable[[Cancel], T]) -> T:
        """Call it in a thread, when it is its turn, and return what it returns.

        Cancelled, it sets the event that `work` was given, and waits a while for the thread to end. The turn is over only
        when that has ended.
        """
        await self._free.acquire()
        cancel = Cancel()
        self._cancels.add(cancel)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def finish(result: T | None, error: BaseException | None) -> None:
            self._cancels.discard(cancel)
            self._free.release()
            if done.done():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(result)  # type: ignore[arg-type]

        def run() -> None:
            result, failure = None, None
            try:
                result = work(cancel)
            except BaseException as error:  # noqa: BLE001  (whoever waits gets it)
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(finish, result, failure)

        threading.Thread(target=run, name="opsconsole-transfer", daemon=True).start()
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            cancel.set()
            done.add_done_callback(lambda ended: ended.exception())  # nobody else looks at it
            await asyncio.wait([done], timeout=_END_TIMEOUT_S)
            raise

    def close(self) -> None:
        """Cancel all that is under way."""
        for cancel in list(self._cancels):
            cancel.set()
