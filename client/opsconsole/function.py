"""A Python function as a job: which function, with what it is called, and the job that comes of it. Pure."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from msgspec.structs import replace

from opsconsole.call import CALLS, RESULT_FILE, check_json
from opsconsole_protocol.bound import NAME_CHARACTERS_MAX, TREE_BYTES_MAX, check_tree, cut, is_plain_number
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.quantity import size_words
from opsconsole_protocol.spec import NUM_TASKS_MAX, JobSpec

CALLS_BYTES_MAX = 64 << 20
"""Of all calls of one job."""
CALLS_IN_ENVIRONMENT_MAX = 16 << 10
"""Longer ones go in a file."""
COLLECT = f"{RESULT_FILE.partition('.')[0]}.*"
"""What the coordinator keeps of such a job, so that its results outlive the worker."""
PYTHON = JobSpec(command=("python3",))
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_SHOWN = 60


class Call(NamedTuple):
    """With what a function is called: arguments by position, and by name."""

    arguments: Sequence[Any] = ()
    parameters: Mapping[str, Any] = {}


class PythonFunction:
    """A function that a job calls, `package.module:function` or the function itself, and with what.

    `parameters`: its arguments by name; a list of them, or of Calls, is a job with a task for each. They go as JSON: tuples arrive
    as lists, and what JSON has no word for is refused. `job`: how it runs; its `command` is the Python that calls the function,
    where the module has to be importable: installed there, or part of the job's bundle. Raises InvalidRequest.
    """

    def __init__(
        self,
        function: str | Callable[..., Any],
        parameters: Mapping[str, Any] | Iterable[Mapping[str, Any] | Call] = MappingProxyType({}),
        *,
        job: JobSpec = PYTHON,
    ) -> None:
        many = (parameters,) if isinstance(parameters, Mapping) or not isinstance(parameters, Iterable) else parameters
        calls = tuple(_call(one) for one in many)
        if not calls:
            raise InvalidRequest("the function isn't called with anything: give a value for each task")
        if len(calls) > NUM_TASKS_MAX:
            raise InvalidRequest(
                f"{len(calls):,} calls are too many for one job, the limit is {NUM_TASKS_MAX:,}: split them"
            )
        if job.num_tasks != 1 or job.task_commands or job.template is not None:
            raise InvalidRequest(
                "a function's job has a task for each call: leave num_tasks, task_commands and template out"
            )
        self.function = function_name(function)
        self.calls_json = _json(self.function, calls)
        self.job = job
        self.num_tasks = len(calls)
        self._shown = _shown(calls)

    @property
    def needs_file(self) -> bool:
        """Whether the calls are too long for the environment, so that the job has to bring a file with them along."""
        return len(self.calls_json) > CALLS_IN_ENVIRONMENT_MAX

    def spec(self) -> JobSpec:
        """The job. Where `needs_file`, it also has to bring `calls_json` along, under the name CALLS_FILE."""
        job = self.job
        environment = job.environment if self.needs_file else {**job.environment, CALLS: self.calls_json}
        command = (*job.command, "-m", "opsconsole.call", self.function)
        numbers = range(self.num_tasks if self.num_tasks > 1 else 0)
        return replace(
            job,
            command=command,
            task_commands=tuple((*command, str(number)) for number in numbers),
            name=job.name or cut(self.function, NAME_CHARACTERS_MAX),
            num_tasks=self.num_tasks,
            parameters=self._shown,
            environment=environment,
            collect=job.collect if COLLECT in job.collect else (*job.collect, COLLECT),
        )


def function_name(function: str | Callable[..., Any]) -> str:
    """The name by which a task can import a function. Raises InvalidRequest for one that none can import."""
    if isinstance(function, str):
        if not _NAME.fullmatch(function):
            raise InvalidRequest(f"{function[:_SHOWN]!r} names no function: write package.module:function")
        return function
    module, path = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    shown = repr(path or function)[:_SHOWN]
    if not isinstance(module, str) or not isinstance(path, str):
        raise InvalidRequest(f"{shown} has no name by which a task could import it: write a function in a module")
    if "<lambda>" in path:
        raise InvalidRequest("a lambda has no name by which a task could import it: write a function in a module")
    if "<locals>" in path:
        raise InvalidRequest(
            f"{shown} is made inside a function, where no task finds it: move it to the top of its module"
        )
    if module == "__main__":
        raise InvalidRequest(
            f"{shown} belongs to the script that runs, which no task can import: move it to a module beside it, and import it"
        )
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    if found is not function and found != function:
        raise InvalidRequest(
            f"{module}:{path} is not the function that was given: give one that can be imported by its name"
        )
    return function_name(f"{module}:{path}")


def _call(given: object) -> Call:
    if isinstance(given, Call):
        return given
    if isinstance(given, Mapping):
        return Call((), given)
    kind = type(given).__name__
    raise InvalidRequest(f"a {kind} is no argument by its name: give a mapping of names to values, or a list of such")


def _json(function: str, calls: Sequence[Call]) -> str:
    for index, call in enumerate(calls):
        named = [*((f"argument {place}", one) for place, one in enumerate(call.arguments)), *call.parameters.items()]
        for name, value in named:
            try:
                if not isinstance(name, str):
                    raise TypeError(f"{name!r} is no text, and names of arguments are")  # noqa: TRY301
                check_json(value)
            except (TypeError, RecursionError) as error:
                where = f" of call {index}" if len(calls) > 1 else ""
                why = "it is nested too deep" if isinstance(error, RecursionError) else error
                raise InvalidRequest(
                    f"{function}: {str(name)[:_SHOWN]}{where} can't be sent ({why}): give plain values, or bring a file along"
                ) from None
    text = json.dumps([[list(call.arguments), dict(call.parameters)] for call in calls], separators=(",", ":"))
    if len(text) > CALLS_BYTES_MAX:
        raise InvalidRequest(
            f"{function}: its arguments have {size_words(len(text))}, at most {size_words(CALLS_BYTES_MAX)} are taken: "
            f"bring a file along, and give its name"
        )
    return text


def _told(value: Any) -> Any:
    """A value as it is told to people: `nan` and the like, which Python's own JSON carries to the task, as a text."""
    return value if not isinstance(value, (int, float)) or is_plain_number(value) else str(value)


def _shown(calls: Sequence[Call]) -> tuple[dict[str, Any], ...]:
    """The calls as the parameters of the tasks, for people and for comparing runs; none, if they are more than such may be."""
    shown: list[dict[str, Any]] = []
    room = 64 * TREE_BYTES_MAX
    for call in calls:
        given = {str(place): value for place, value in enumerate(call.arguments)} | dict(call.parameters)
        one = {name: _told(value) for name, value in given.items()}
        try:
            check_tree("parameters", one)
        except InvalidRequest:
            return ()
        room -= len(str(one))
        if room < 0:
            return ()
        shown.append(one)
    return tuple(shown) if any(shown) else ()
