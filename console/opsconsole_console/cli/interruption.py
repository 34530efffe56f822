"""What a command says when it is told to leave while what it watches goes on."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

from opsconsole_console.cli.output import say


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
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a script's `&` makes it so, and TERM would do nothing
            signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.raise_signal(signal.SIGINT)  # asyncio knows how to break off on that one

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


def goes_on(job_id: str) -> str:
    """What to say when a job is no longer watched."""
    return f"{job_id} goes on: `opsconsole logs -f {job_id}` shows its log, `opsconsole cancel {job_id}` ends it"


def go_on(ids: list[str]) -> str:
    """What to say when jobs are no longer waited for."""
    words = " ".join(ids)
    verb, them = ("goes", "it") if len(ids) == 1 else ("go", "them")
    return f"{words} {verb} on: `opsconsole wait {words}` waits again, `opsconsole cancel {words}` ends {them}"
