"""Where another process can open our own stdin, so that what `opsconsole run` runs reads what the shell gave to us."""

import contextlib
import os
import sys
import threading
from pathlib import Path

_CHUNK = 65_536


def stdin_path() -> str:
    """A path under which another process opens what we read: the pipe or the terminal itself where possible.

    Whatever can't be opened anew as it stands (a file that is partly read, a named pipe, a socket) is copied into a pipe.
    """
    try:
        number = sys.stdin.fileno()
        kind = str(Path(f"/proc/self/fd/{number}").readlink())
    except (AttributeError, OSError, ValueError):
        return os.devnull  # closed
    if not (kind.startswith("pipe:") or kind == os.devnull or os.isatty(number)):
        number = _copied(number)
    return f"/proc/{os.getpid()}/fd/{number}"


def _copied(source: int) -> int:
    """The end of a pipe to read from; a thread fills it for as long as there is something."""
    reader, writer = os.pipe()
    threading.Thread(target=_pump, args=(source, writer), name="stdin", daemon=True).start()
    return reader


def _pump(source: int, writer: int) -> None:
    with contextlib.suppress(OSError), os.fdopen(writer, "wb", buffering=0) as pipe:
        while data := os.read(source, _CHUNK):
            while data:
                data = data[pipe.write(data) or 0 :]
