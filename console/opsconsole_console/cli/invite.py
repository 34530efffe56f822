"""`opsconsole invite`: the one line that lets a worker, or a person, in; and the lines that are still good."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from opsconsole_console import format as fmt
from opsconsole_console.cli.option import add_json, at_least, milliseconds
from opsconsole_console.cli.output import put, put_json, put_table, say
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import with_client
from opsconsole_console.model.invitation import ROLES, command_of, loopback_advice
from opsconsole_protocol.error import InvalidRequest

if TYPE_CHECKING:
    from opsconsole.client import Client
    from opsconsole_protocol.api import InvitationRow, Invited


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb("invite", invite)
    parser.add_argument("--ttl", metavar="T", type=milliseconds, default=3_600_000, help="how long it is valid (1h)")
    parser.add_argument("--uses", metavar="N", type=at_least(1), default=1, help="how many workers it lets in (1)")
    parser.add_argument("--name", metavar="N", default="", help="what the worker shall be called")
    parser.add_argument("--tag", metavar="K[=V]", action="append", default=[], help="a tag for the worker; repeatable")
    parser.add_argument(
        "--role",
        choices=ROLES,
        default="worker",
        help="let in a worker (the default), or a person with this role",
    )
    parser.add_argument("--list", action="store_true", help="instead, list the invitations that still let somebody in")
    parser.add_argument(
        "--revoke",
        metavar="ID",
        action="append",
        default=[],
        help="instead, take one back, by its id or `all`; repeatable",
    )
    add_json(parser, "one JSON object: line, command, role, expires_at_ms")


def invite(args: argparse.Namespace) -> int:
    """`opsconsole invite`."""
    if args.list or args.revoke:
        return _manage(args)

    async def work(client: Client) -> Invited:
        return await client.invite(args.role, ttl_ms=args.ttl, uses=args.uses, name=args.name, tags=args.tag)

    invited = with_client(args, work)
    command = command_of(invited.line, args.role)
    if args.json:
        put_json({"line": invited.line, "command": command, "role": args.role, "expires_at_ms": invited.expires_at_ms})
        return 0
    put(command)
    left_ms = invited.expires_at_ms - time.time_ns() // 1_000_000
    uses = "once" if args.uses == 1 else f"{args.uses} times"
    say(f"valid {uses}, for {fmt.duration(max(0, left_ms), figures=2)}; it holds a secret")
    if advice := loopback_advice(invited.line):
        say(advice)
    return 0


def _manage(args: argparse.Namespace) -> int:
    """`--list` and `--revoke`."""
    if args.list and args.revoke:
        raise InvalidRequest("--list and --revoke are two things to do: one after the other")

    async def work(client: Client) -> list[InvitationRow]:
        if args.list:
            return await client.invitations()
        if "all" in args.revoke:
            return await client.revoke_invitations(everything=True)
        return await client.revoke_invitations(*args.revoke)

    rows = with_client(args, work)
    if args.json:
        put_json(*rows)
    elif rows:
        now_ms = time.time_ns() // 1_000_000
        put_table(("ID", "ROLE", "NAME", "TAGS", "USES", "GOOD FOR", "BY"), (_cells(row, now_ms) for row in rows))
    if args.revoke:
        say(f"{len(rows)} taken back; who came in by them stays")
    elif not rows:
        say("no invitation is open")
    return 0


def _cells(row: InvitationRow, now_ms: int) -> tuple[str, ...]:
    left = fmt.duration(max(0, row.expires_at_ms - now_ms), figures=2)
    return (row.id, row.role, row.name, ", ".join(row.tags), str(row.uses_left), left, row.created_by)
