"""`opsconsole filters` and `opsconsole filter save | remove NAME`: filters on jobs that are kept by name on this machine."""

from __future__ import annotations

import argparse

from opsconsole_console.cli.option import add_action, add_json
from opsconsole_console.cli.output import put_json, put_table, say
from opsconsole_console.cli.parser import Group
from opsconsole_protocol.error import InvalidRequest

_ACTIONS = {
    "save": "save NAME FILTER…: keep a filter, in place of an earlier one of this name",
    "remove": "remove NAME: let go of one",
}


def add(group: Group) -> None:
    """The verbs of this file."""
    add_json(group.verb("filters", list_all))
    parser = group.verb("filter", change)
    add_action(parser, _ACTIONS)
    parser.add_argument("name", metavar="NAME", help="what it is called: `opsconsole jobs --saved NAME` uses it")
    parser.add_argument(
        "filter", nargs="*", metavar="FILTER", help="what it lets through, as `opsconsole jobs` takes it"
    )


def list_all(args: argparse.Namespace) -> int:
    """`opsconsole filters`."""
    from opsconsole_console.service import saved_filter

    found = saved_filter.load_all()
    if args.json:
        put_json(*({"name": name, "filter": one.text, "inverted": one.inverted} for name, one in found.items()))
    elif found:
        put_table(("NAME", "FILTER"), [(name, one.label) for name, one in found.items()])
    else:
        say("no filter is saved: `opsconsole filter save mine user=ana` keeps one")
    return 0


def change(args: argparse.Namespace) -> int:
    """`opsconsole filter ACTION NAME`."""
    from opsconsole_console.service import saved_filter

    if bool(args.filter) != (args.action == "save"):
        raise InvalidRequest("write `filter save NAME FILTER…` or `filter remove NAME`")
    if args.action == "save":
        saved_filter.save(args.name, " ".join(args.filter))
        say(f"saved as {args.name}: `opsconsole jobs --saved {args.name}`, and `:filter {args.name}` in the console")
    else:
        saved_filter.remove(args.name)
        say(f"{args.name} is removed")
    return 0
