"""`opsconsole config example | path | check`."""

from __future__ import annotations

import argparse

from opsconsole_console.boot.composition import notice_rules, telling
from opsconsole_console.boot.config import EXAMPLE_FILE, config_path, load_config
from opsconsole_console.cli.output import put
from opsconsole_console.cli.parser import Group


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb("config", config)
    parser.add_argument("action", choices=("example", "path", "check"), metavar="ACTION", help="example | path | check")


def config(args: argparse.Namespace) -> int:
    """`opsconsole config`."""
    if args.action == "example":
        put(*EXAMPLE_FILE.read_text(encoding="utf-8").splitlines())
        return 0
    path = config_path(args.config)
    if args.action == "path":
        put(str(path))
        return 0
    config = load_config(args.config)
    notice_rules(config)
    telling(config)
    put(f"{path} is fine" if path.exists() else f"{path} doesn't exist: all defaults")
    return 0
