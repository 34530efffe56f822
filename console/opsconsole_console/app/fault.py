"""The console's own mistakes: noted in a file and said in a toast; they end neither it nor the coordinator in it.

A handler, action, timer or worker that raises is one mistake more in the file. Textual would end the app, and with it an
embedded coordinator and everybody who needs that one. The guard stands where messages are handed to widgets and where
Textual reports what was raised: one place, for whatever is built later too.
"""

import os
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from textual.message import Message
from textual.message_pump import MessagePump
from textual.worker import WorkerFailed

FILE_NAME = "console-faults.log"
FILE_BYTES_MAX = 1_000_000
TOLD_AGAIN_S = 60.0
"""The same mistake in the same place is noted and said no more often."""

_PACKAGE = Path(__file__).parents[1] / "__init__.py"
_PAINTING = ("_compositor.py", "_styles_cache.py")
_UPGRADED = "opsconsole was upgraded or removed while this console ran: restart the console"


class Faults:
    """Notes mistakes in `path`, and tells `say` of them."""

    def __init__(
        self, path: Path, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:  # fmt: skip
        self.path = path
        self._say = say
        self._clock = clock
        self._told: dict[str, float] = {}
        self._package = _stamp(_PACKAGE)
        self.count = 0
        """Mistakes so far."""

    def take(self, error: Exception) -> None:
        """Note one. Never raises."""
        if isinstance(error, WorkerFailed) and isinstance(error.error, Exception):
            error = error.error
        self.count += 1
        place, now = _place(error), self._clock()
        if now - self._told.get(place, -TOLD_AGAIN_S) < TOLD_AGAIN_S:
            return
        self._told[place] = now
        where = self._note(error)
        if isinstance(error, ImportError) or _stamp(_PACKAGE) != self._package:
            self._say(_UPGRADED)
        else:
            self._say(f"the console made a mistake ({type(error).__name__}) and goes on; {where}")

    def _note(self, error: Exception) -> str:
        """Where it is noted, or why not."""
        text = "".join(traceback.format_exception(error))
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.path.exists() and self.path.stat().st_size > FILE_BYTES_MAX:
                self.path.replace(self.path.with_suffix(".log.1"))
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "a", encoding="utf-8", errors="replace") as file:
                file.write(f"{stamp} {text}\n")
        except OSError as refused:
            return f"{self.path} can't be written ({refused.strerror})"
        return f"{self.path} says more"


def guard(pump: MessagePump, take: Callable[[Exception], None]) -> None:
    """Let what a widget's handlers raise go to `take`; without it, the widget hears no message any more."""
    dispatch: Callable[[Message], Awaitable[None]] = pump._dispatch_message  # noqa: SLF001 - Textual has no other place

    async def guarded(message: Message) -> None:
        try:
            await dispatch(message)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is noted
            take(error)

    vars(pump)["_dispatch_message"] = guarded


def is_painting(error: BaseException) -> bool:
    """Whether it was raised while a screen was being painted: that screen can't even show a toast."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith(_PAINTING):
            return True
        trace = trace.tb_next
    return False


def _place(error: BaseException) -> str:
    """The kind of error and the line that raised it."""
    frames: list[Any] = traceback.extract_tb(error.__traceback__)
    at = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__} {at}"


def _stamp(path: Path) -> tuple[int, int] | None:
    """What tells one installation of a file from another; None where it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
