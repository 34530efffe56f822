"""`opsconsole metrics ID…`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opsconsole_console.cli.export import write
from opsconsole_console.cli.option import add_json
from opsconsole_console.cli.output import put_json, put_table, say
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import with_client
from opsconsole_protocol.error import NotFound

if TYPE_CHECKING:
    from opsconsole.client import Client
    from opsconsole_protocol.api import RunRow

_ALL_POINTS = 10_000_000
_NAMED_MAX = 20
_COLUMNS = ("task", "metric", "step", "value")
_GPU_COLUMNS = ("task", "metric", "at_ms", "value")


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb("metrics", metrics, usage="opsconsole metrics [options] JOB[/task-N]… ")
    parser.add_argument("ids", nargs="+", metavar="ID", help="jobs, or single tasks: JOB/task-N")
    parser.add_argument("--name", action="append", default=[], metavar="NAME", help="only this metric; may be repeated")
    parser.add_argument("--csv", metavar="FILE", help="write every point to a CSV file; - is stdout")
    parser.add_argument(
        "--parquet", metavar="FILE", type=Path, help="write every point to a Parquet file (needs opsconsole[view])"
    )
    parser.add_argument(
        "--gpu", action="store_true", help="instead of metrics, what was measured of the tasks' GPUs, over time"
    )
    add_json(parser, "one JSON object a task and metric, with every point")


def metrics(args: argparse.Namespace) -> int:
    """`opsconsole metrics`."""
    whole = args.json or args.csv is not None or args.parquet is not None

    known: set[str] = set()

    async def work(client: Client) -> list[RunRow]:
        from msgspec.structs import replace

        runs: list[RunRow] = []
        for one in args.ids:
            if args.gpu:
                measured = await client.metrics(one, points_max=_ALL_POINTS, gpus=True)
                runs += [replace(run, metrics=run.gpus) for run in measured]
                continue
            found = await client.metrics(one)
            known.update(_names(found))
            names = sorted(_names(found) & set(args.name or _names(found)))
            runs += await client.metrics(one, names, points_max=_ALL_POINTS) if whole and names else found
        return runs

    runs = with_client(args, work)
    if args.gpu:
        known = _names(runs)
    if known and (unknown := sorted(set(args.name) - known)):
        raise NotFound(
            f"no metric called {' or '.join(map(repr, unknown))} was reported: there is {_listed(sorted(known))}"
        )
    if args.csv is not None or args.parquet is not None:
        write(args.csv, args.parquet, _GPU_COLUMNS if args.gpu else _COLUMNS, _points(runs, args.name))
    elif args.json:
        put_json(*(_object(run, metric, is_gpu=args.gpu) for run, metric in _each(runs, args.name)))
    else:
        rows = [
            (
                run.task_id,
                metric.name,
                f"{metric.points:,}",
                "" if args.gpu else _figure(metric.last_step),
                f"{metric.last:.6g}" if metric.points else "",  # which may be nan
                *map(_figure, (metric.least, metric.greatest)),
                "gpu" if args.gpu else "output" if metric.is_recognised else "report",
            )
            for run, metric in _each(runs, args.name)
        ]
        if not rows and args.gpu:
            say("opsconsole: nothing was measured: that is done while a task runs that has GPUs for itself (--gpus)")
        elif not rows:
            say("opsconsole: nothing was reported yet: see docs/training.md for how a task does that")
        else:
            put_table(("TASK", "METRIC", "POINTS", "STEP", "LAST", "LEAST", "GREATEST", "FROM"), rows)
    return 0


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED_MAX:,} more" if len(names) > _NAMED_MAX else ""
    return ", ".join(names[:_NAMED_MAX]) + more


def _names(runs: list[RunRow]) -> set[str]:
    return {metric.name for run in runs for metric in run.metrics}


def _each(runs: list[RunRow], names: list[str]) -> Iterator[tuple[RunRow, Any]]:
    for run in runs:
        for metric in run.metrics:
            if not names or metric.name in names:
                yield run, metric


def _object(run: RunRow, metric: Any, *, is_gpu: bool) -> dict[str, Any]:
    if is_gpu:
        return {
            "task": run.task_id, "job": run.job, "parameters": run.parameters, "metric": metric.name, "points": metric.points,
            "last": metric.last, "least": metric.least, "greatest": metric.greatest,
            "at_ms": list(metric.x), "values": list(metric.y),
        }  # fmt: skip
    return {
        "task": run.task_id, "job": run.job, "parameters": run.parameters, "metric": metric.name, "points": metric.points,
        "last": metric.last, "last_step": metric.last_step, "least": metric.least, "greatest": metric.greatest,
        "is_recognised": metric.is_recognised, "steps": list(metric.x), "values": list(metric.y),
    }  # fmt: skip


def _points(runs: list[RunRow], names: list[str]) -> Iterator[tuple[str, str, float, float]]:
    for run, metric in _each(runs, names):
        for x, value in zip(metric.x, metric.y, strict=True):
            yield run.task_id, metric.name, x, value


def _figure(value: float) -> str:
    return "" if value != value else f"{value:.6g}"
