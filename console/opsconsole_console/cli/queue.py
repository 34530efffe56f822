"""`opsconsole move`, `pop`, `clear`, `max-parallel`: the queue as such."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from opsconsole_console.cli.option import add_job, at_least, whole
from opsconsole_console.cli.output import plain, put, put_json, say
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import with_client
from opsconsole_protocol.error import InvalidRequest

if TYPE_CHECKING:
    from opsconsole.client import Client
    from opsconsole_protocol.api import Popped


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb(
        "move", move,
        epilog="Only jobs of one person, project and priority have an order of their own; among others, priorities and\n"
        "shares decide, and the answer says so.",
    )  # fmt: skip
    add_job(parser, many=True)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--before", metavar="JOB", default="", help="to the place before this job")
    where.add_argument("--after", metavar="JOB", default="", help="to the place after this job")
    where.add_argument("--first", dest="to", action="store_const", const="first", help="to the first place")
    where.add_argument("--last", dest="to", action="store_const", const="last", help="to the last place")
    parser = group.verb(
        "pop", pop,
        epilog="Two who ask at once get two jobs. Only jobs that wait for nothing but a worker are taken, none of which has begun.\n"
        "Exit code 1 where none waits.",
    )  # fmt: skip
    parser.add_argument("index", nargs="?", type=whole, default=0, metavar="N",
                        help="which one, from 0 in the order of the queue; -1 is the last (0)")  # fmt: skip
    parser.add_argument("--project", metavar="P", default="", help="of this project's (of all)")
    parser.add_argument("--hold", action="store_true", help="hold it, so that `opsconsole release` gives it back")
    parser = group.verb("clear", clear)
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("--dry-run", action="store_true", help="only list the jobs that would go")
    parser = group.verb("max-parallel", set_max_parallel)
    add_job(parser)
    parser.add_argument(
        "number", metavar="N", help="how many of its tasks run at a time; `any`: as many as there is room for"
    )


def move(args: argparse.Namespace) -> int:
    """`opsconsole move`."""

    async def work(client: Client) -> str:
        return await client.move(*args.ids, before=args.before, after=args.after, to=args.to or "")

    put(with_client(args, work))
    return 0


def pop(args: argparse.Namespace) -> int:
    """`opsconsole pop`: the job's id and spec as one JSON object."""

    async def work(client: Client) -> Popped:
        return await client.pop(args.project, args.index, hold=args.hold)

    popped = with_client(args, work)
    put_json({"id": popped.job.id, "state": popped.job.state, "spec": plain(popped.spec)})
    return 0


def clear(args: argparse.Namespace) -> int:
    """`opsconsole clear`: the ids of what was cancelled."""

    async def work(client: Client) -> list[str]:
        return await client.clear(args.project, dry_run=args.dry_run)

    ids = with_client(args, work)
    if ids:
        put(*ids)
    else:
        say(f"nothing waits in project {args.project}")
    return 0


def set_max_parallel(args: argparse.Namespace) -> int:
    """`opsconsole max-parallel`."""
    try:
        number = None if args.number == "any" else at_least(1)(args.number)
    except argparse.ArgumentTypeError as error:
        raise InvalidRequest(f"{error}, or `any`") from None

    async def work(client: Client) -> str:
        return await client.set_max_parallel(args.id, number)

    put(with_client(args, work))
    return 0
