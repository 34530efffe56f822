"""`opsconsole pause | resume | cancel | retry | hold | release ID…` and `priority`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from opsconsole_console.cli.option import add_json, add_tasks
from opsconsole_console.cli.output import put, put_json
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import with_client
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.spec import PauseBy

if TYPE_CHECKING:
    from opsconsole.client import Client

_VERBS = ("pause", "resume", "cancel", "retry", "hold", "release")


def add(group: Group) -> None:
    """The verbs of this file."""
    for verb in _VERBS:
        parser = group.verb(verb, act)
        parser.set_defaults(verb=verb)
        add_tasks(parser, many=True)
        parser.add_argument("--reason", metavar="TEXT", default="", help="why, for whoever looks at the job later")
        if verb == "pause":
            parser.add_argument(
                "--by",
                choices=list(PauseBy),
                help="freeze: stop it where it is; checkpoint: have it save one and free its GPU; asked again, it has as long again (default: as the job says)",
            )
        add_json(parser, "one JSON object a line: id, result")
    parser = group.verb("priority", set_priority)
    add_tasks(parser, many=False)
    parser.add_argument("priority", metavar="N", help="the new priority; +N or -N changes it by so much")


def act(args: argparse.Namespace) -> int:
    """Do the verb to all ids, and say what happened to each."""

    async def work(client: Client) -> list[tuple[str, str]]:
        by = getattr(args, "by", None)
        return await client.act(args.verb, args.ids, args.reason, by and PauseBy(by))

    for one, text in with_client(args, work):
        if args.json:
            put_json({"id": one, "result": text})
        else:
            put(f"{one}  {text}")
    return 0


def set_priority(args: argparse.Namespace) -> int:
    """`opsconsole priority`."""
    try:
        number = int(args.priority)
    except ValueError:
        raise InvalidRequest(f"{args.priority!r} is not a priority: write 10, +5 or -5") from None

    async def work(client: Client) -> str:
        return await client.set_priority(args.id, number, relative=args.priority[0] in "+-")

    put(with_client(args, work))
    return 0
