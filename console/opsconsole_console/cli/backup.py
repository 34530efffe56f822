"""`opsconsole backup` and what follows a restore."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from opsconsole_console.cli.output import say
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import with_client

if TYPE_CHECKING:
    from opsconsole.client import Client


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb(
        "backup", backup,
        epilog="Copies the store while it is in use. To restore, stop the coordinator, put the copy in the place of\n"
        "opsconsole.db in its data folder (without -wal and -shm files beside it) and start it again. Logs, the\n"
        "certificate and the operator's token are files beside it and aren't part of the copy.",
    )  # fmt: skip
    parser.add_argument("file", metavar="FILE", type=Path, help="a new file on the coordinator's machine")
    group.verb("confirm-restore", confirm_restore)


def backup(args: argparse.Namespace) -> int:
    """`opsconsole backup FILE`."""
    path = str(args.file.expanduser().absolute())

    async def work(client: Client) -> str:
        return await client.backup(path)

    say(with_client(args, work))
    return 0


def confirm_restore(args: argparse.Namespace) -> int:
    """`opsconsole confirm-restore`."""

    async def work(client: Client) -> str:
        return await client.confirm_restore()

    say(with_client(args, work))
    return 0
