"""Filtering jobs: which fields there are, where each is found in a job's row, and which text the bare words are looked for in.

A time compared with a duration is taken as an age (`created>1d`: more than a day ago), compared with a date as a point in
time (`created>2026-01-31`: after that; in UTC where the date has no zone).
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from msgspec.structs import replace

from opsconsole_protocol import filter as filters
from opsconsole_protocol.api.row import JobRow
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.filter import Filter
from opsconsole_protocol.quantity import duration_ms
from opsconsole_protocol.requirement import Requirement, checked
from opsconsole_protocol.state import TaskState

TIMES = {"created": "created_at_ms", "started": "started_at_ms", "finished": "finished_at_ms"}
OTHER_NAMES = {"user": "submitted_by", "tasks": "task_counts"}
FIELDS = (*(name for name in JobRow.__struct_fields__), *TIMES, *OTHER_NAMES)
_NAMES = frozenset(FIELDS)
SORTS = (
    "created", "started", "finished", "name", "project", "state", "priority", "user", "worker", "tasks", "duration",
    "progress", "place",
)  # fmt: skip
"""By what a list of jobs can be sorted."""
_PARTS = frozenset({"tasks", "task_counts"})
_STATES = tuple(map(str, TaskState))
_NUMBERS = frozenset(
    {
        "priority", "num_tasks", "progress", "place", "created_at_ms", "started_at_ms", "finished_at_ms",
        "duration_ms_estimate", "output_files", "output_bytes", "save_late", "waiting_since_ms",
    }
)  # fmt: skip
_ABSENT_WHERE_EMPTY = frozenset({"reason", "command"})


def parse(text: str, *, inverted: bool = False) -> Filter:
    """Read a filter line for jobs. Raises InvalidRequest, also for a field that no job has."""
    return filters.parse(text, inverted=inverted, check=_check_field)


def properties_by(clock: Callable[[], int]) -> Callable[[JobRow], Mapping[str, Any]]:
    """A function from a job's row to what conditions look at, as of the clock's time (Unix milliseconds)."""
    return lambda row: properties(row, clock())


def properties(row: JobRow, now_ms: int) -> Mapping[str, Any]:
    """What conditions look at: the row's fields, some under an everyday name too, and its times as ages in milliseconds."""
    return _Properties(row, now_ms)


class _Properties(Mapping[str, Any]):
    """Made for each of very many rows, of which a condition looks at one field: nothing is computed before it is asked for."""

    __slots__ = ("_now_ms", "_row")

    def __init__(self, row: JobRow, now_ms: int) -> None:
        self._row = row
        self._now_ms = now_ms

    def __contains__(self, name: object) -> bool:
        return name in _NAMES

    def __getitem__(self, name: str) -> Any:
        if name not in _NAMES:
            raise KeyError(name)
        if name in TIMES:
            at_ms = getattr(self._row, TIMES[name])
            return None if at_ms is None else self._now_ms - at_ms
        found = getattr(self._row, OTHER_NAMES.get(name, name))
        return found or None if name in _ABSENT_WHERE_EMPTY else found

    def __iter__(self) -> Iterator[str]:
        return iter(FIELDS)

    def __len__(self) -> int:
        return len(FIELDS)


def haystack(row: JobRow) -> str:
    """The text that bare words are looked for in, in lower case."""
    words = (row.id, row.name, row.project, row.state, row.worker or "", row.submitted_by, row.reason, row.command)
    return " ".join(words).casefold()


def check_sort(name: str) -> None:
    """Raise InvalidRequest for a field that jobs can't be sorted by."""
    if name not in SORTS:
        near = get_close_matches(name, SORTS, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(SORTS)}"
        raise InvalidRequest(f"jobs can't be sorted by {name[:60]}: {hint}")


def sort_value(row: JobRow, name: str, now_ms: int) -> tuple[int, float, str]:
    """What a job is sorted by, in a form that compares; without a value it is less than all that have one."""
    value: str | float | None
    match name:
        case "created" | "started" | "finished":
            value = getattr(row, TIMES[name])
        case "tasks":
            value = row.num_tasks
        case "duration":
            end_ms = now_ms if row.finished_at_ms is None else row.finished_at_ms
            value = None if row.started_at_ms is None else end_ms - row.started_at_ms
        case _:
            value = getattr(row, OTHER_NAMES.get(name, name))
    return sortable(value)


def sortable(value: str | float | None) -> tuple[int, float, str]:
    """A value in a form that compares; none is less than any."""
    if value is None:
        return (0, 0.0, "")
    return (1, 0.0, value.casefold()) if isinstance(value, str) else (1, float(value), "")


def _check_field(one: Requirement) -> Requirement:
    name = one.key.split(".", 1)[0]
    if name not in FIELDS:
        near = get_close_matches(name, FIELDS, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"the fields are {', '.join(sorted(FIELDS))}"
        raise InvalidRequest(f"a job has no field {name[:60]}: {hint}")
    if one.key in TIMES:
        return _read_time(one)
    _check_value(one)
    return one


def _check_value(one: Requirement) -> None:
    """Raise InvalidRequest for a value that no job has there, which would hide all of them without a word."""
    if one.key in _PARTS:
        raise InvalidRequest(f"{one.key} has parts: write {one.key}.failed>0, or num_tasks>1 for all tasks of a job")
    if one.key == "state" and one.op in {"=", "!=", "in"}:
        if one.op != "in" and "," in one.value:
            raise InvalidRequest(f"a job has one state: write state in {one.value[:60]}")
        for state in one.value.split(",") if one.op == "in" else (one.value,):
            if state not in _STATES:
                raise InvalidRequest(f"no job is {state[:60]!r}: {_near_state(state)}")
    name, _, part = one.key.partition(".")
    if name in _PARTS and part not in _STATES:
        raise InvalidRequest(f"no task is {part[:60]!r}: {_near_state(part)}")
    checked(one, (one.key,) if name in _PARTS else _NUMBERS)


def _near_state(state: str) -> str:
    near = get_close_matches(state, _STATES, 1, 0.5)
    return f"did you mean {near[0]}?" if near else f"states are {', '.join(_STATES)}"


def _read_time(one: Requirement) -> Requirement:
    words = f"write for example {one.key}>1d (more than a day ago), {one.key}<1h or {one.key}>2026-01-31"
    if one.op not in {">", ">=", "<", "<="}:
        raise InvalidRequest(f"{one.key} is a time: {words}")
    try:
        return replace(one, value=str(duration_ms(one.value)))
    except InvalidRequest:
        pass
    try:
        at = dt.datetime.fromisoformat(one.value)
        at_ms = (at if at.tzinfo is not None else at.replace(tzinfo=dt.UTC)).timestamp() * 1000
    except (ValueError, OverflowError):
        raise InvalidRequest(f"{one.key} is a time, and {one.value[:60]!r} is none: {words}") from None
    return Requirement(TIMES[one.key], one.op, str(round(at_ms)))
