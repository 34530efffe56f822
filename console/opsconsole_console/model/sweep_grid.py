"""A sweep as a grid: one parameter goes down, one across, and a cell has the tasks with these two values. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from opsconsole_console.model.comparison import Of, Run
from opsconsole_protocol.spec import REPEAT
from opsconsole_protocol.state import TaskState, is_task_finished, job_state
from opsconsole_protocol.task_selection import as_number

_ENDED_BADLY = frozenset(state for state in TaskState if is_task_finished(state) and state is not TaskState.SUCCEEDED)
Place = tuple[int, int]
"""A row and a column."""


@dataclass(frozen=True)
class Grid:
    """Runs by two of their parameters. `across` is empty where only one varies: then there is one column."""

    down: str = ""
    across: str = ""
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    cells: Mapping[Place, tuple[Run, ...]] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    """The parameters that vary within cells."""

    def runs(self, place: Place) -> tuple[Run, ...]:
        """The runs of a cell, which may be none."""
        return self.cells.get(place, ())


@dataclass(frozen=True)
class CellFact:
    """What is shown of a cell: how its tasks stand together, how many they are, and the mean of a metric of them."""

    state: str
    count: int
    value: float | None
    failed: int = 0
    """How many of several tasks ended badly, where the state doesn't say that."""

    @property
    def text(self) -> str:
        """Without the state's sign."""
        parts = [] if self.value is None else [f"{self.value:.4g}"]
        if self.count > 1:
            parts.append(f"×{self.count}")
        return " ".join([*parts, f"✗{self.failed}"] if self.failed else parts)


def varying(runs: Iterable[Run]) -> list[str]:
    """The parameters with several values: those with most of them first, and the number of the repeat last."""
    values: dict[str, set[str]] = {}
    for run in runs:
        for name, value in run.parameters.items():
            values.setdefault(name, set()).add(str(value))
    names = [name for name, found in values.items() if len(found) > 1]
    return sorted(names, key=lambda name: (name == REPEAT, -len(values[name])))


def pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """What can go down and across: first the two that vary most, each pair also the other way round."""
    if len(names) < 2:
        return [(names[0] if names else "", "")]
    found = sorted(combinations(range(len(names)), 2), key=sum)
    return [pair for a, b in found for pair in ((names[a], names[b]), (names[b], names[a]))]


def grid_of(runs: Sequence[Run], axes: tuple[str, str]) -> Grid:
    """The runs by these two parameters."""
    down, across = axes
    rows, columns = _values(runs, down), _values(runs, across)
    row_of = {value: place for place, value in enumerate(rows)}
    column_of = {value: place for place, value in enumerate(columns)}
    cells: dict[Place, list[Run]] = {}
    for run in runs:
        place = row_of[_value(run, down)], column_of[_value(run, across)]
        cells.setdefault(place, []).append(run)
    others = tuple(name for name in varying(runs) if name not in axes)
    return Grid(down, across, rows, columns, {place: tuple(found) for place, found in cells.items()}, others)


def fact_of(runs: Sequence[Run], metric: str | None, of: Of) -> CellFact:
    """What is shown of these runs, one at least."""
    counts: dict[TaskState, int] = {}
    for run in runs:
        state = TaskState(run.state) if run.state in set(TaskState) else TaskState.PENDING
        counts[state] = counts.get(state, 0) + 1
    rows = (run.metrics.get(metric or "") for run in runs)
    values = [value for row in rows if row is not None and math.isfinite(value := getattr(row, of))]
    state = job_state(counts)
    failed = 0 if state in _ENDED_BADLY else sum(counts.get(one, 0) for one in _ENDED_BADLY)
    return CellFact(state, len(runs), sum(values) / len(values) if values else None, failed)


def _value(run: Run, name: str) -> str:
    return str(run.parameters.get(name, "")) if name else ""


def _values(runs: Sequence[Run], name: str) -> tuple[str, ...]:
    """All values: numbers by size, then texts."""
    return tuple(sorted({_value(run, name) for run in runs}, key=_sort_key))


def _sort_key(text: str) -> tuple[int, float, str]:
    value: Any = as_number(text)
    return (1, 0.0, text) if isinstance(value, str) else (0, float(value), text)
