"""Calls that can be given up on: into a driver that hangs, or on a mount that does."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Patience(Generic[T]):
    """Runs one function in a daemon thread and waits for it only so long.

    A call that was given up on stays under way, and no second one is started beside it: as long as it hasn't come back,
    further calls fail at once, and what it brings back in the end is dropped as stale. So a thing that hangs costs one
    thread and one time-out, however often it is asked. For one caller at a time.
    """

    def __init__(self, function: Callable[[], T], timeout_s: float) -> None:
        self._function = function
        self._timeout_s = timeout_s
        self._given_up: _Call[T] | None = None

    def call(self) -> T:
        """Return what the function returns or raise what it raises; TimeoutError if it takes longer than allowed."""
        if self._given_up is not None and not self._given_up.done.is_set():
            raise TimeoutError(f"still no answer after {self._timeout_s:g} s")
        self._given_up = None
        call = _Call(self._function)
        if not call.done.wait(self._timeout_s):
            self._given_up = call
            raise TimeoutError(f"no answer within {self._timeout_s:g} s")
        return call.result()


class _Call(Generic[T]):
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
