"""`opsconsole worker drain | undrain | revoke | remove NAME…`."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from opsconsole_console.cli.listing import worker_object
from opsconsole_console.cli.option import add_action, add_json, milliseconds
from opsconsole_console.cli.output import put, put_json
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import with_client
from opsconsole_console.model.drain import drain_words
from opsconsole_protocol.error import InvalidRequest

if TYPE_CHECKING:
    from opsconsole.client import Client
    from opsconsole_protocol.api import WorkerRow

_ACTIONS = {
    "drain": "give it nothing new; what runs there goes on",
    "undrain": "let it take tasks again",
    "revoke": "shut it out for good: its credential is no longer accepted",
    "remove": "forget it, with its credential: one that is gone for good, or was revoked",
}


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb("worker", set_worker)
    add_action(parser, _ACTIONS)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a worker's name or id")
    parser.add_argument("--all", action="store_true", help="with revoke: every worker, instead of names")
    parser.add_argument("--reason", default="", metavar="TEXT", help="with drain: what for")
    parser.add_argument(
        "--within", type=milliseconds, metavar="2h",
        help="with drain: what still runs after this time leaves: it saves a checkpoint if it can, else it is ended; it goes on elsewhere",
    )  # fmt: skip
    add_json(parser, "one JSON object a line: the workers afterwards")


def set_worker(args: argparse.Namespace) -> int:
    """Do the action to every worker named."""
    if args.all is bool(args.names):
        raise InvalidRequest("name a worker, or with revoke say --all and no name")
    if args.all and args.action != "revoke":
        raise InvalidRequest(f"--all goes with revoke: name the workers to {args.action}")

    async def work(client: Client) -> list[WorkerRow]:
        if args.all:
            return await client.revoke_all_workers()
        return [
            row
            for name in args.names
            for row in await client.set_worker(name, args.action, reason=args.reason, within_ms=args.within)
        ]

    for row in with_client(args, work):
        if args.json:
            put_json(worker_object(row))
        else:
            done = {"revoke": "revoked", "remove": "removed"}.get(args.action)
            words = drain_words(row, time.time_ns() // 1_000_000)
            drained = f"  {words}" if words else ""
            put(f"{row.name}  {done or f'{row.status}  {row.running_tasks} tasks running{drained}'}")
    return 0
