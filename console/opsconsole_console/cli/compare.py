"""`opsconsole compare ID…`: runs as rows, what they were given and what came of it as columns."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Any

from opsconsole_console.cli.option import add_json
from opsconsole_console.cli.output import put_csv, put_json, put_table, say
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import with_client
from opsconsole_protocol.error import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opsconsole.client import Client
    from opsconsole_protocol.api import RunRow

_OF = ("last", "least", "greatest")
_METRICS_SHOWN = 6
"""Without --name: more would not fit on a line."""


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb("compare", compare, usage="opsconsole compare [options] JOB[/task-N]…")
    parser.add_argument(
        "ids", nargs="+", metavar="ID", help="jobs, each with all its tasks, or single tasks: JOB/task-N"
    )
    parser.add_argument("--name", action="append", default=[], metavar="NAME", help="only this metric; may be repeated")
    parser.add_argument("--of", choices=_OF, default="last", help="which value of each metric (%(default)s)")
    parser.add_argument("--sort", metavar="COLUMN", help="by a metric or a parameter, the smallest first")
    parser.add_argument("-r", "--reverse", action="store_true", help="the other way round")
    parser.add_argument("--csv", action="store_true", help="as CSV, with every metric")
    add_json(parser, "one JSON object a run, with every metric")


def compare(args: argparse.Namespace) -> int:
    """`opsconsole compare`."""

    async def work(client: Client) -> list[RunRow]:
        return [run for one in args.ids for run in await client.metrics(one)]

    runs = with_client(args, work)
    rows = [_row(run, args.of, args.name) for run in runs]
    if args.sort is not None:
        rows = _sorted(rows, args.sort, reverse=args.reverse)
    parameters = _differing(runs)
    metrics = list(dict.fromkeys(name for row in rows for name in row["metrics"]))
    if args.json:
        put_json(*rows)
    elif args.csv:
        lines = (_line(row, parameters, metrics) for row in rows)
        put_csv(("run", "job", "state", *parameters, *metrics), lines)
    else:
        shown = metrics if args.name else metrics[:_METRICS_SHOWN]
        header = ("RUN", "JOB", "STATE", *map(str.upper, parameters), *map(str.upper, shown))
        put_table(header, (_cells(row, parameters, shown) for row in rows))
        if len(shown) < len(metrics):
            say(f"opsconsole: {len(metrics) - len(shown)} more metrics: choose with --name, or use --csv or --json")
    return 0


def _row(run: RunRow, of: str, names: list[str]) -> dict[str, Any]:
    return {
        "run": run.task_id,
        "job": run.job,
        "state": run.state,
        "parameters": run.parameters,
        "metrics": {one.name: getattr(one, of) for one in run.metrics if not names or one.name in names},
    }


def _differing(runs: Iterable[RunRow]) -> list[str]:
    """The parameters that aren't the same in all runs."""
    values: dict[str, set[str]] = {}
    given = [run.parameters for run in runs]
    for name in dict.fromkeys(name for one in given for name in one):
        values[name] = {repr(one.get(name)) for one in given}
    return [name for name, found in values.items() if len(found) > 1]


def _sorted(rows: list[dict[str, Any]], column: str, *, reverse: bool) -> list[dict[str, Any]]:
    known = dict.fromkeys(name for row in rows for name in (*row["metrics"], *row["parameters"]))
    if column not in known:
        columns = ", ".join(known) or "there is none yet"
        raise InvalidRequest(f"--sort {column}: no run has such a metric or parameter: {columns}")

    def value(row: Mapping[str, Any]) -> Any:
        return row["metrics"].get(column, row["parameters"].get(column))

    there = [row for row in rows if not _is_missing(value(row))]
    numbers = all(isinstance(value(row), (int, float)) for row in there)
    there.sort(key=value if numbers else lambda row: str(value(row)), reverse=reverse)
    return there + [row for row in rows if _is_missing(value(row))]


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _cells(row: Mapping[str, Any], parameters: list[str], metrics: list[str]) -> tuple[str, ...]:
    given = (str(row["parameters"].get(name, "")) for name in parameters)
    figures = (row["metrics"].get(name) for name in metrics)
    return (
        row["run"], row["job"], row["state"], *given,
        *("" if _is_missing(value) else f"{value:.5g}" for value in figures),
    )  # fmt: skip


def _line(row: Mapping[str, Any], parameters: list[str], metrics: list[str]) -> tuple[object, ...]:
    given = (row["parameters"].get(name, "") for name in parameters)
    figures = (row["metrics"].get(name) for name in metrics)
    return (row["run"], row["job"], row["state"], *given, *("" if _is_missing(one) else one for one in figures))
