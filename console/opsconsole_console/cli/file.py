"""`opsconsole ls WORKER[:FOLDER] | ls JOB[/task-N][:FOLDER]`."""

from __future__ import annotations

import argparse
import base64
from typing import TYPE_CHECKING, Any

from opsconsole_console import format as fmt
from opsconsole_console.cli.option import add_json, add_limit
from opsconsole_console.cli.output import put, put_json, put_table, say
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import with_client

if TYPE_CHECKING:
    from opsconsole_protocol.file_listing import FileEntry

_OF = ("output", "input", "work")


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb("ls", list_files, usage="opsconsole ls [options] WORKER[:FOLDER] | JOB[/task-N][:FOLDER]",
                        epilog="FOLDER counts from the worker's input folder; LABEL:FOLDER from another mount of it, and /FOLDER is a\n"
                        "whole path. Of a job it counts from its output folder, or from what --of names.")  # fmt: skip
    parser.add_argument("where", metavar="WHERE", help="a worker's folder, or a job's")
    parser.add_argument(
        "--of", choices=_OF, help="of a job: its results, what was brought to it, or its working folder (output)"
    )
    parser.add_argument("-l", "--long", action="store_true", help="with modes, sizes and dates")
    parser.add_argument("--sort", choices=("name", "size", "time"), default="name", help="by what (%(default)s)")
    parser.add_argument("-r", "--reverse", action="store_true", help="the other way round")
    parser.add_argument(
        "--find", metavar="PATTERN", default="", help="search all that lies below for this name or pattern"
    )
    parser.set_defaults(takes_bytes=True)
    add_limit(parser, 1_000)
    add_json(parser)


def list_files(args: argparse.Namespace) -> int:
    """`opsconsole ls`."""

    entries, page = with_client(
        args,
        lambda client: client.ls(
            args.where, of=args.of or "", sort=args.sort, reverse=args.reverse, find=args.find, limit=args.limit
        ),
    )
    if args.json:
        put_json(*map(_object, entries))
    elif args.long:
        put_table(("MODE", "SIZE", "CHANGED", "NAME"), map(_cells, entries))
    else:
        put(*map(_name, entries)) if entries else None
    if page is not None and page.note:
        say(f"opsconsole: {page.note}")
    if page is not None and (page.more or page.truncated):
        why = "-n shows more" if page.more else "the folder is too large to be listed whole"
        say(f"… {len(entries):,} of {page.total:,}{'+' * page.truncated}: {why}")
    return 0


def _object(entry: FileEntry) -> dict[str, Any]:
    """An entry as `--json` prints it; `name_base64` is there where the name isn't UTF-8."""
    name = entry.name.decode("utf-8", "replace")
    return {
        "name": name,
        "name_base64": None if name.encode() == entry.name else base64.b64encode(entry.name).decode(),
        "kind": entry.kind,
        "size_bytes": entry.size,
        "mtime_ms": entry.mtime_ms,
        "mode": f"{entry.mode:04o}",
        "leads_to": entry.leads_to,
    }


def _name(entry: FileEntry) -> str:
    """The name as one line, with a slash behind a folder and an @ behind a link."""
    sign = {"folder": "/", "link": "@"}.get(entry.kind, "")
    return entry.name.decode("utf-8", "replace") + sign


def _cells(entry: FileEntry) -> tuple[str, ...]:
    from opsconsole_protocol.file_listing import mode_words

    mode = mode_words(entry.kind, entry.mode, entry.special)
    size = fmt.size(entry.size) if entry.kind == "file" else ""
    return mode, size, fmt.stamp(entry.mtime_ms), _name(entry)
