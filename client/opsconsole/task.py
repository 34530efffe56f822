"""Reporting from inside a task: needs nothing but Python's standard library.

    import opsconsole

    opsconsole.report(step=120, loss=0.31)
    opsconsole.progress(120, 4000)
    opsconsole.checkpoint("out/step-120", step=120)
    opsconsole.note("learning rate halved")
    if opsconsole.should_pause():
        sys.exit(opsconsole.PAUSED_EXIT_CODE)

Everything ends as a line in the file that OPSCONSOLE_REPORT names, which the worker's agent ships like a log: no call waits for a
network, and what was written survives the end of the process. Outside of a task, where that is not set, nothing is done.

No call raises: a training doesn't die of its report. What can't be told is left out, and that is said on stderr, once for each.

A worker puts this file within reach of its tasks as the package `opsconsole`, with `callback.py` in it. Where a package of that name
is installed, that one is loaded in its place.
"""

# Plain paths and few imports: this is loaded into every training, from Python 3.8 on.
# ruff: noqa: PTH100, PTH110, PTH120

from __future__ import annotations

import functools
import json
import os
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeVar

    CallT = TypeVar("CallT", bound=Callable[..., None])

_PATH = "OPSCONSOLE_REPORT"
_LINE_BYTES_MAX = 64 * 1024
_WHOLE_MAX = 1 << 53
_COMPLAINTS_MAX = 20
_SHOWN_CHARACTERS = 80

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
        self._complained: set[str] = set()

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
            self.complain("", f"nothing can be reported: {error.strerror}")

    def _open(self, path: str) -> None:
        if self._descriptor >= 0 and self._pid == os.getpid():
            os.close(self._descriptor)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
        self._descriptor = os.open(path, flags, 0o600)
        self._pid, self._path = os.getpid(), path

    def complain(self, about: str, text: str) -> None:
        """Once about each thing: neither a full disk nor a value that is no number must end a training."""
        if about not in self._complained and len(self._complained) < _COMPLAINTS_MAX:
            self._complained.add(about)
            sys.stderr.write(f"opsconsole: {text}\n")


_writer = _Writer()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_writer.begin_anew)


def _harmless(call: CallT) -> CallT:
    """The call, which complains where it would raise."""

    @functools.wraps(call)
    def called(*words: Any, **named: Any) -> None:
        if not os.environ.get(_PATH):
            return
        try:
            call(*words, **named)
        except Exception as error:  # noqa: BLE001 - whatever it is, the training goes on
            _writer.complain(call.__name__, f"{call.__name__}() is left out: {_shown(error)}")

    return called  # type: ignore[return-value]


@_harmless
def report(metrics: Mapping[str, Any] | None = None, step: float | None = None, **values: Any) -> None:
    """Report the values of metrics at a step: `report(step=3, loss=0.5)`, or `report({"eval/loss": 0.5}, step=3)`.

    Values are numbers, or what `float()` takes (a tensor with one element); any that is none is left out.
    """
    given = dict(metrics) if metrics is not None else {}
    given.update(values)
    line: dict[str, Any] = {"at_ms": _now_ms()}
    if step is not None:
        line["step"] = _number(step)
    line["metrics"] = {str(name): number for name, value in given.items() for number in _numbers(name, value)}
    if line["metrics"]:
        _writer.write(_encode(line))


@_harmless
def progress(done: float, total: float) -> None:
    """Say how far the task is: `done` of `total`."""
    _writer.write(_encode({"at_ms": _now_ms(), "progress": {"done": _number(done), "total": _number(total)}}))


@_harmless
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


@_harmless
def note(text: str) -> None:
    """Say something that is shown among the job's events."""
    _writer.write(_encode({"at_ms": _now_ms(), "note": str(text)[:2000]}))


def _numbers(name: Any, value: Any) -> list[float | str]:
    """The value of a metric, or nothing where it is no number."""
    try:
        return [_number(value)]
    except Exception as error:  # noqa: BLE001 - a tensor raises what it likes
        _writer.complain(
            f"value {name}", f"{str(name)[:_SHOWN_CHARACTERS]} is left out of what is reported: {_shown(error)}"
        )
        return []


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).splitlines())[:_SHOWN_CHARACTERS]}"


def _number(value: Any) -> float | str:
    """A number as JSON may hold it."""
    number = value if type(value) in (int, float) else float(value)
    if number != number or number in (float("inf"), float("-inf")):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[repr(float(number))]
    return number if abs(number) <= _WHOLE_MAX or type(number) is float else float(number)


_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


_CALLBACKS = ("KerasCallback", "LightningCallback", "TrainerCallback")


def __getattr__(name: str) -> Any:
    """The callbacks, which most trainings don't need, are loaded on first use (PEP 562)."""
    if name not in _CALLBACKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module("opsconsole.callback"), name)


def _give_way() -> None:
    """Load the installed package of the same name in place of this one, if there is one."""
    import importlib.machinery
    import importlib.util

    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
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
