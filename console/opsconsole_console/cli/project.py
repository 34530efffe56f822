"""`opsconsole project set NAME` and `opsconsole person set NAME`."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

from opsconsole_console.cli.output import put
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import with_client

if TYPE_CHECKING:
    from opsconsole.client import Client
    from opsconsole_protocol.share import ShareChange

_LIMITS = (("tasks", "tasks"), ("gpus", "GPUs"), ("cpus", "CPUs"), ("memory_mb", "memory, 64G or in MB"))


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb("project", set_project)
    parser.add_argument("action", choices=("set",), metavar="set", help="the only action there is")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--create", action="store_true", help="make it, where there is none")
    parser.add_argument("--description", metavar="TEXT", help="what it is for")
    parser.add_argument("--status", choices=("active", "paused", "archived"), help="paused: start nothing of it")
    parser.add_argument(
        "--preemptible",
        choices=("yes", "no"),
        help="whether its tasks make way for jobs whose priority is in a higher hundred",
    )
    parser.add_argument(
        "--place",
        choices=("pack", "spread", "none"),
        help="where tasks of its new jobs go that don't say (submit --place)",
    )
    _add_share(parser, "project")
    parser = group.verb("person", set_person)
    parser.add_argument("action", choices=("set",), metavar="set", help="the only action there is")
    parser.add_argument("name", metavar="NAME", help="as `opsconsole jobs` says who submitted")
    _add_share(parser, "person")


def _add_share(parser: argparse.ArgumentParser, who: str) -> None:
    parser.add_argument(
        "--weight",
        metavar="W",
        type=partial(_amount, "weight"),
        help=f"a {who} of weight 2 gets twice as much as one of 1 (1)",
    )
    for name, words in _LIMITS:
        parser.add_argument(
            f"--max-{name.replace('_mb', '')}", dest=name, metavar="N", type=partial(_amount, name.replace("_mb", "")),
            help=f"how much of it it may have at a time: {words}; `none` lifts the limit",
        )  # fmt: skip


def _amount(short: str, text: str) -> float:
    from opsconsole_console.model.usage import read_amount
    from opsconsole_protocol.error import InvalidRequest

    try:
        return read_amount(short, text)
    except InvalidRequest as error:
        raise argparse.ArgumentTypeError(error.message) from None


def _share(args: argparse.Namespace) -> ShareChange | None:
    from opsconsole_protocol.share import ShareChange

    change = ShareChange(weight=args.weight, **{name: getattr(args, name) for name, _ in _LIMITS})
    return None if change == ShareChange() else change


def set_project(args: argparse.Namespace) -> int:
    """`opsconsole project set`."""

    async def work(client: Client) -> str:
        preemptible = None if args.preemptible is None else args.preemptible == "yes"
        place = "" if args.place == "none" else args.place
        return await client.set_project(
            args.name, description=args.description, status=args.status, share=_share(args), preemptible=preemptible,
            place=place, create=args.create,
        )  # fmt: skip

    put(with_client(args, work) or f"{args.name} is set")
    return 0


def set_person(args: argparse.Namespace) -> int:
    """`opsconsole person set`."""
    from opsconsole_protocol.share import ShareChange

    async def work(client: Client) -> str:
        return await client.set_person(args.name, _share(args) or ShareChange())

    put(with_client(args, work))
    return 0
