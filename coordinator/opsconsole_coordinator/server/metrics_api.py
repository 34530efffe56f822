"""What operators ask about what tasks have reported, answered."""

import asyncio
import math
import sqlite3
from functools import cached_property, partial

from msgspec.structs import replace

from opsconsole_coordinator.core.model import Attempt
from opsconsole_coordinator.core.task import Task
from opsconsole_coordinator.report.curve_cache import Asked, CurveCache
from opsconsole_coordinator.report.run import merged
from opsconsole_coordinator.report.series import Points, Summary, Window
from opsconsole_coordinator.report.thinning import thin
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.fair_semaphore import FairSemaphore
from opsconsole_coordinator.server.identity import Caller
from opsconsole_coordinator.server.job_lookup import resolve
from opsconsole_coordinator.server.log_service import LogService
from opsconsole_coordinator.store import query
from opsconsole_protocol import api
from opsconsole_protocol.api.request import POINTS_MAX, POINTS_MIN
from opsconsole_protocol.error import NotFound, Unavailable
from opsconsole_protocol.ids import AttemptId, JobId

READERS = 2
"""Runs that are read at a time, one for each caller: a long one takes a while and much memory."""


class MetricsApi:
    """Handlers of the requests about metrics; each takes the request and who asks."""

    def __init__(self, commit_loop: CommitLoop, log_service: LogService) -> None:
        self._commit_loop = commit_loop
        self._log_service = log_service
        self._reads = FairSemaphore(READERS, 1)

    @cached_property
    def _curves(self) -> CurveCache:
        return CurveCache(self._log_service.reports)

    async def read(self, request: api.ReadMetrics, caller: Caller) -> api.MetricsAnswer:
        """The runs of a job. Raises NotFound, or Unavailable where they can't be read."""
        job_id, index = await resolve(self._commit_loop, request.id)
        first, limit = (request.tasks_from, request.tasks_limit) if index is None else (index, 1)

        def look_up(connection: sqlite3.Connection) -> query.Detail | None:
            return query.detail(connection, job_id, first, limit, 0)

        found = await self._commit_loop.database.read(look_up)
        if found is None or (index is not None and not found.tasks):
            raise NotFound(f"there is no {request.id} here")
        indices = [task.index for task in found.tasks]
        await self._log_service.settle(request.settle_ms, request.attempt, job_id, indices)
        async with self._reads.acquire(caller.actor):
            runs = await asyncio.to_thread(partial(self._runs, request, job_id, found))
        return api.MetricsAnswer(runs=tuple(runs), more=index is None and first + limit < found.row.num_tasks)

    def _runs(self, request: api.ReadMetrics, job_id: JobId, found: query.Detail) -> list[api.RunRow]:
        runs = []
        for task in found.tasks:
            attempts = found.attempts.get(task.index, [])
            if request.attempt is not None:
                attempts = [one for one in attempts if one.number == request.attempt]
                if not attempts and len(found.tasks) == 1:
                    raise NotFound(f"{found.job.task_id(task.index)} has no attempt {request.attempt}")
            runs.append(self._run(request, job_id, found, task, attempts))
        return runs

    def _run(
        self, request: api.ReadMetrics, job_id: JobId, found: query.Detail, task: Task, attempts: list[Attempt]
    ) -> api.RunRow:
        attempt_ids = [one.id for one in attempts]
        try:
            metrics = self._metrics(request, attempt_ids)
            gpus = self._gpus(request, attempt_ids) if request.gpus else []
        except OSError as error:
            raise Unavailable(f"what {job_id} reported can't be read: {error.strerror}") from None
        spec = found.job.spec
        return api.RunRow(
            task_id=found.job.task_id(task.index),
            job=spec.title,
            state=str(task.state),
            parameters=dict(spec.parameters[task.index]) if spec.parameters else {},
            metrics=tuple(metrics),
            gpus=tuple(gpus),
        )

    def _metrics(self, request: api.ReadMetrics, attempt_ids: list[AttemptId]) -> list[api.MetricRow]:
        summaries: dict[str, Summary] = {}
        recognised: frozenset[str] = frozenset()
        for attempt_id in attempt_ids:
            found, of_attempt = self._log_service.reports.summaries(attempt_id)
            recognised = recognised - found.keys() | of_attempt
            for name, one in found.items():
                summaries[name] = summaries[name].followed_by(one) if name in summaries else one
        rows = []
        for name, one in summaries.items():
            points = self._points(request, attempt_ids, name) if name in request.names else None
            rows.append(_row(name, one if one.is_rising else self._left(attempt_ids, name, one), points))
        return [replace(row, is_recognised=True) if row.name in recognised else row for row in rows]

    def _points(self, request: api.ReadMetrics, attempt_ids: list[AttemptId], name: str) -> Points:
        window = Window(request.first, request.last)
        over_time = request.axis is api.Axis.TIME
        asked = Asked(tuple(attempt_ids), name, over_time, window, _thinned_to(request))
        return _page(self._curves.points(asked), request)

    def _left(self, attempt_ids: list[AttemptId], name: str, came: Summary) -> Summary:
        """Of the points that are left where later ones took the place of earlier ones: thinning keeps the extremes."""
        points = self._curves.points(Asked(tuple(attempt_ids), name, False, Window(), POINTS_MIN))
        finite = [value for value in points.y if math.isfinite(value)]
        least, greatest = min(finite, default=math.nan), max(finite, default=math.nan)
        return came._replace(points=points.total, least=least, greatest=greatest)

    def _gpus(self, request: api.ReadMetrics, attempt_ids: list[AttemptId]) -> list[api.MetricRow]:
        """Steps are times there: attempts follow each other, and a window over steps doesn't apply."""
        window = Window(request.first, request.last) if request.axis is api.Axis.TIME else Window()
        series = merged([self._log_service.reports.gpu_series(one) for one in attempt_ids])
        return [
            _row(name, one.summary, _page(thin(*one.by_time(), window, _thinned_to(request)), request))
            for name, one in series.items()
        ]


def _thinned_to(request: api.ReadMetrics) -> int:
    """How many points are left of a curve: those that are asked for by their place are counted among all."""
    return request.points_max if request.points_from is None else POINTS_MAX


def _page(points: Points, request: api.ReadMetrics) -> Points:
    """Those that were asked for by their place, where that was done."""
    if request.points_from is None:
        return points
    end = request.points_from + request.points_max
    return points._replace(x=points.x[request.points_from : end], y=points.y[request.points_from : end])


def _row(name: str, summary: Summary, points: Points | None) -> api.MetricRow:
    return api.MetricRow(
        name=name,
        points=summary.points,
        last=summary.last,
        last_step=summary.last_step,
        least=summary.least,
        greatest=summary.greatest,
        x=() if points is None else tuple(points.x),
        y=() if points is None else tuple(points.y),
    )
