"""The options that make the points of a sweep."""

from __future__ import annotations

import argparse

from opsconsole.sweep import Point, read_sweep
from opsconsole_console.cli.option import Options, at_least


def add_sweep_options(group: Options) -> None:
    """All of them."""
    group.add_argument("--sweep", metavar="K=A,B,C", action="append", default=[],
                       help="a task for each value of {K} in the command; repeated: for each combination; also "
                       "K=range(0,10), and with --samples K=uniform(0,1), loguniform(…), randint(1,8), choice(a,b)")  # fmt: skip
    group.add_argument("--zip", metavar="K=A,B,C", action="append", default=[],
                       help="as --sweep, but the values of all --zip are taken side by side")  # fmt: skip
    group.add_argument("--sweep-file", metavar="FILE",
                       help="points from a CSV file whose first line names the parameters, or from JSON Lines (.jsonl)")  # fmt: skip
    group.add_argument("--samples", metavar="N", type=at_least(1), help="draw so many times from the distributions")
    group.add_argument("--sample-seed", metavar="N", type=at_least(0), help="the same seed gives the same draws (0)")
    group.add_argument("--repeat", metavar="N", type=at_least(1),
                       help="each point so many times: {repeat}, OPSCONSOLE_REPEAT in the task, counts from 0")  # fmt: skip


def swept_points(args: argparse.Namespace) -> list[Point]:
    """The points that the options make; none where nothing is swept. Raises InvalidRequest."""
    rows: list[Point] = []
    if args.sweep_file is not None:
        from opsconsole.sweep_file import read_points_file

        rows = read_points_file(args.sweep_file)
    return read_sweep(args.sweep, args.zip, rows, args.samples, args.sample_seed, args.repeat).points()
