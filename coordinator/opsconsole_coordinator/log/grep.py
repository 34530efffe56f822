"""Regular expressions from outside, kept from holding up the coordinator.

Python's `re` can take for ever over one line, and nothing can stop it: it even keeps the interpreter's lock. So a
pattern without repeats and groups, which can't do that, is searched for here; any other in a child process, which is
killed when it takes too long.
"""

import json
import os
import re
import select
import struct
import subprocess
import sys
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from opsconsole_coordinator.log.scan import LogQueryError
from opsconsole_protocol.log import GREP_CHARACTERS_MAX

_RISKY = frozenset("*+?{(")
_INTRICATE = frozenset("\\{}[]|()")
_PLAIN_RUN = re.compile(r"([^.^$*+?]+)([*?]?)")
_CHILD = Path(__file__).with_name("grep_child.py")
_LENGTH = struct.Struct(">I")
_COMPILING = threading.Lock()


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The compiled pattern; LogQueryError in one line when it is none."""
    if len(pattern) > GREP_CHARACTERS_MAX:
        raise LogQueryError(f"grep: a pattern has at most {GREP_CHARACTERS_MAX} characters, this one {len(pattern)}")
    try:
        with _COMPILING, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(pattern)
    except re.error as error:
        where = "" if error.pos is None else f" at character {error.pos + 1}"
        raise LogQueryError(f"grep: {error.msg}{where} of {pattern!r}: write a regular expression") from None
    except (OverflowError, RecursionError, MemoryError):
        raise LogQueryError("grep: this pattern is too large: write a simpler one") from None


class Matcher:
    """Searches lines for one pattern."""

    def __init__(self, pattern: str, timeout_s: float = 3.0) -> None:
        self._compiled = compile_pattern(pattern)
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._in_child = not _RISKY.isdisjoint(pattern)

    @property
    def needle(self) -> bytes:
        """Bytes that every line with a match holds; empty when they can't be told."""
        pattern = self._compiled.pattern
        if not (pattern.isascii() and _INTRICATE.isdisjoint(pattern)):
            return b""
        # What a star or a question mark stands behind may be missing.
        runs = (run[1][:-1] if run[2] else run[1] for run in _PLAIN_RUN.finditer(pattern))
        return max(runs, key=len, default="").encode()

    def matches(self, lines: Sequence[str]) -> list[bool]:
        """For each line whether the pattern is found in it; LogQueryError when that takes too long."""
        if not self._in_child:
            search = self._compiled.search
            return [search(line) is not None for line in lines]
        with self._lock:
            return self._ask(lines)

    def close(self) -> None:
        """End the child, if there is one."""
        with self._lock:
            self._end()

    def _ask(self, lines: Sequence[str]) -> list[bool]:
        try:
            child = self._child or self._start()
            self._send(child, list(lines))
            answer = self._answer(child, len(lines))
        except OSError as error:
            self._end()
            raise LogQueryError(f"grep: the search could not be run ({error.strerror or error}): try again") from None
        if answer is None:
            self._end()
            raise LogQueryError("grep: this pattern takes too long on this log: write a simpler one")
        return [code == ord("1") for code in answer]

    def _start(self) -> subprocess.Popen[bytes]:
        # The pattern goes through the pipe: arguments show in `ps`.
        self._child = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._send(self._child, self._compiled.pattern)
        return self._child

    def _send(self, child: subprocess.Popen[bytes], message: object) -> None:
        if child.stdin is None:
            raise OSError("no pipe to the searching process")
        data = json.dumps(message).encode()
        child.stdin.write(_LENGTH.pack(len(data)) + data)
        child.stdin.flush()

    def _answer(self, child: subprocess.Popen[bytes], size: int) -> bytes | None:
        if child.stdout is None:
            raise OSError("no pipe from the searching process")
        descriptor = child.stdout.fileno()
        poller = select.poll()  # select() knows no descriptors beyond 1,023.
        poller.register(descriptor, select.POLLIN)
        deadline = time.monotonic() + self._timeout_s
        answer = b""
        while len(answer) < size:
            if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
                return None
            piece = os.read(descriptor, size - len(answer))
            if not piece:
                raise OSError("the searching process ended")
            answer += piece
        return answer

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            try:
                child.communicate()
            except OSError:
                child.wait()


class MatcherPool:
    """Matchers by pattern, the least recently used ended first: a follower asks for the same one over and over."""

    def __init__(self, size: int = 4) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._matchers: OrderedDict[str, Matcher] = OrderedDict()

    def get(self, pattern: str) -> Matcher:
        """The matcher for a pattern; LogQueryError when it is none."""
        with self._lock:
            matcher = self._matchers.pop(pattern, None) or Matcher(pattern)
            self._matchers[pattern] = matcher
            ended = [self._matchers.popitem(last=False)[1] for _ in range(len(self._matchers) - self._size)]
        for one in ended:
            one.close()
        return matcher

    def close(self) -> None:
        """End all children."""
        with self._lock:
            matchers = list(self._matchers.values())
            self._matchers.clear()
        for matcher in matchers:
            matcher.close()
