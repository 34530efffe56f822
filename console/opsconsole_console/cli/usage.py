"""`opsconsole usage`: who had what of the fleet, who has what now, and whose turn is next."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from opsconsole_console.cli.option import add_json, at_least
from opsconsole_console.cli.output import put, put_json, put_table, say
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import with_client
from opsconsole_console.model.usage import hours, now_words, share_text

if TYPE_CHECKING:
    from opsconsole.client import Client
    from opsconsole_protocol.api import UsageAnswer
    from opsconsole_protocol.estimate import EstimateError


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb("usage", usage)
    parser.add_argument(
        "--days", metavar="N", type=at_least(1), default=7, help="how far back, today included (%(default)s)"
    )
    add_json(parser)


def usage(args: argparse.Namespace) -> int:
    """`opsconsole usage`."""

    async def work(client: Client) -> UsageAnswer:
        return await client.usage(args.days)

    found = with_client(args, work)
    if args.json:
        put_json(*found.rows, *found.lines, *found.estimates)
        return 0
    if found.rows:
        put_table(
            ("PROJECT", "PERSON", "GPU HOURS", "CPU HOURS", "TASKS", "NOW", "WEIGHS", "SHARE"),
            (
                (
                    row.project, row.person, hours(row.gpu_ms), hours(row.cpu_ms), f"{row.tasks:,}",
                    now_words(row), hours(row.weight_ms), share_text(row),
                )
                for row in found.rows
            ),
        )  # fmt: skip
    else:
        say(f"nothing has run in the last {args.days} days")
    if found.left_out:
        say(f"{found.left_out:,} more had less, and have nothing now")
    if found.lines:
        put(
            "",
            "Next, in this order (higher priority first, then the project and the person who had least for their weight):",
        )
        put_table(
            ("PRIORITY", "PROJECT", "PERSON", "JOBS", "PROJECT HAD", "PERSON HAD", "FIRST", "WHY IT WAITS"),
            (
                (
                    str(row.priority), row.project, row.person, f"{row.jobs:,}", hours(row.project_standing_ms),
                    hours(row.person_standing_ms), row.first_job, row.reason,
                )
                for row in found.lines
            ),
        )  # fmt: skip
    _put_errors(found.estimates)
    return 0


def _put_errors(errors: tuple[EstimateError, ...]) -> None:
    """How wrong estimates were."""
    from opsconsole_console import format as fmt
    from opsconsole_console.model.expected import error_words

    if not errors:
        return
    put("", "Estimates, by kind of job (what a range held, and how far off its middle was):")
    put_table(
        ("PROJECT", "KIND", "RUNS", "HALF TOOK LESS THAN", "ESTIMATES"),
        (
            (one.project, one.name, str(one.runs), fmt.duration(one.median_ms, figures=2), error_words(one) or "none was told before")
            for one in errors
        ),
    )  # fmt: skip
