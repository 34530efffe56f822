"""All points of long runs: as many at a time as fit into an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from opsconsole_protocol import api
from opsconsole_protocol.api.request import POINTS_MIN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    Ask = Callable[[api.ReadMetrics], Awaitable[api.MetricsAnswer]]

ANSWER_POINTS_MAX = 500_000
"""Points that fit into an answer, of all its curves."""


async def read_runs(ask: Ask, wanted: api.ReadMetrics) -> list[api.RunRow]:
    """The runs that are wanted, of each curve `wanted.points_max` points at most, in answers that aren't too large."""
    if not wanted.names and not wanted.gpus:
        return await _pages(ask, wanted)
    if wanted.points_max * max(1, len(wanted.names)) <= ANSWER_POINTS_MAX:
        tasks = ANSWER_POINTS_MAX // (wanted.points_max * max(1, len(wanted.names)))
        return await _pages(ask, replace(wanted, tasks_limit=min(wanted.tasks_limit, tasks)))
    found = await _pages(ask, replace(wanted, names=(), points_max=POINTS_MIN))
    return [await _filled(ask, wanted, run) for run in found]


async def _pages(ask: Ask, wanted: api.ReadMetrics) -> list[api.RunRow]:
    runs: list[api.RunRow] = []
    while True:
        answer = await ask(replace(wanted, tasks_from=wanted.tasks_from + len(runs)))
        runs += answer.runs
        if not answer.more or not answer.runs:
            return runs


async def _filled(ask: Ask, wanted: api.ReadMetrics, run: api.RunRow) -> api.RunRow:
    """A run with the points of its curves, each read by itself."""
    of_run = replace(wanted, id=run.task_id, gpus=False, settle_ms=0)
    metrics = [
        await _curve(ask, replace(of_run, names=(row.name,)), row) if row.name in wanted.names else row
        for row in run.metrics
    ]
    gpus = [await _curve(ask, replace(of_run, names=(), gpus=True), row) for row in run.gpus]
    return replace(run, metrics=tuple(metrics), gpus=tuple(gpus))


async def _curve(ask: Ask, wanted: api.ReadMetrics, row: api.MetricRow) -> api.MetricRow:
    """A curve with all its points; where that are more than are wanted, with as many as fit into an answer."""
    at_once = min(wanted.points_max, ANSWER_POINTS_MAX)
    if row.points > wanted.points_max:
        return await _row(ask, replace(wanted, points_max=at_once), row)
    x: list[float] = []
    y: list[float] = []
    while True:
        found = await _row(ask, replace(wanted, points_from=len(x), points_max=at_once), row)
        x += found.x
        y += found.y
        if len(found.x) < at_once:
            return replace(found, x=tuple(x), y=tuple(y))


async def _row(ask: Ask, wanted: api.ReadMetrics, row: api.MetricRow) -> api.MetricRow:
    answer = await ask(wanted)
    rows: Sequence[api.MetricRow] = answer.runs[0].gpus if wanted.gpus else answer.runs[0].metrics
    return next((one for one in rows if one.name == row.name), row)
