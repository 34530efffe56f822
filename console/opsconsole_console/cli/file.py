"""`opsconsole ls WORKER[:FOLDER] | ls JOB[/task-N][:FOLDER]`."""

from __future__ import annotations

import argparse
import base64
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from opsconsole_console import format as fmt
from opsconsole_console.cli.option import add_json, add_limit
from opsconsole_console.cli.output import put, put_json, put_table, say
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import with_client
from opsconsole_protocol.error import InvalidRequest, NotFound, Unavailable

if TYPE_CHECKING:
    from opsconsole.client import Client
    from opsconsole_protocol.file_listing import FileEntry, FilePage
    from opsconsole_protocol.stream.message import FileRoot

_OF = ("output", "input", "work")
_NOTES_MAX = 4


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

    async def work(client: Client) -> tuple[list[FileEntry], FilePage | None]:
        worker, root, folder, hint, tasks = await _where(client, args)
        if args.find and tasks > 1:
            return await _found_in_tasks(client, args, root, tasks)
        found: list[FileEntry] = []
        last = None
        try:
            async for page in _pages(client, args, worker, root, folder):
                found += page.entries
                last = page
        except NotFound as error:
            raise NotFound(f"{error.message}; {hint}" if hint else error.message) from None
        return found, last

    entries, page = with_client(args, work)
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


async def _where(client: Client, args: argparse.Namespace) -> tuple[str, FileRoot, bytes, str, int]:
    """Which worker, below what, which folder, what may have been meant where that isn't there, and of how many tasks it is."""
    import os

    from opsconsole.transfer.place import label_hint, place_of
    from opsconsole_console.cli.where import AtWorker, find_where
    from opsconsole_protocol.stream.message import FileRoot, RootKind

    where = await find_where(client, args.where)
    if isinstance(where, AtWorker):
        if args.of:
            raise InvalidRequest(f"--of is about a job's folders: {where.worker.name} is a worker")
        place = place_of(where.worker, where.folder)
        return where.worker.id, place.root, place.folder, label_hint(where.worker, where.folder), 1
    parts = [part for part in where.folder.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise InvalidRequest(f"{where.folder!r} leads out of its folder: name the folder without ..")
    root = FileRoot(kind=RootKind(args.of or "output"), job_id=where.job.id, task_index=where.task_index)
    tasks = where.job.num_tasks if where.task_index is None and not parts else 1
    return "", root, os.fsencode("/".join(parts)), "", tasks


async def _found_in_tasks(
    client: Client, args: argparse.Namespace, root: FileRoot, tasks: int
) -> tuple[list[FileEntry], FilePage]:
    """What is found in the folders of a job's tasks, one after the other, as far as their workers can be asked."""
    from msgspec.structs import replace

    from opsconsole_protocol.file_listing import FilePage

    found: list[FileEntry] = []
    notes: dict[str, list[int]] = {}
    is_cut = False
    for index in range(tasks):
        if len(found) >= args.limit:
            is_cut = True
            break
        try:
            async for page in _pages(client, args, "", replace(root, task_index=index), b"", len(found)):
                found += (replace(one, name=b"task-%d/%s" % (index, one.name)) for one in page.entries)
                is_cut = is_cut or page.truncated
                if page.note:
                    notes.setdefault(page.note, []).append(index)
                if page.more and len(found) >= args.limit:
                    is_cut = True
        except (NotFound, Unavailable) as error:
            notes.setdefault(error.message, []).append(index)
    note = "; ".join(f"{_tasks_words(indexes)}: {words}" for words, indexes in list(notes.items())[:_NOTES_MAX])
    more = f"; and {len(notes) - _NOTES_MAX} more" if len(notes) > _NOTES_MAX else ""
    return found, FilePage(entries=(), total=len(found), truncated=is_cut, note=note + more)


def _tasks_words(indexes: list[int]) -> str:
    names = ", ".join(f"task-{index}" for index in indexes[:_NOTES_MAX])
    return names if len(indexes) <= _NOTES_MAX else f"{names} and {len(indexes) - _NOTES_MAX:,} more"


async def _pages(
    client: Client, args: argparse.Namespace, worker: str, root: FileRoot, folder: bytes, before: int = 0
) -> AsyncIterator[FilePage]:
    """`before`: how many entries of the limit are found already."""
    from opsconsole.ask import ask
    from opsconsole_protocol.api import FileList, ListFiles
    from opsconsole_protocol.file_listing import LISTING_ENTRIES_MAX, FileQuery, FileSort

    offset = 0
    while before + offset < args.limit:
        query = FileQuery(
            root=root, folder=folder, sort=FileSort(args.sort), descending=args.reverse, offset=offset,
            limit=min(LISTING_ENTRIES_MAX, args.limit - before - offset), pattern=args.find,
        )  # fmt: skip
        page = (await ask(client, ListFiles(worker=worker, query=query), FileList)).page
        yield page
        offset += len(page.entries)
        if not page.more or not page.entries:
            return


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
