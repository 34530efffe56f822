"""`opsconsole compare ID…`: runs as rows, what they were given and what came of it as columns."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opsconsole_console.cli.export import write
from opsconsole_console.cli.option import add_json
from opsconsole_console.cli.output import put_json, put_table, say
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import with_client

if TYPE_CHECKING:
    from opsconsole.client import Client
    from opsconsole_console.model.comparison import Of, Run
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
    parser.add_argument("--csv", metavar="FILE", help="write a CSV file with every metric; - is stdout")
    parser.add_argument(
        "--parquet", metavar="FILE", type=Path, help="write a Parquet file with every metric (needs opsconsole[view])"
    )
    add_json(parser, "one JSON object a run, with every metric")


def compare(args: argparse.Namespace) -> int:
    """`opsconsole compare`."""
    from opsconsole_console.model.comparison import Kind, Of, field_named, fields, ordered, runs_of, table

    async def work(client: Client) -> list[RunRow]:
        return [run for one in args.ids for run in await client.metrics(one)]

    of = Of(args.of)
    runs = list(runs_of(with_client(args, work)).values())
    columns = fields(runs, of, args.name)
    if args.sort is not None:
        runs = ordered(runs, field_named(args.sort, columns), of, reverse=args.reverse)
    if args.csv is not None or args.parquet is not None:
        write(args.csv, args.parquet, *table(runs, columns, of))
    elif args.json:
        put_json(*(_object(run, of, args.name) for run in runs))
    else:
        metrics = [field for field in columns if field.kind is Kind.METRIC]
        left_out = () if args.name else metrics[_METRICS_SHOWN:]
        shown = [field for field in columns if field not in left_out]
        header = tuple(field.title.upper() for field in shown)
        put_table(header, (tuple(field.text(run, of) for field in shown) for run in runs))
        if left_out:
            say(f"opsconsole: {len(left_out)} more metrics: choose with --name, or use --csv or --json")
    return 0


def _object(run: Run, of: Of, names: list[str]) -> dict[str, Any]:
    return {
        "run": run.id,
        "job": run.job,
        "state": run.state,
        "parameters": run.parameters,
        "metrics": {name: getattr(row, of) for name, row in run.metrics.items() if not names or name in names},
    }
