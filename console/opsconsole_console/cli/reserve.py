"""`opsconsole reserve NAME… --for-project P --from T --until T`; `reserve list`; `reserve cancel ID…`."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from opsconsole_console.cli.option import add_json, at_least
from opsconsole_console.cli.output import put, put_json, put_table, say
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import with_client
from opsconsole_console.model.reservation import from_and_until, holder_words, when, worker_words
from opsconsole_protocol.error import InvalidRequest

if TYPE_CHECKING:
    from opsconsole.client import Client
    from opsconsole_protocol.api import ReservationRow

_EPILOG = """\
  NAME… OPTIONS   reserve these workers, for whom and when is said by options
  list            all reservations that haven't ended
  cancel ID…      take reservations back

a time is now, 2026-12-01T09:00 here, or +8h: from now, with --until after the beginning"""


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb("reserve", reserve)
    parser.epilog = _EPILOG
    parser.add_argument("names", nargs="+", metavar="NAME", help="a worker's name or id; or list; or cancel and ids")
    parser.add_argument("--for-project", default="", metavar="NAME", help="only its jobs are placed there meanwhile")
    parser.add_argument("--for-person", default="", metavar="NAME", help="only this person's jobs are")
    parser.add_argument("--maintenance", action="store_true", help="no job is, and what runs leaves at the beginning")
    parser.add_argument("--from", dest="begin", default="now", metavar="TIME", help="when it begins (%(default)s)")
    parser.add_argument("--until", default="", metavar="TIME", help="when it ends: +8h, or 2026-12-01T17:00")
    parser.add_argument("--gpus", type=at_least(1), metavar="N", help="only so many GPUs of each worker")
    parser.add_argument("--reason", default="", metavar="TEXT", help="what for")
    add_json(parser, "one JSON object a line: the reservations")


def reserve(args: argparse.Namespace) -> int:
    """Reserve, list or cancel."""
    word, *ids = args.names
    if word == "cancel":
        return _cancel(args, ids)
    if word == "list" and not ids:
        return _list(args)
    if not args.until:
        raise InvalidRequest("say when it ends: --until +8h, or --until 2026-12-01T17:00")
    from_ms, until_ms = from_and_until(args.begin, args.until, time.time_ns() // 1_000_000)

    async def work(client: Client) -> ReservationRow:
        return await client.reserve(
            *args.names, from_ms=from_ms, until_ms=until_ms, project=args.for_project, person=args.for_person,
            maintenance=args.maintenance, gpus=args.gpus, reason=args.reason,
        )  # fmt: skip

    row = with_client(args, work)
    if args.json:
        put_json(row)
    else:
        put(row.id)
        times = f"from {when(row.from_ms)} until {when(row.until_ms)}"
        say(f"{worker_words(row)} {holder_words(row)} {times}")
    return 0


def _list(args: argparse.Namespace) -> int:
    async def work(client: Client) -> list[ReservationRow]:
        return await client.reservations()

    rows = with_client(args, work)
    if args.json:
        put_json(*rows)
    elif rows:
        put_table(("ID", "WORKERS", "FOR", "FROM", "UNTIL", "BY", "STATE", "REASON"), map(_cells, rows))
    else:
        say("nothing is reserved")
    return 0


def _cancel(args: argparse.Namespace, ids: list[str]) -> int:
    if not ids:
        raise InvalidRequest("name what to cancel: opsconsole reserve cancel ID (opsconsole reserve list shows them)")

    async def work(client: Client) -> list[str]:
        return [await client.cancel_reservation(one) for one in ids]

    for words in with_client(args, work):
        say(words)
    return 0


def _cells(row: ReservationRow) -> tuple[str, ...]:
    return (
        row.id, worker_words(row), holder_words(row), when(row.from_ms), when(row.until_ms),
        row.made_by, "in force" if row.in_force else "planned", row.reason,
    )  # fmt: skip
