"""What a command says when it is told to leave while what it watches goes on."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from opsconsole_console.cli.output import say

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


_main: list[asyncio.Task[Any]] = []
"""What `run` runs at the moment."""


class Terminated(KeyboardInterrupt):
    """TERM came. It is treated as Ctrl-C is, but for the exit code."""


@contextlib.contextmanager
def explained(farewell: str | Callable[[], str], *, of_interrupt: bool = True) -> Iterator[None]:
    """Let Ctrl-C and TERM end what is within, and say `farewell` then; after Ctrl-C only where `of_interrupt`.

    For the main thread. Raises KeyboardInterrupt, or Terminated after TERM.
    """
    was_termed = False

    def terminate(_number: int, _frame: FrameType | None) -> None:
        nonlocal was_termed
        was_termed = True
        if not _main:
            raise KeyboardInterrupt
        _main[-1].get_loop().call_soon_threadsafe(_main[-1].cancel)

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt:
        if was_termed or of_interrupt:
            say(*[""] * (not was_termed), farewell if isinstance(farewell, str) else farewell())
        if was_termed:
            raise Terminated from None
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def run(work: Coroutine[Any, Any, T]) -> T:
    """What `asyncio.run` does; TERM breaks `work` off within `explained`, with Ctrl-C ignored (a script's `&`) or not.

    Raises KeyboardInterrupt.
    """
    import asyncio

    async def main() -> T:
        task = asyncio.create_task(work)
        _main.append(task)
        try:
            return await task
        finally:
            _main.remove(task)

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def goes_on(job_id: str) -> str:
    """What to say when a job is no longer watched."""
    return f"{job_id} goes on: `opsconsole logs -f {job_id}` shows its log, `opsconsole cancel {job_id}` ends it"


def go_on(ids: list[str]) -> str:
    """What to say when jobs are no longer waited for."""
    words = " ".join(ids)
    verb, them = ("goes", "it") if len(ids) == 1 else ("go", "them")
    return f"{words} {verb} on: `opsconsole wait {words}` waits again, `opsconsole cancel {words}` ends {them}"
