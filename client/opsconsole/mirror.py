"""A coroutine's plain twin: what a class of asynchronous methods has, as methods that block.

    class SyncClient:
        submit = Plain(Client.submit)

The twin takes the same arguments and returns what the coroutine returns, for who reads the types too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager, suppress
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

from opsconsole_protocol.error import Unavailable

P = ParamSpec("P")
T = TypeVar("T")
_END = object()


class Runner(Protocol):
    """What runs the coroutines of `client`."""

    client: Any

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns. Raises what it raises."""
        ...


class Plain(Generic[P, T]):
    """The twin of a coroutine method."""

    def __init__(self, method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]) -> None:
        self.method = method
        self.__doc__ = method.__doc__

    def __get__(self, runner: Runner, owner: type) -> Callable[P, T]:
        @wraps(self.method)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return runner.run(self.method(runner.client, *args, **kwargs))

        return call


class PlainIterator(Generic[P, T]):
    """The twin of a method that is an asynchronous generator: an iterator. Whoever leaves it early ends the generator."""

    def __init__(self, method: Callable[Concatenate[Any, P], AsyncIterator[T]]) -> None:
        self.method = method
        self.__doc__ = method.__doc__

    def __get__(self, runner: Runner, owner: type) -> Callable[P, Iterator[T]]:
        @wraps(self.method)
        def call(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            return _iterated(runner, self.method(runner.client, *args, **kwargs))

        return call


class PlainContext(Generic[P, T]):
    """The twin of a method that is an asynchronous context manager."""

    def __init__(self, method: Callable[Concatenate[Any, P], AbstractAsyncContextManager[T]]) -> None:
        self.method = method
        self.__doc__ = method.__doc__

    def __get__(self, runner: Runner, owner: type) -> Callable[P, AbstractContextManager[T]]:
        @contextmanager
        @wraps(self.method)
        def call(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            entered = self.method(runner.client, *args, **kwargs)
            value = runner.run(entered.__aenter__())
            try:
                yield value
            except BaseException as error:
                if not runner.run(entered.__aexit__(type(error), error, error.__traceback__)):
                    raise
            else:
                runner.run(entered.__aexit__(None, None, None))

        return call


def _iterated(runner: Runner, items: AsyncIterator[T]) -> Iterator[T]:
    async def step() -> Any:
        return await anext(items, _END)

    async def end() -> None:
        if hasattr(items, "aclose"):
            await items.aclose()

    try:
        while (item := runner.run(step())) is not _END:
            yield item
    finally:
        with suppress(Unavailable):  # the runner may be closed by now
            runner.run(end())
