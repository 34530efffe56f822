"""`opsconsole coordinators` and `opsconsole coordinator use | rename | forget NAME`: those that are kept by name."""

from __future__ import annotations

import argparse

from opsconsole_console.cli.option import add_action, add_json
from opsconsole_console.cli.output import put_json, put_table, say
from opsconsole_console.cli.parser import Group
from opsconsole_protocol.error import InvalidRequest

_ACTIONS = {
    "use": "the one that commands use when none is named; `local` is this machine's own",
    "rename": "give it another name: rename NAME NEW",
    "forget": "remove its credential from this machine",
}


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb("coordinators", list_all)
    add_json(parser)
    parser = group.verb("coordinator", change)
    add_action(parser, _ACTIONS)
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("new", metavar="NEW", nargs="?")


def list_all(args: argparse.Namespace) -> int:
    """`opsconsole coordinators`."""
    from opsconsole import saved_coordinator
    from opsconsole.endpoint import default_data_dir, is_running
    from opsconsole.resolver import default_url

    url, folder = default_url(), default_data_dir()
    rows = [
        {"name": one.shown_name, "default": one.url == url, "url": one.url, "user": one.actor, "role": one.role}
        for one in saved_coordinator.load_all()
    ]
    own = "runs on this machine" if is_running(folder) else "doesn't run now"
    rows.append(
        {"name": saved_coordinator.LOCAL, "default": url is None, "url": f"{folder} ({own})", "user": "", "role": ""}
    )
    if args.json:
        rows[-1]["url"] = None
        put_json(*rows)
        return 0
    cells = [("▸" if row["default"] else "", row["name"], row["user"], row["role"], row["url"]) for row in rows]
    put_table(("", "NAME", "YOU ARE", "ROLE", "WHERE"), [tuple(map(str, line)) for line in cells])
    return 0


def change(args: argparse.Namespace) -> int:
    """`opsconsole coordinator ACTION NAME`."""
    from opsconsole import saved_coordinator

    if (args.new is not None) != (args.action == "rename"):
        raise InvalidRequest("write `coordinator rename NAME NEW`, `coordinator use NAME` or `coordinator forget NAME`")
    match args.action:
        case "use":
            saved_coordinator.choose_default(args.name)
            say(f"{args.name} is what commands use when no coordinator is named")
        case "rename":
            saved_coordinator.rename(args.name, args.new)
            say(f"{args.name} is called {args.new} now")
        case _:
            saved_coordinator.forget(args.name)
            say(f"{args.name} is forgotten here; there, `opsconsole people` shows you until you are revoked")
    return 0
