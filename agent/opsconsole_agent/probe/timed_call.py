"""Calls that may hang, such as into a driver or on a network mount: the caller waits no longer than a time-out."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class TimedCall(Generic[T]):
    """Runs a function in a daemon thread and waits for it for `timeout_s` at most.

    After a time-out the thread goes on, and no second one is started beside it: until it has come back, further calls fail
    at once, and its result is dropped as stale. So a thing that hangs costs one thread and one time-out, however often it
    is called. For one caller at a time.
    """

    def __init__(self, function: Callable[[], T], timeout_s: float) -> None:
        self._function = function
        self._timeout_s = timeout_s
        self._late: _Thread[T] | None = None

    def call(self) -> T:
        """Return what the function returns, or raise what it raises. Raises TimeoutError."""
        if self._late is not None and not self._late.done.is_set():
            raise TimeoutError(f"still no answer after {self._timeout_s:g} s")
        self._late = None
        thread = _Thread(self._function)
        if not thread.done.wait(self._timeout_s):
            self._late = thread
            raise TimeoutError(f"no answer within {self._timeout_s:g} s")
        return thread.result()


class _Thread(Generic[T]):
    def __init__(self, function: Callable[[], T]) -> None:
        self.done = threading.Event()
        self._function = function
        self._results: list[T] = []
        self._failure: Exception | None = None
        threading.Thread(target=self._run, daemon=True, name="opsconsole-probe").start()

    def _run(self) -> None:
        try:
            self._results.append(self._function())
        except Exception as failure:  # noqa: BLE001 – raised where the result is asked for
            self._failure = failure
        finally:
            self.done.set()

    def result(self) -> T:
        if self._failure is not None:
            raise self._failure
        return self._results[0]
