"""`opsconsole project set NAME`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from opsconsole_console.cli.output import put
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import with_client

if TYPE_CHECKING:
    from opsconsole.client import Client


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb("project", set_project)
    parser.add_argument("action", choices=("set",), metavar="set", help="the only action there is")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--description", metavar="TEXT", help="what it is for")
    parser.add_argument("--status", choices=("active", "paused", "archived"), help="paused: start nothing of it")


def set_project(args: argparse.Namespace) -> int:
    """`opsconsole project set`."""

    async def work(client: Client) -> str:
        return await client.set_project(args.name, description=args.description, status=args.status)

    put(with_client(args, work) or f"{args.name} is set")
    return 0
