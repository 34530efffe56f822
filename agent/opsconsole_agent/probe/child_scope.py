"""The child processes of one caller, so that all of them can be ended from outside, whoever waits for them."""

import subprocess
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_current: ContextVar["ChildScope | None"] = ContextVar("_current", default=None)


class ChildScope:
    """Children that are started in a call of `run` belong to the scope until `end`, which kills them and all to come."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._children: list[subprocess.Popen[bytes]] = []
        self._has_ended = False

    def run(self, function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Call it, in any thread. Its children are told by `note_child`."""
        token = _current.set(self)
        try:
            return function(*args, **named)
        finally:
            _current.reset(token)

    def end(self) -> None:
        """Kill the children; who waits for one of them finds that it broke."""
        with self._lock:
            self._has_ended = True
            for child in self._children:
                child.kill()

    def add(self, child: subprocess.Popen[bytes]) -> None:
        """It is killed at once if the scope has ended."""
        with self._lock:
            if self._has_ended:
                child.kill()
            self._children.append(child)


def note_child(child: subprocess.Popen[bytes]) -> None:
    """A child was started: it belongs to the scope that it was started in, if to any."""
    scope = _current.get()
    if scope is not None:
        scope.add(child)
