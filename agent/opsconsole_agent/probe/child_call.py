"""Calls that run in a child process, so that the caller can stop waiting even where a system call hangs for good."""

import contextlib
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, cast

from opsconsole_agent.probe.child_scope import note_child

_RESULT_BYTES_MAX = 1 << 20

_hanging: dict[str, subprocess.Popen[bytes]] = {}
"""Children that hang, by what they hang on. They were sent SIGKILL, and are reaped by a later call once they end."""

_lock = threading.Lock()


class ChildCall:
    """One call in a child of its own: the constructor starts it, `result` waits for it."""

    def __init__(self, program: Path, request: Sequence[object], hangs_on: str, *, with_packages: bool = False) -> None:
        """Start `python -I -S PROGRAM` with `request` as JSON on its stdin; without -S where it needs installed packages.

        `hangs_on` names what the child may hang on. While an earlier child still hangs on it, none is started, so a mount
        that hangs for a day doesn't fill the process table.
        """
        self._hangs_on = hangs_on
        self._child = None if _still_hangs(hangs_on) else _start_child(program, request, with_packages=with_packages)

    def result(self, deadline: float) -> Any:
        """Return what the JSON says that the child printed.

        Raises TimeoutError if there is none by `deadline` (monotonic seconds), OSError if the child failed.
        """
        if self._child is None:
            raise TimeoutError("an earlier attempt still hangs")
        with contextlib.closing(_Pipes(self._child)) as pipes:
            text = pipes.read(deadline)
        if text is None:
            _give_up(self._child, self._hangs_on)
            raise TimeoutError("no answer in time")
        if not _has_ended(self._child):
            _give_up(self._child, self._hangs_on)
        try:
            return json.loads(text)
        except ValueError as error:
            raise OSError(f"the check itself failed with exit code {self._child.returncode}") from error


class _Pipes:
    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._stdin, self._stdout = cast("IO[bytes]", child.stdin), cast("IO[bytes]", child.stdout)

    def read(self, deadline: float) -> bytes | None:
        """Return all of stdout, or None if its end hasn't come by `deadline`, or if it is too long."""
        text = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            while len(text) < _RESULT_BYTES_MAX:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    return None
                chunk = os.read(self._stdout.fileno(), 65536)
                if not chunk:
                    return text
                text += chunk
        return None

    def close(self) -> None:
        self._stdin.close()
        self._stdout.close()


def _start_child(program: Path, request: Sequence[object], *, with_packages: bool) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        [sys.executable, "-I", *(() if with_packages else ("-S",)), str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,  # a Ctrl-C in the terminal is for the agent
        bufsize=0,
    )
    note_child(child)
    stdin = cast("IO[bytes]", child.stdin)
    with contextlib.suppress(BrokenPipeError):  # it ended at once, and has no result
        stdin.write(json.dumps(request).encode())  # far less than a pipe holds, so this can't block
    stdin.close()
    return child


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    try:
        child.wait(1.0)
    except subprocess.TimeoutExpired:
        return False
    return True


def _give_up(child: subprocess.Popen[bytes], hangs_on: str) -> None:
    child.kill()
    with _lock:
        other = _hanging.get(hangs_on)
        key = hangs_on if other is None else f"{hangs_on}\0{child.pid}"
        _hanging[key] = child


def _still_hangs(hangs_on: str) -> bool:
    """Reap the children that have ended and return whether one is left that hangs on this."""
    with _lock:
        for key in [key for key, child in _hanging.items() if child.poll() is not None]:
            del _hanging[key]
        return any(key.split("\0")[0] == hangs_on for key in _hanging)
