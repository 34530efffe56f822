"""`opsconsole add JOB --sweep K=A,B,C`: more tasks for a sweep."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from opsconsole_console.cli.option import add_job
from opsconsole_console.cli.output import put
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import with_client
from opsconsole_console.cli.sweep_option import add_sweep_options, swept_points
from opsconsole_protocol.error import InvalidRequest

if TYPE_CHECKING:
    from opsconsole.client import Client


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb(
        "add", add_tasks,
        epilog="Every parameter of the sweep is named, unless all its tasks have the same value of it. Points that it has\n"
        "already are left out, so that asking twice adds nothing twice.",
    )  # fmt: skip
    add_job(parser)
    add_sweep_options(parser.add_argument_group("the points"))


def add_tasks(args: argparse.Namespace) -> int:
    """`opsconsole add`."""
    points = swept_points(args)
    if not points:
        raise InvalidRequest("say which points to add, for example --sweep lr=0.1,0.01")

    async def work(client: Client) -> str:
        return await client.add_tasks(args.id, points)

    put(with_client(args, work))
    return 0
