"""Runs side by side: the parameters in which they differ and one value of each metric as columns, sorted by any. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter
from typing import Any, TypeAlias

from opsconsole_protocol.api import MetricRow, RunRow
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.state import JOB_STATE_ORDER_FINISHED
from opsconsole_protocol.task_selection import as_number

SortValue: TypeAlias = tuple[int, float, str]


class Of(StrEnum):
    """Which value of a metric is compared."""

    LAST = "last"
    LEAST = "least"
    GREATEST = "greatest"

    @property
    def next(self) -> "Of":
        """The one after it, round and round."""
        every = tuple(Of)
        return every[(every.index(self) + 1) % len(every)]


class Kind(StrEnum):
    """What a column is about."""

    RUN = "run"
    JOB = "job"
    STATE = "state"
    PARAMETER = "parameter"
    METRIC = "metric"


@dataclass(frozen=True)
class Run:
    """A task: what it was given, and what it has reported, by name. `metrics` are without points."""

    id: str
    job: str
    state: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, MetricRow]

    @property
    def job_id(self) -> str:
        """The id of its job."""
        return self.id.partition("/")[0]

    @property
    def name(self) -> str:
        """Its id without the job's."""
        return self.id.partition("/")[2]

    @property
    def is_over(self) -> bool:
        """Whether it can report nothing more, unless somebody retries it."""
        return self.state in JOB_STATE_ORDER_FINISHED


_FIXED = (Kind.RUN, Kind.JOB, Kind.STATE)


@dataclass(frozen=True)
class Field:
    """A column. `title` is unique among the columns, so that it can be named."""

    kind: Kind
    name: str
    title: str

    @property
    def key(self) -> str:
        """Unique, and the same whatever other columns there are."""
        return self.kind.value if self.kind in _FIXED else f"{self.kind} {self.name}"

    def value(self, run: Run, of: Of) -> Any:
        """What a run has there; None where it has nothing. The parameters of a sweep are texts: what is written as a number is one."""
        match self.kind:
            case Kind.RUN:
                return run.id
            case Kind.JOB:
                return run.job
            case Kind.STATE:
                return run.state
            case Kind.PARAMETER:
                return as_number(run.parameters.get(self.name))
            case Kind.METRIC:
                row = run.metrics.get(self.name)
                value = math.nan if row is None else getattr(row, of)
                return None if math.isnan(value) else value

    def text(self, run: Run, of: Of) -> str:
        """The same as it is shown: a parameter as it was given, a metric in five figures."""
        value = run.parameters.get(self.name) if self.kind is Kind.PARAMETER else self.value(run, of)
        if value is None:
            return ""
        return f"{value:.5g}" if self.kind is Kind.METRIC else str(value)

    def sort_value(self, run: Run, of: Of) -> SortValue | None:
        """By what runs are sorted: numbers by size, then texts; None sorts last. Runs of a job are in the order of its tasks."""
        value = self.value(run, of)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        if self.kind is Kind.RUN:
            job_id, _, index = run.id.rpartition("-")
            return 1, 0, f"{job_id} {index:0>{_DIGITS}}"
        return (0, value, "") if isinstance(value, (int, float)) else (1, 0, str(value))


_DIGITS = 12


def runs_of(rows: Iterable[RunRow]) -> dict[str, Run]:
    """What was answered, by the ids of the runs."""
    return {
        row.task_id: Run(row.task_id, row.job, row.state, row.parameters, {one.name: one for one in row.metrics})
        for row in rows
    }


def fields(runs: Iterable[Run], of: Of, names: Sequence[str] = ()) -> list[Field]:
    """All columns: id, job and state, parameters that aren't the same in all runs, and metrics; of `names` only, where given.

    Of columns that are called alike the later one says more in its title.
    """
    runs = list(runs)
    metrics = dict.fromkeys(name for run in runs for name in run.metrics if not names or name in names)
    wanted = [(kind, kind.value, "") for kind in _FIXED]
    wanted += [(Kind.PARAMETER, name, "given") for name in differing(runs)]
    wanted += [(Kind.METRIC, name, of) for name in metrics]
    found: dict[str, Field] = {}
    for kind, name, more in wanted:
        title = name
        while title in found:
            title += f" ({more})"
        found[title] = Field(kind, name, title)
    return list(found.values())


def differing(runs: Iterable[Run]) -> list[str]:
    """The parameters that aren't the same in all runs."""
    given = [run.parameters for run in runs]
    values: dict[str, set[str]] = {}
    for name in dict.fromkeys(name for one in given for name in one):
        values[name] = {repr(one.get(name)) for one in given}
    return [name for name, found in values.items() if len(found) > 1]


def field_named(title: str, among: Sequence[Field]) -> Field:
    """The column that a person means: a metric before a parameter. Raises InvalidRequest that names those that there are."""
    titled = next((field for field in among if field.title == title), None)
    metric = next((field for field in among if field.kind is Kind.METRIC and field.name == title), None)
    found = metric or titled
    if found is None:
        raise InvalidRequest(
            f"no run has a metric or parameter called {title}: there is {', '.join(field.title for field in among)}"
        )
    return found


def ordered(runs: Iterable[Run], field: Field, of: Of, *, reverse: bool = False) -> list[Run]:
    """The runs by a column, the smallest first or else last; those that have nothing there come last either way."""
    there: list[tuple[SortValue, Run]] = []
    missing: list[Run] = []
    for run in runs:
        value = field.sort_value(run, of)
        if value is None:
            missing.append(run)
        else:
            there.append((value, run))
    there.sort(key=itemgetter(0), reverse=reverse)
    return [*(run for _, run in there), *missing]


def table(runs: Iterable[Run], among: Sequence[Field], of: Of) -> tuple[list[str], list[list[Any]]]:
    """All of it for a file: the titles, and a line a run, with None where there is nothing."""
    return [field.title for field in among], [[field.value(run, of) for field in among] for run in runs]
