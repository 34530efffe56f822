"""`opsconsole people`: who may do what; `people rename NAME NEW`; `people revoke NAME… | --all`."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from opsconsole_console import format as fmt
from opsconsole_console.cli.option import add_action, add_json
from opsconsole_console.cli.output import put_json, put_table, say
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import with_client
from opsconsole_protocol.error import InvalidRequest

if TYPE_CHECKING:
    from opsconsole.client import Client
    from opsconsole_protocol.api import PersonRow

_ACTIONS = {
    "rename": "NAME NEW: give somebody another name",
    "revoke": "NAME… | --all: shut people out for good; their open connections end at once",
}


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb("people", people)
    add_action(parser, _ACTIONS, or_none=True)
    parser.add_argument("names", nargs="*", metavar="NAME", help="what people are called here")
    parser.add_argument(
        "--all",
        action="store_true",
        help="with revoke: everybody but the token in the data folder, and all open invitations",
    )
    add_json(parser)


def people(args: argparse.Namespace) -> int:
    """List, rename or revoke."""
    _check(args)

    async def work(client: Client) -> list[PersonRow]:
        if args.action == "rename":
            return [await client.rename_person(*args.names)]
        if args.action == "revoke":
            return await client.revoke_people(*args.names, everybody=args.all)
        return await client.people()

    rows = with_client(args, work)
    if args.json:
        put_json(*rows)
    elif rows:
        now_ms = time.time_ns() // 1_000_000
        put_table(("NAME", "ROLE", "SINCE", "CONNECTIONS", "STATE"), (_cells(row, now_ms) for row in rows))
    else:
        say("nobody but the token in the data folder: `opsconsole invite --role operator` lets somebody in")
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.action != "revoke" and args.all:
        raise InvalidRequest("--all goes with `people revoke`")
    if args.action == "rename" and len(args.names) != 2:
        raise InvalidRequest("write: opsconsole people rename NAME NEW")
    if args.action == "revoke" and args.all is bool(args.names):
        raise InvalidRequest("name those to revoke, or say --all and no name")


def _cells(row: PersonRow, now_ms: int) -> tuple[str, ...]:
    since = "" if row.joined_at_ms is None else fmt.age(row.joined_at_ms, now_ms)
    state = "has the data folder's token" if row.is_local else "may come in"
    if row.revoked_at_ms is not None:
        state = f"revoked {fmt.age(row.revoked_at_ms, now_ms)} ago"
    elif row.credentials > 1:
        state = f"may come in, from {row.credentials} places"
    return (row.name, row.role, since, str(row.connections), state)
