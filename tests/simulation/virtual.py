"""Virtual time, and the few words of asyncio that the coordinator's shell uses, on top of it.

One heap of timers, no sockets, no threads: a step is a function call. `Aio` stands in for the module `asyncio` in
modules under simulation; it is made anew for every life of a coordinator, so that a crash can drop all that waits.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from opsconsole_protocol.error import OpsconsoleError

T = TypeVar("T")
CancelledError = asyncio.CancelledError


class Killed(BaseException):
    """Thrown into coroutines whose process has crashed."""


class Timer:
    """Something to be done later."""

    __slots__ = ("action",)

    def __init__(self, action: Callable[[], object]) -> None:
        self.action: Callable[[], object] | None = action

    def cancel(self) -> None:
        """Don't do it."""
        self.action = None

    def fire(self) -> None:
        """Do it, unless it was cancelled."""
        if self.action is not None:
            self.action()


class Loop:
    """Whole virtual milliseconds; what is due at the same time happens in the order in which it was asked for.

    What is to be done at once waits in a queue of its own, which is most of what is done at all: whatever the heap
    holds for the present millisecond was asked for in an earlier one, and comes first.
    """

    def __init__(self) -> None:
        self.now_ms = 0
        self.steps = 0
        self.errors: list[BaseException] = []
        self._timers: list[tuple[int, int, Timer]] = []
        self._ready: deque[Callable[[], object]] = deque()
        self._count = 0
        self.soon = self._ready.append

    def at(self, delay_ms: float, action: Callable[[], object]) -> Timer:
        """Do something after so many milliseconds."""
        timer = Timer(action)
        delay_ms = round(delay_ms)
        if delay_ms > 0:
            self._count += 1
            heapq.heappush(self._timers, (self.now_ms + delay_ms, self._count, timer))
        else:
            self.soon(timer.fire)
        return timer

    def run(self, until_ms: int) -> None:
        """Let time pass up to `until_ms`, or until an error is noted."""
        timers, ready, errors = self._timers, self._ready, self.errors
        while not errors:
            if timers and (timers[0][0] <= self.now_ms or not ready):
                if timers[0][0] > until_ms:
                    break
                self.now_ms, _, timer = heapq.heappop(timers)
                action = timer.action
                if action is None:
                    continue
            elif ready:
                action = ready.popleft()
            else:
                break
            self.steps += 1
            action()
        if not errors:
            self.now_ms = until_ms


class Future(Generic[T]):
    """A result that comes later."""

    __slots__ = ("_callbacks", "_error", "_is_done", "_result")

    def __init__(self) -> None:
        self._is_done = False
        self._result: T | None = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Future[T]], object]] = []

    def done(self) -> bool:
        """Whether it has come."""
        return self._is_done

    def set_result(self, result: T) -> None:
        """It has come."""
        self._result = result
        self._finish()

    def wake(self) -> None:
        """It has come, and is nothing."""
        self._finish()

    def set_exception(self, error: BaseException) -> None:
        """It won't come."""
        self._error = error
        self._finish()

    def result(self) -> T:
        """What came, or raise."""
        if self._error is not None:
            raise self._error
        return cast("T", self._result)

    def add_callback(self, callback: "Callable[[Future[T]], object]") -> None:
        """Call with this when done."""
        if self._is_done:
            callback(self)
        else:
            self._callbacks.append(callback)

    def _finish(self) -> None:
        self._is_done = True
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    def __await__(self) -> Generator[Any, None, T]:
        if not self._is_done:
            yield self
        if self._error is not None:
            raise self._error
        return cast("T", self._result)


class Task(Future[T]):
    """A coroutine that is stepped by the loop."""

    __slots__ = ("_aio", "_running", "_thrown", "_waiting", "_work", "name")

    def __init__(self, aio: "Aio", work: Coroutine[Any, Any, T], name: str) -> None:
        super().__init__()
        self.name = name
        self._aio = aio
        self._work = work
        self._waiting: Future[Any] | None = None
        self._thrown: BaseException | None = None
        self._running = False
        aio.loop.soon(self._step)

    def cancel(self) -> None:
        """Raise CancelledError where it waits."""
        if not self._is_done:
            self._thrown = CancelledError()
            self._waiting = None
            self._aio.loop.soon(self._step)

    def kill(self) -> None:
        """Its process is gone: nothing of it may run any more."""
        self._is_done = True
        if self._running:
            return
        for _ in range(10):
            try:
                self._work.throw(Killed())
            except (StopIteration, BaseException):  # noqa: BLE001 – whatever its clean-up wanted, nobody sees it
                return

    def _wake(self, future: Future[Any]) -> None:
        if self._waiting is future:
            self._waiting = None
            self._aio.loop.soon(self._step)

    def _step(self) -> None:
        if self._is_done or self._waiting is not None or self._aio.is_dead:
            return
        thrown, self._thrown = self._thrown, None
        before, self._aio.current, self._running = self._aio.current, self, True
        try:
            future = self._work.send(None) if thrown is None else self._work.throw(thrown)
        except StopIteration as stop:
            if not self._is_done:
                self.set_result(stop.value)
        except Killed:
            self._is_done = True
        except (CancelledError, OpsconsoleError) as error:
            if not self._is_done:
                self.set_exception(error)
        except Exception as error:  # noqa: BLE001 – anything else is a bug to be shown
            error.add_note(f"in the task {self.name!r}")
            self._aio.loop.errors.append(error)
            self._is_done = True
        else:
            if not self._is_done:
                self._waiting = future
                future.add_callback(self._wake)
        finally:
            self._aio.current, self._running = before, False


class Event:
    """asyncio.Event."""

    def __init__(self) -> None:
        self._is_set = False
        self._waiters: list[Future[bool]] = []

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._is_set

    def set(self) -> None:
        """Wake everybody."""
        self._is_set = True
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.set_result(True)

    def clear(self) -> None:
        """Reset."""
        self._is_set = False

    async def wait(self) -> bool:
        """Wait until set."""
        if not self._is_set:
            future: Future[bool] = Future()
            self._waiters.append(future)
            await future
        return True


class Queue(Generic[T]):
    """asyncio.Queue without a limit: what is bounded in life is bounded here by the workload."""

    def __init__(self, maxsize: int = 0) -> None:
        del maxsize
        self._items: deque[T] = deque()
        self._news = Event()

    def empty(self) -> bool:
        """Whether nothing is in it."""
        return not self._items

    def put_nowait(self, item: T) -> None:
        """Add."""
        self._items.append(item)
        self._news.set()

    async def put(self, item: T) -> None:
        """Add."""
        self.put_nowait(item)

    def get_nowait(self) -> T:
        """Take."""
        return self._items.popleft()

    async def get(self) -> T:
        """Take, or wait."""
        while not self._items:
            self._news.clear()
            await self._news.wait()
        return self._items.popleft()


class _Timeout:
    def __init__(self, aio: "Aio", delay_s: float | None) -> None:
        self._aio = aio
        self._delay_s = delay_s
        self._timer: Timer | None = None
        self._is_over = False

    async def __aenter__(self) -> Self:
        task = self._aio.current

        def expire() -> None:
            self._is_over = True
            if task is not None:
                task.cancel()

        if self._delay_s is not None:
            self._timer = self._aio.loop.at(self._delay_s * 1000, expire)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._is_over and kind is not None and issubclass(kind, CancelledError):
            raise TimeoutError from error


class Aio:
    """What modules under simulation find under the name `asyncio`."""

    CancelledError = CancelledError
    FIRST_COMPLETED = asyncio.FIRST_COMPLETED

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.current: Task[Any] | None = None
        self.is_dead = False
        self._tasks: list[Task[Any]] = []

    def kill(self) -> None:
        """End this life: nothing of it runs any more."""
        self.is_dead = True
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            if not task.done():
                task.kill()

    # --- asyncio's words -------------------------------------------------------------------------------------------

    def create_task(self, work: Coroutine[Any, Any, T], *, name: str = "") -> Task[T]:
        """asyncio.create_task."""
        if len(self._tasks) > 200:
            self._tasks = [task for task in self._tasks if not task.done()]
        task = Task(self, work, name)
        self._tasks.append(task)
        return task

    def get_running_loop(self) -> "Aio":
        """This, which has `create_future` and `time`."""
        return self

    def create_future(self) -> Future[Any]:
        """A new future."""
        return Future()

    def time(self) -> float:
        """Seconds."""
        return self.loop.now_ms / 1000

    async def sleep(self, delay_s: float) -> None:
        """Wait."""
        future: Future[None] = Future()
        self.loop.at(delay_s * 1000, future.wake)
        await future

    async def to_thread(self, work: Callable[[], T]) -> T:
        """asyncio.to_thread, which here takes no time."""
        return work()

    def timeout(self, delay_s: float | None) -> _Timeout:
        """asyncio.timeout."""
        return _Timeout(self, delay_s)

    async def wait(
        self,
        tasks: tuple[Task[Any], ...],
        *,
        timeout: float | None = None,  # noqa: ASYNC109 – asyncio's own word
        return_when: str = "",
    ) -> tuple[set[Task[Any]], set[Task[Any]]]:
        """asyncio.wait for the first of some tasks, or for the only one."""
        if return_when != asyncio.FIRST_COMPLETED and len(tasks) > 1:
            raise NotImplementedError
        future: Future[None] = Future()

        def wake(_: object = None) -> None:
            if not future.done():
                future.set_result(None)

        for task in tasks:
            task.add_callback(wake)
        if timeout is not None:
            self.loop.at(timeout * 1000, wake)
        await future
        return {task for task in tasks if task.done()}, {task for task in tasks if not task.done()}

    async def gather(self, *tasks: Awaitable[Any], return_exceptions: bool) -> list[Any]:
        """asyncio.gather, exceptions among the results."""
        if not return_exceptions:
            raise NotImplementedError
        results: list[Any] = []
        for task in tasks:
            try:
                results.append(await task)
            except (CancelledError, OpsconsoleError) as error:
                results.append(error)
        return results


for _word in (Event, Queue, Future, Task):
    setattr(Aio, _word.__name__, _word)
