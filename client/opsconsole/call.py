"""Calls a function inside a task, and leaves what it returns or raises among the task's results.

    python3 -m opsconsole.call package.module:function [CALL]

CALL is the number of the call, from 0, of those that the job has.
`function.py` makes such jobs and `result.py` reads what they leave. Needs nothing but Python's standard library, from 3.8 on: a
worker puts this file within reach of its tasks. With what the function is called is JSON: in the environment where that is short,
else in a file among the task's inputs. What it returns is JSON as well, or a pickle where JSON has no word for it.
"""

# Plain paths and few imports: this is loaded into every such task.
# ruff: noqa: PTH103, PTH105, PTH107, PTH118, PTH119, PTH123

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pickle
import sys
import traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

CALLS = "OPSCONSOLE_CALLS"
"""The variable with the calls of a job: `[[by position…], {by name…}]` each."""
CALLS_FILE = "opsconsole-calls.json"
"""The file with the calls, where they are too long for a variable."""
RESULT_FILE = "opsconsole-result.json"
PICKLE_FILE = "opsconsole-result.pickle"
RESULT_BYTES_MAX = 16 << 20
TRACEBACK_LINES_MAX = 30
_TRACEBACK_CHARACTERS_MAX = 16_000
_MESSAGE_CHARACTERS_MAX = 2_000
_OUTPUT = "OPSCONSOLE_OUTPUT_PATH"
_USAGE = 2


class Refused(Exception):
    """Why the function isn't called, or what it returns isn't kept: a line for people."""


def main(words: list[str]) -> int:
    """Call the function of this task and return the exit code: 0, or 1 where it raised."""
    try:
        output = _output()
        if len(words) not in {1, 2} or not all(one.isdecimal() for one in words[1:]):
            raise Refused("name one function: python3 -m opsconsole.call package.module:function")  # noqa: TRY301
        arguments, parameters = _call(int(words[1]) if len(words) > 1 else 0)
    except Refused as refused:
        sys.stderr.write(f"opsconsole: {refused}\n")
        return _USAGE
    try:
        value = _function(words[0])(*arguments, **parameters)
        kept = _kept(value, output)
    except (
        SystemExit
    ) as left:  # whoever leaves well has returned nothing; other codes, such as that of a pause, say it all
        if left.code in (None, 0):
            _write(output, RESULT_FILE, _kept(None, output))
        raise
    except Exception as error:  # noqa: BLE001 - whatever a function raises is its result
        traceback.print_exc()
        _write(output, RESULT_FILE, json.dumps({"error": _described(error)}).encode())
        return 1
    _write(output, RESULT_FILE, kept)
    return 0


def _output() -> str:
    """The folder for the result, without one that an attempt before this one has left. Raises Refused."""
    output = os.environ.get(_OUTPUT)
    if not output:
        raise Refused("there is no place for what a function returns: its worker needs an output path")
    os.makedirs(output, exist_ok=True)
    for name in (RESULT_FILE, PICKLE_FILE):
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(output, name))
    return output


def _function(name: str) -> Callable[..., Any]:
    """The function of this name. Raises what its import raises."""
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    if not callable(found):
        raise TypeError(f"{name} is a {type(found).__name__}, which can't be called")
    return found  # type: ignore[no-any-return]


def _call(number: int) -> tuple[list[Any], dict[str, Any]]:
    """With what the function is called. Raises Refused."""
    text = os.environ.get(CALLS)
    if text is None:
        paths = os.environ.get("OPSCONSOLE_INPUTS", "").split("\n")
        path = next((one for one in paths if os.path.basename(one) == CALLS_FILE), None)
        if path is None:
            raise Refused("nothing says with what the function is called: submit it with opsconsole.PythonFunction")
        with open(path, encoding="utf-8") as file:
            text = file.read()
    try:
        arguments, parameters = json.loads(text)[number]
        return list(arguments), dict(parameters)
    except (ValueError, TypeError, IndexError, KeyError):
        raise Refused(f"what says with what the function is called has no call {number}: submit it again") from None


def _kept(value: Any, output: str) -> bytes:
    """The line that says what was returned; a value that JSON has no word for is written beside. Raises Refused, and what pickle raises."""
    try:
        check_json(value)
        data = json.dumps({"value": value, **_attempt()}).encode("utf-8")
    except (TypeError, ValueError, RecursionError):
        kind = type(value)
        try:
            pickled = pickle.dumps(value)
        except Exception as error:
            raise TypeError(
                f"what it returned, a {kind.__name__}, can be kept neither as JSON nor as a pickle: {error}"
            ) from error
        _check_size(len(pickled))
        _write(output, PICKLE_FILE, pickled)
        name = f"{kind.__module__}.{kind.__qualname__}".replace("builtins.", "")
        return json.dumps({"pickle": name, "size": len(pickled), **_attempt()}).encode()
    _check_size(len(data))
    return data


def check_json(value: Any) -> None:
    """Raise TypeError for what wouldn't come back from JSON as it was; a tuple comes back as a list."""
    if isinstance(value, dict):
        for key, one in value.items():
            if type(key) is not str:
                raise TypeError(f"{key!r} is no text, and keys in JSON are")
            check_json(one)
    elif isinstance(value, list) or type(value) is tuple:
        for one in value:
            check_json(one)
    elif value is not None and not isinstance(value, (str, int, float)):
        raise TypeError(f"JSON has no word for a {type(value).__name__}")


def _check_size(size: int) -> None:
    if size > RESULT_BYTES_MAX:
        raise Refused(
            f"what the function returned has {size:,} bytes, at most {RESULT_BYTES_MAX:,} are kept: "
            f"write it to a file in {_OUTPUT} and return its name"
        )


def _described(error: BaseException) -> dict[str, Any]:
    """An error as it is read elsewhere: its type, its text and the last lines of its traceback."""
    kind = type(error)
    if isinstance(error, Refused):
        name, lines = "ResultTooLarge", [str(error)]
    else:
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        lines = "".join(traceback.format_exception(kind, error, error.__traceback__)).splitlines()
    return {
        "type": name,
        "message": str(error)[:_MESSAGE_CHARACTERS_MAX],
        "traceback": "\n".join(lines[-TRACEBACK_LINES_MAX:])[-_TRACEBACK_CHARACTERS_MAX:],
        **_attempt(),
    }


def _attempt() -> dict[str, Any]:
    """Which attempt says this: a later one that ends without a word must not be taken for it."""
    return {"attempt": os.environ.get("OPSCONSOLE_ATTEMPT_ID", "")}


def _write(output: str, name: str, data: bytes) -> None:
    """A file that is there whole or not at all."""
    path = os.path.join(output, name)
    with open(f"{path}.part", "wb") as file:
        file.write(data)
    os.replace(f"{path}.part", path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
