"""Which tasks of a job are meant: `JOB`, `JOB/3`, `JOB/3-7`, `JOB/1,4-6`, `JOB/failed` or `JOB/'lr=0.1 state=running'`.

Behind the slash stand indices and states, separated by commas, or conditions as in `requirement.py`, on the parameters of the
tasks, `state` and `index`. A parameter that is written as a number is compared as a number.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from opsconsole_protocol import requirement
from opsconsole_protocol.error import InvalidRequest, NotFound
from opsconsole_protocol.ids import ALPHABET, JOB_ID_LENGTH, task_range
from opsconsole_protocol.near_name import did_you_mean
from opsconsole_protocol.requirement import Requirement
from opsconsole_protocol.state import TaskState

SYNTAX: tuple[tuple[str, str], ...] = (
    ("JOB", "the job with all its tasks"),
    ("JOB/3", "one task; JOB/task-3 is the same"),
    ("JOB/3-7", "those from 3 to 7"),
    ("JOB/failed", "those in a state"),
    ("JOB/0,3-7,failed", "any of these"),
    ("JOB/lr=0.1", "those with this value; also !=, >, <, >=, <=, ~ and in"),
    ("JOB/'lr<0.1 state=running'", "those that meet all conditions"),
)
"""The language by example, as help shows it."""
_JOB = re.compile(rf"[{ALPHABET}]{{1,{JOB_ID_LENGTH}}}")
_STATES = {str(state): state for state in TaskState}
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?|-?\.[0-9]+")
"""As people write numbers: `007`, `1_000` and `nan` are texts."""
_EXAMPLES = "write JOB/3, JOB/3-7, JOB/failed or JOB/lr=0.1"


class TaskSelection(NamedTuple):
    """Some tasks of a job: any of the ranges (both ends in them) and states, or all that meet the conditions."""

    ranges: tuple[tuple[int, int], ...] = ()
    states: frozenset[TaskState] = frozenset()
    conditions: tuple[Requirement, ...] = ()

    @classmethod
    def of(cls, index: int) -> "TaskSelection":
        """One task."""
        return cls(((index, index),))

    def pick(self, states: Sequence[TaskState], parameters: Sequence[Mapping[str, Any]]) -> list[int]:
        """The indices of the tasks that are meant, in order; `states` has each task's, `parameters` too or nothing.

        Raises NotFound where an index is beyond the last task, and InvalidRequest for a condition on what no task has.
        """
        if self.conditions:
            self._check_keys(parameters)
            return [
                index for index, state in enumerate(states)
                if self._is_met(task_properties(index, state, parameters[index] if parameters else {}))
            ]  # fmt: skip
        found: set[int] = set()
        for first, last in self.ranges:
            if last >= len(states):
                raise NotFound(f"the job has {len(states)} tasks, from task-0 to task-{len(states) - 1}")
            found.update(range(first, last + 1))
        if self.states:
            found.update(index for index, state in enumerate(states) if state in self.states)
        return sorted(found)

    def _is_met(self, properties: Mapping[str, Any]) -> bool:
        return all(one.matches(properties) for one in self.conditions)

    def _check_keys(self, parameters: Sequence[Mapping[str, Any]]) -> None:
        there = dict.fromkeys(name for one in parameters for name in one)
        for one in self.conditions:
            if one.key not in there and one.key not in _OWN:
                names = ", ".join((*there, *_OWN))
                raise InvalidRequest(f"no task has a parameter {one.key[:60]!r}: there is {names}"[:300])


_OWN = ("state", "index")


def task_properties(index: int, state: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What conditions on tasks look at."""
    return {"index": index, "state": str(state), **{name: as_number(value) for name, value in parameters.items()}}


def point_words(parameters: Mapping[str, Any]) -> str:
    """What tells a task from the others of its sweep: `lr=0.1 seed=2`."""
    return " ".join(f"{name}={value}" for name, value in parameters.items())


def as_number(value: Any) -> Any:
    """The number that a text is written as, and anything else as it is. The parameters of a sweep are texts."""
    if not isinstance(value, str) or _NUMBER.fullmatch(value) is None:
        return value
    return int(value) if value.lstrip("-").isdecimal() else float(value)


def split_selection(text: str) -> tuple[str, TaskSelection | None]:
    """The job, which may be a prefix of its id, and which of its tasks; None: all of it. Raises InvalidRequest."""
    job, slash, rest = text.strip().partition("/")
    job = job.lower()
    if not slash:
        return job, None
    if _JOB.fullmatch(job) is None:
        raise InvalidRequest(f"{job[:40]!r} is not a job id (opsconsole jobs lists them)")
    return job, read_selection(rest)


def read_selection(text: str) -> TaskSelection:
    """What stands behind the slash. Raises InvalidRequest."""
    pieces = [piece.strip() for piece in text.split(",")]
    ranges = [found for piece in pieces if (found := task_range(piece)) is not None]
    states = [state for piece in pieces if (state := _STATES.get(piece.lower())) is not None]
    if len(ranges) + len(states) == len(pieces):
        return TaskSelection(tuple(ranges), frozenset(states))
    try:
        conditions = requirement.parse(text)
    except InvalidRequest as error:
        if any(sign in text for sign in "=<>~"):
            raise
        raise InvalidRequest(f"{text[:60]!r} says no tasks: {_EXAMPLES}") from error
    for one in conditions:
        if one.op in ("exists", "absent"):
            near = did_you_mean(text, _STATES) or f": {_EXAMPLES}; states are {', '.join(_STATES)}"
            raise InvalidRequest(f"{text[:60]!r} says no tasks{near}")
    if not conditions:
        raise InvalidRequest(f"no task is named behind the slash: {_EXAMPLES}")
    return TaskSelection(conditions=conditions)


def words_of(indices: Sequence[int]) -> str:
    """Tasks in few words: `task-3`, `tasks 1, 3-7`, or where these are many how many."""
    if len(indices) == 1:
        return f"task-{indices[0]}"
    spans = spans_of(indices)
    return f"{len(indices)} tasks" if len(spans) > _SPANS_SHOWN else f"tasks {', '.join(spans)}"


_SPANS_SHOWN = 4


def spans_of(indices: Iterable[int]) -> list[str]:
    """Indices in their order as few pieces: `3`, `5-7`."""
    spans: list[list[int]] = []
    for index in indices:
        if spans and index == spans[-1][1] + 1:
            spans[-1][1] = index
        else:
            spans.append([index, index])
    return [str(first) if first == last else f"{first}-{last}" for first, last in spans]
