"""`opsconsole invite`: the one line that lets a worker, or a person, in."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from opsconsole_console.app.invitation import LOOPBACK_ADVICE, ROLES, command_of, is_local
from opsconsole_console.cli.output import put, put_json, say
from opsconsole_console.cli.parser import Group, at_least, milliseconds

if TYPE_CHECKING:
    from opsconsole.client import Client
    from opsconsole_protocol.api import Invited


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb("invite", invite)
    parser.add_argument("--ttl", metavar="T", type=milliseconds, default=3_600_000, help="valid for so long (1h)")
    parser.add_argument("--uses", metavar="N", type=at_least(1), default=1, help="for so many workers (1)")
    parser.add_argument("--name", metavar="N", default="", help="what the worker shall be called")
    parser.add_argument("--tag", metavar="K[=V]", action="append", default=[], help="a tag for the worker; repeatable")
    parser.add_argument(
        "--role",
        choices=ROLES,
        default="worker",
        help="invite a person instead: viewer, operator or admin",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object: line, command, role, expires_at_ms")


def invite(args: argparse.Namespace) -> int:
    """`opsconsole invite`."""
    from opsconsole_console.cli.session import with_client
    from opsconsole_console.widget import format as fmt

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
    say(f"valid {uses}, for {fmt.duration_exact(max(0, left_ms))}; it holds a secret")
    if is_local(invited.line):
        say(LOOPBACK_ADVICE)
    return 0
