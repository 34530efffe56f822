"""Reporting from inside a task: a file of its own that needs nothing but Python's standard library.

    import opsconsole

    opsconsole.report(step=120, loss=0.31)
    opsconsole.progress(120, 4000)
    opsconsole.checkpoint("out/step-120", step=120)
    opsconsole.note("learning rate halved")
    if opsconsole.should_pause():
        sys.exit(opsconsole.PAUSED_EXIT_CODE)

Everything ends as a line in the file that OPSCONSOLE_REPORT names, which the worker's agent ships like a log: no call waits for a
network, and what was written survives the end of the process. Outside of a task, where that is not set, nothing is done.

A worker puts this file within reach of its tasks as the module `opsconsole`. Where the package of that name is installed, that one
is loaded in its place.
"""

# Plain paths and few imports: this is loaded into every training, from Python 3.8 on.
# ruff: noqa: PTH100, PTH110, PTH120

from __future__ import annotations

import json
import os
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_PATH = "OPSCONSOLE_REPORT"
_LINE_BYTES_MAX = 64 * 1024
_WHOLE_MAX = 1 << 53

_PAUSE = "OPSCONSOLE_PAUSE_FILE"
_RESUME = "OPSCONSOLE_RESUME_FROM"
PAUSED_EXIT_CODE = 85
"""How a task ends that has saved a checkpoint because `should_pause()` was true."""

__all__ = ["PAUSED_EXIT_CODE", "checkpoint", "note", "progress", "report", "resume_from", "should_pause"]


class _Writer:
    """Appends lines to the report file, each in one write: also threads and child processes may."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Also in a child process: a thread of its parent may have held the lock when it was forked."""
        self._lock = threading.Lock()
        self._pid = 0
        self._descriptor = -1
        self._path = ""
        self._has_complained = False

    def write(self, line: str) -> None:
        """Append one line, where there is a file for it. Raises ValueError for one that is too long."""
        path = os.environ.get(_PATH)
        if not path:
            return
        data = line.encode("utf-8", "replace") + b"\n"
        if len(data) > _LINE_BYTES_MAX:
            raise ValueError(f"a report of {len(data)} bytes is too long: at most {_LINE_BYTES_MAX} are taken")
        try:
            with self._lock:
                if self._pid != os.getpid() or self._path != path:
                    self._open(path)
                os.write(self._descriptor, data)
        except OSError as error:
            self._complain(error)

    def _open(self, path: str) -> None:
        if self._descriptor >= 0 and self._pid == os.getpid():
            os.close(self._descriptor)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
        self._descriptor = os.open(path, flags, 0o600)
        self._pid, self._path = os.getpid(), path

    def _complain(self, error: OSError) -> None:
        """Once: a full disk must not end a training."""
        if not self._has_complained:
            self._has_complained = True
            sys.stderr.write(f"opsconsole: nothing can be reported: {error.strerror}\n")


_writer = _Writer()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_writer.begin_anew)


def report(metrics: Mapping[str, Any] | None = None, step: float | None = None, **values: Any) -> None:
    """Report the values of metrics at a step: `report(step=3, loss=0.5)`, or `report({"eval/loss": 0.5}, step=3)`.

    Values are numbers, or what `float()` takes (a tensor with one element); any that is none raises TypeError or ValueError.
    """
    given = dict(metrics) if metrics is not None else {}
    given.update(values)
    if not given or not os.environ.get(_PATH):
        return
    line: dict[str, Any] = {"at_ms": _now_ms()}
    if step is not None:
        line["step"] = _number(step)
    line["metrics"] = {str(name): _number(value) for name, value in given.items()}
    _writer.write(_encode(line))


def progress(done: float, total: float) -> None:
    """Say how far the task is: `done` of `total`."""
    _writer.write(_encode({"at_ms": _now_ms(), "progress": {"done": _number(done), "total": _number(total)}}))


def checkpoint(path: str | os.PathLike[str], step: float | None = None) -> None:
    """Say that the task can go on from what lies at `path`, a file or folder that is whole now and isn't changed any more."""
    said: dict[str, Any] = {"path": os.path.abspath(os.fspath(path))}
    if step is not None:
        said["step"] = _number(step)
    _writer.write(_encode({"at_ms": _now_ms(), "checkpoint": said}))


def should_pause() -> bool:
    """Whether somebody wants the task to pause: save, call `checkpoint`, and end with PAUSED_EXIT_CODE. Cheap enough for every step."""
    path = os.environ.get(_PAUSE)
    return path is not None and os.path.exists(path)


def resume_from() -> str | None:
    """The file or folder of the checkpoint from which this attempt goes on; None: from the beginning."""
    return os.environ.get(_RESUME) or None


def note(text: str) -> None:
    """Say something that is shown among the job's events."""
    _writer.write(_encode({"at_ms": _now_ms(), "note": str(text)[:2000]}))


def _number(value: Any) -> float | str:
    """A number as JSON may hold it."""
    number = value if type(value) in (int, float) else float(value)
    if number != number or number in (float("inf"), float("-inf")):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[repr(float(number))]
    return number if abs(number) <= _WHOLE_MAX or type(number) is float else float(number)


_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _give_way() -> None:
    """Load the installed package of the same name in place of this file, if there is one."""
    import importlib.machinery
    import importlib.util

    here = os.path.dirname(os.path.abspath(__file__))
    path = [one for one in sys.path if os.path.abspath(one or os.curdir) != here]
    spec = importlib.machinery.PathFinder.find_spec(__name__, path)
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules[__name__] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules[__name__] = sys.modules.get(__name__, module)
        raise
    for name in __all__:
        if not hasattr(module, name):  # an older one
            setattr(module, name, globals()[name])


if __name__ == "opsconsole":
    _give_way()
