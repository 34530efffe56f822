"""The console's own mistakes, each noted in a file and told to the operator once."""

import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILE_NAME = "console-faults.log"
FILE_BYTES_MAX = 1_000_000
REPORT_AGAIN_S = 60.0
"""For how long after a mistake another one in that line of code is only counted."""

_PACKAGE = Path(__file__).parents[1] / "__init__.py"
_UPGRADED = "opsconsole was upgraded or removed while this console ran: restart the console"


class FaultLog:
    """Notes mistakes in the file `path`, and says so through `say`."""

    def __init__(
        self, path: Path, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:  # fmt: skip
        self.path = path
        self._say = say
        self._clock = clock
        self._reported_s: dict[str, float] = {}
        self._package = _stamp(_PACKAGE)
        self.count = 0
        """Mistakes so far."""

    def note(self, error: Exception) -> None:
        """Note one. Never raises."""
        self.count += 1
        place, now = _raised_at(error), self._clock()
        if now - self._reported_s.get(place, -REPORT_AGAIN_S) < REPORT_AGAIN_S:
            return
        self._reported_s[place] = now
        where = self._write(error)
        if isinstance(error, ImportError) or _stamp(_PACKAGE) != self._package:
            self._say(_UPGRADED)
        else:
            self._say(f"the console made a mistake ({type(error).__name__}) and goes on; {where}")

    def _write(self, error: Exception) -> str:
        """Write it into the file. Says where it can be read, or why not."""
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


def _raised_at(error: BaseException) -> str:
    """The kind of error and the line that raised it."""
    frames: list[Any] = traceback.extract_tb(error.__traceback__)
    at = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__} {at}"


def _stamp(path: Path) -> tuple[int, int] | None:
    """Inode and time of a file, which an upgrade changes, or None where the file is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
