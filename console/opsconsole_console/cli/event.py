"""`opsconsole events` and `opsconsole health`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from opsconsole_console import format as fmt
from opsconsole_console.cli.option import add_json, add_limit
from opsconsole_console.cli.output import cut_list, put, put_json, put_table, say
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import with_client
from opsconsole_protocol.api import PAGE_MAX

if TYPE_CHECKING:
    from opsconsole.client import Client
    from opsconsole_protocol.api import EventRow, Health


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb("events", list_events)
    parser.add_argument("subject", nargs="?", default="", metavar="SUBJECT", help="only about this job, task or worker")
    add_limit(parser, 50)
    add_json(parser)
    parser = group.verb("health", health)
    add_json(parser, "one JSON object")


def list_events(args: argparse.Namespace) -> int:
    """`opsconsole events`."""

    async def work(client: Client) -> list[EventRow]:
        rows: list[EventRow] = []
        while len(rows) <= args.limit:
            before_seq = rows[-1].seq if rows else None
            asked = min(PAGE_MAX, args.limit + 1 - len(rows))
            page = await client.events(args.subject, limit=asked, before_seq=before_seq)
            rows += page
            if len(page) < asked:
                break
        return rows

    rows = cut_list(with_client(args, work), args.limit, "the newest")[::-1]
    if args.json:
        put_json(*rows)
    elif rows:
        put_table(("TIME", "ACTOR", "KIND", "SUBJECT", "TEXT"), (event_cells(row) for row in rows))
    else:
        say("no events")
    return 0


def event_cells(row: EventRow) -> tuple[str, ...]:
    """An event as a table shows it."""
    return fmt.stamp(row.at_ms), row.actor, row.kind, row.subject, row.text


def health(args: argparse.Namespace) -> int:
    """`opsconsole health`."""

    async def work(client: Client) -> Health:
        return await client.health()

    found = with_client(args, work)
    if args.json:
        put_json(found)
    else:
        state = "healthy" if found.healthy else f"not healthy: {found.trouble or 'it does not say why'}"
        put(
            f"{state}, up {fmt.duration(found.uptime_ms, figures=2)}, {fmt.plural(found.workers, 'worker')}, "
            f"{fmt.plural(found.running_tasks, 'task')} running, {found.pending_tasks:,} waiting"
        )
        if found.adopting:
            say(
                "restored from a backup: it stops nothing that it doesn't know until you say `opsconsole confirm-restore`"
            )
    return 0 if found.healthy else 1
