"""What a command says when it is told to leave while what it watches goes on."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from opsconsole_console.cli.output import say


class Terminated(KeyboardInterrupt):
    """TERM came: the same as Ctrl-C, but for the exit code."""


@contextlib.contextmanager
def explained(farewell: str, *, of_interrupt: bool = True) -> Iterator[None]:
    """Ctrl-C and TERM end what is within, and then say `farewell` (`of_interrupt`: of Ctrl-C too). For the main thread."""
    was_termed = False

    def terminate(_number: int, _frame: FrameType | None) -> None:
        nonlocal was_termed
        was_termed = True
        signal.raise_signal(signal.SIGINT)  # asyncio knows how to break off on that one

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt:
        if was_termed or of_interrupt:
            say(*[""] * (not was_termed), farewell)
        if was_termed:
            raise Terminated from None
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def goes_on(job_id: str) -> str:
    """Of a job that was watched."""
    return f"{job_id} goes on: `opsconsole logs -f {job_id}` shows its log, `opsconsole cancel {job_id}` ends it"


def go_on(ids: list[str]) -> str:
    """Of jobs that were waited for."""
    words = " ".join(ids)
    verb, them = ("goes", "it") if len(ids) == 1 else ("go", "them")
    return f"{words} {verb} on: `opsconsole wait {words}` waits again, `opsconsole cancel {words}` ends {them}"
