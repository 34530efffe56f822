"""Questions to a child process that can be given up on, whatever state it is in."""

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

_ANSWER_BYTES_MAX = 1 << 20

_given_up: dict[str, subprocess.Popen[bytes]] = {}
"""Children that hang, by what they hang on: killed, not waited for, and collected whenever they come to die."""

_lock = threading.Lock()


class Errand:
    """One question to one child. Start it, then wait for the answer; never blocks longer than that."""

    def __init__(self, program: Path, question: Sequence[object], hangs_on: str) -> None:
        """Start `python -I -S PROGRAM` with `question` as JSON on its stdin.

        While an earlier child that hung on the same thing is still there, none is started, and there is no answer: a
        mount that hangs for a day doesn't fill the process table.
        """
        self._hangs_on = hangs_on
        self._child = None if _still_hangs(hangs_on) else _start(program, question)

    def answer(self, deadline: float) -> Any:
        """The child's JSON; TimeoutError if there is none by `deadline` (monotonic seconds), OSError if it broke."""
        if self._child is None:
            raise TimeoutError("an earlier attempt still hangs")
        with contextlib.closing(_Pipes(self._child)) as pipes:
            text = pipes.read(deadline)
        if text is None:
            _give_up(self._child, self._hangs_on)
            raise TimeoutError("no answer in time")
        if not _ended(self._child):
            _give_up(self._child, self._hangs_on)
        try:
            return json.loads(text)
        except ValueError as error:
            raise OSError(f"the check itself failed with exit code {self._child.returncode}") from error


class _Pipes:
    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._stdin, self._stdout = cast("IO[bytes]", child.stdin), cast("IO[bytes]", child.stdout)

    def read(self, deadline: float) -> bytes | None:
        """All of stdout; None if its end hasn't come by `deadline`."""
        text = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            while len(text) < _ANSWER_BYTES_MAX:
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


def _start(program: Path, question: Sequence[object]) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,  # a Ctrl-C in the terminal is for the agent
        bufsize=0,
    )
    note_child(child)
    stdin = cast("IO[bytes]", child.stdin)
    with contextlib.suppress(BrokenPipeError):  # it died at once: its missing answer tells
        stdin.write(json.dumps(question).encode())  # far less than a pipe holds, so this can't block
    stdin.close()
    return child


def _ended(child: subprocess.Popen[bytes]) -> bool:
    try:
        child.wait(1.0)
    except subprocess.TimeoutExpired:
        return False
    return True


def _give_up(child: subprocess.Popen[bytes], hangs_on: str) -> None:
    child.kill()
    with _lock:
        other = _given_up.get(hangs_on)
        key = hangs_on if other is None else f"{hangs_on}\0{child.pid}"
        _given_up[key] = child


def _still_hangs(hangs_on: str) -> bool:
    """Collect the children that have died; tell whether one that hung on this is left."""
    with _lock:
        for key in [key for key, child in _given_up.items() if child.poll() is not None]:
            del _given_up[key]
        return any(key.split("\0")[0] == hangs_on for key in _given_up)
