"""`opsconsole clean`: what ended tasks left on workers, shown and removed."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from opsconsole_console.cli.output import plain, put_json, put_table, say
from opsconsole_console.cli.parser import Group

if TYPE_CHECKING:
    from opsconsole.client import Client
    from opsconsole_protocol.api import Cleaned

_MIB = 1 << 20


def add(group: Group) -> None:
    """The verb of this file."""
    parser = group.verb(
        "clean", clean,
        epilog="Working folders and logs of attempts that have ended, and files that were found damaged and set aside.\n"
        "What belongs to a task that isn't over is never touched, nor are results in output folders.",
    )  # fmt: skip
    parser.add_argument("workers", nargs="*", metavar="WORKER", help="a worker's name or id; all of them without")
    parser.add_argument(
        "--older-than",
        metavar="TIME",
        default="1d",
        help="what nobody has changed for so long: 7d, 12h, 0s (default 1d)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only show what would go: so it is without --yes")
    parser.add_argument("--yes", action="store_true", help="remove it")
    parser.add_argument("--json", action="store_true", help="one JSON object a line: what can go, or has gone")


def clean(args: argparse.Namespace) -> int:
    """`opsconsole clean`."""
    from opsconsole_console.cli.event import stamp
    from opsconsole_console.cli.session import with_client
    from opsconsole_console.widget import format as fmt
    from opsconsole_protocol.quantity import duration_ms

    is_wanted = args.yes and not args.dry_run
    older_than_ms = duration_ms(args.older_than)

    async def work(client: Client) -> Cleaned:
        return await client.clean(*args.workers, older_than_ms=older_than_ms, remove=is_wanted)

    cleaned = with_client(args, work)
    for remark in cleaned.remarks:
        say(remark)
    if args.json:
        for row in cleaned.leavings:
            put_json({**plain(row), "removed": cleaned.removed})
        return 0
    size_mb = sum(row.bytes for row in cleaned.leavings) / _MIB
    if cleaned.leavings:
        put_table(
            ("WORKER", "SIZE", "CHANGED", "WHAT", "WHERE"),
            (
                (row.worker, f"{row.bytes / _MIB:,.1f}M", stamp(row.at_ms), row.why, row.path)
                for row in cleaned.leavings
            ),
        )
    what = f"{fmt.plural(len(cleaned.leavings), 'thing')}, {size_mb:,.1f}M"
    if not cleaned.leavings:
        say(f"nothing that has lain there for {args.older_than}")
    else:
        say(f"removed: {what}" if cleaned.removed else f"{what} can go: say --yes")
    return 0
