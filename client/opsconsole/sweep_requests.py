"""Sweeps: a job with a task for each point, and points that are added to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from opsconsole.client_part import ClientPart
from opsconsole.sweep import Point, Sweep, read_line, unfold
from opsconsole_protocol import api
from opsconsole_protocol.api.parameter import spell_value
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.spec import checked_spec

Points = str | Sweep | Iterable[Mapping[str, Any]]
"""`lr=0.1,0.01 seed=range(0,3)` as the command line and the console take it, a `Sweep`, or every point."""


class SweepRequests(ClientPart):
    """A part of a client: its sweeps."""

    async def sweep(
        self,
        /,
        command: Sequence[str],
        points: Points,
        job_id: JobId | None = None,
        *,
        uploads: str | Path | Sequence[str | Path] = (),
        bundle: str | Path | None = None,
        tell: Callable[[str], None] | None = None,
        **fields: Any,
    ) -> api.JobRow:
        """Submit one job with a task for each point, and return its row. `{lr}` in the command is where the values of `lr` go.

        `points` is text such as `lr=0.1,0.01 seed=range(0,3)` or `lr=loguniform(1e-5,1e-1) --samples 20`, a `Sweep`, or every
        point as a mapping. `fields` are those of a JobSpec, such as `name` and `resources`; the rest is as for `submit`. Raises
        InvalidRequest for points that can't be meant.
        """
        found = read_points(points)
        if not found:
            raise InvalidRequest("this sweep has no points: write for example lr=0.1,0.01")
        words = tuple(command)
        spec = checked_spec(
            {**fields, "command": words, "num_tasks": len(found), "parameters": tuple(found),
             "task_commands": unfold(words, found)}
        )  # fmt: skip
        return (await self.submit(spec, job_id, uploads=uploads, bundle=bundle, tell=tell))[0]

    async def add_tasks(self, id: str, points: Points) -> str:  # noqa: A002
        """Add a task to a sweep for each of these points that it hasn't yet, and return in one line what was done.

        A sweep that has ended goes on with them. Raises NotFound, and Conflict for a job that is no sweep.
        """
        found = read_points(points)
        if not found:
            raise InvalidRequest("there are no points to add: write for example lr=0.1,0.01")
        return (await self._ask(api.AddTasks(id=id, points=tuple(found)), api.Done)).text


def read_points(points: Points) -> list[Point]:
    """Every point, its values as texts. Raises InvalidRequest."""
    if isinstance(points, str):
        points = read_line(points)
    if isinstance(points, Sweep):
        return points.points()
    found = [{str(name): spell_value(value) for name, value in point.items()} for point in points]
    if any(one.keys() != found[0].keys() for one in found):
        raise InvalidRequest("not all points have the same parameters")
    return found
