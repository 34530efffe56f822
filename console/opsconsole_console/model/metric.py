"""What tasks have reported, as it is shown: one line a metric over all runs, and the runs' points as curves. Pure."""

import math
from array import array
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from opsconsole_console import format as fmt
from opsconsole_protocol.api import MetricRow, RunRow

FIRST_SHOWN = ("loss", "train/loss", "train_loss", "eval/loss", "eval_loss", "val_loss", "accuracy")
"""Which metric is looked at first, where there is one of these names."""


@dataclass(frozen=True)
class MetricLine:
    """One metric: of how many runs, and the last, least and greatest of all of them; NaN where there is none."""

    name: str
    runs: int
    points: int
    last: float
    last_step: float
    least: float
    greatest: float
    is_recognised: bool = False
    """A run didn't report it: it was read in what its task printed."""


@dataclass(frozen=True)
class Points:
    """The points of one curve: where they are, and what it is called."""

    name: str
    x: "array[float]"
    y: "array[float]"
    run: str = ""
    """The id of the task."""


class GpuView(StrEnum):
    """What is drawn of the GPUs, under the curves: of one run how busy they are and their memory, of several runs one of these."""

    OFF = ""
    BOTH = "GPU use and memory, %"
    USE = "GPU use, %"
    MEMORY = "GPU memory, %"

    def after(self, *, several: bool) -> "GpuView":
        """The one that a key changes to."""
        order = (GpuView.OFF, GpuView.USE, GpuView.MEMORY) if several else (GpuView.OFF, GpuView.BOTH)
        return order[(order.index(self) + 1) % len(order)] if self in order else order[1]


def metric_lines(runs: Iterable[RunRow]) -> dict[str, MetricLine]:
    """All metrics of these runs, in the order in which they were first reported."""
    found: dict[str, MetricLine] = {}
    for run in runs:
        for row in run.metrics:
            before = found.get(row.name)
            found[row.name] = _line(row) if before is None else _joined(before, row)
    return found


def first_shown(names: Collection[str]) -> str | None:
    """The metric to look at first."""
    return next((name for name in FIRST_SHOWN if name in names), next(iter(names), None))


def curves(runs: Sequence[RunRow], names: Collection[str], *, over_time: bool = False) -> list[Points]:
    """The curves of these metrics: named by the metric, by the run, or by both, whatever tells them apart.

    `over_time`: x are times in Unix milliseconds, and become seconds since the run's own first point.
    """
    found: list[Points] = []
    with_points = [run for run in runs if any(row.x and row.name in names for row in run.metrics)]
    for run in with_points:
        start_ms = _start_ms(run)
        for row in run.metrics:
            if row.name not in names or not row.x:
                continue
            x = _seconds(row.x, start_ms) if over_time else array("d", row.x)
            label = run_name(run, with_points)
            parts = (label * (len(with_points) > 1), row.name * (len(names) > 1 or len(with_points) == 1))
            found.append(Points(" ".join(filter(None, parts)), x, array("d", row.y), run.task_id))
    return found


def gpu_curves(runs: Sequence[RunRow], view: GpuView) -> list[Points]:
    """What was measured of the GPUs of these runs in percent, on the time axis of their curves."""
    found: list[Points] = []
    with_points = [run for run in runs if any(row.x for row in run.gpus)]
    for run in with_points:
        start_ms = _start_ms(run)
        rows = {row.name: row for row in run.gpus if row.x}
        label = run_name(run, with_points) if len(with_points) > 1 else ""
        if view in (GpuView.BOTH, GpuView.USE) and (row := rows.get("utilization_percent")) is not None:
            found.append(Points(label or GpuView.USE, _seconds(row.x, start_ms), array("d", row.y), run.task_id))
        used, total = rows.get("memory_mb"), rows.get("memory_total_mb")
        if view in (GpuView.BOTH, GpuView.MEMORY) and used is not None and total is not None and total.greatest > 0:
            shares = array("d", (100 * one / total.greatest for one in used.y))
            name = label or f"GPU memory, % of {fmt.used_memory(round(total.greatest))}"
            found.append(Points(name, _seconds(used.x, start_ms), shares, run.task_id))
    return found


def _seconds(times_ms: Iterable[float], start_ms: float) -> "array[float]":
    return array("d", ((one - start_ms) / 1000 for one in times_ms))


def _start_ms(run: RunRow) -> float:
    """The first moment of all its points, where x are times."""
    return min((row.x[0] for row in (*run.metrics, *run.gpus) if row.x), default=0.0)


def run_name(run: RunRow, among: Sequence[RunRow]) -> str:
    """What tells a run from the others: the parameters in which they differ, its job and its task, as far as that takes them."""
    differing = [name for name in run.parameters if any(_differ(run, one, name) for one in among)]
    words = [f"{name}={run.parameters[name]}" for name in differing]
    alike = [one for one in among if not any(_differ(run, one, name) for name in differing)]
    if len(alike) == 1 and words:
        return " ".join(words)
    job_id = _job_id(run)
    of_job = [one for one in alike if _job_id(one) == job_id]
    if len(of_job) < len(alike):
        is_shared = any(one.job == run.job and _job_id(one) != job_id for one in alike)
        words += [run.job, job_id] if is_shared else [run.job]
    if len(of_job) > 1 or not words:
        words.append(run.task_id.rpartition("/")[2])
    return " ".join(words)


def _differ(run: RunRow, other: RunRow, name: str) -> bool:
    return name not in other.parameters or other.parameters[name] != run.parameters[name]


def _job_id(run: RunRow) -> str:
    return run.task_id.rpartition("/")[0]


def _line(row: MetricRow) -> MetricLine:
    return MetricLine(row.name, 1, row.points, row.last, row.last_step, row.least, row.greatest, row.is_recognised)


def _joined(line: MetricLine, row: MetricRow) -> MetricLine:
    return MetricLine(
        line.name,
        line.runs + 1,
        line.points + row.points,
        math.nan,
        max(line.last_step, row.last_step),
        min((one for one in (line.least, row.least) if not math.isnan(one)), default=math.nan),
        max((one for one in (line.greatest, row.greatest) if not math.isnan(one)), default=math.nan),
        line.is_recognised or row.is_recognised,
    )
