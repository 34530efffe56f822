"""`opsconsole put FILE… WORKER[:FOLDER]`, `opsconsole get JOB[/task-N] [PATTERN…]` and `opsconsole transfers`."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opsconsole_console import format as fmt
from opsconsole_console.cli.content_option import add_via
from opsconsole_console.cli.interruption import explained
from opsconsole_console.cli.option import add_action, add_json, add_limit
from opsconsole_console.cli.output import cut, plain, put, put_json, put_table, say
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.progress_line import ProgressLine, summary
from opsconsole_console.cli.session import RECONNECT_S, with_client
from opsconsole_protocol.content.glob import check_glob, literal, spelled
from opsconsole_protocol.error import InvalidRequest, NotFound, OpsconsoleError

if TYPE_CHECKING:
    from opsconsole.client import Client
    from opsconsole.transfer.board import TransferBoard
    from opsconsole.transfer.download import Brought
    from opsconsole.transfer.pending import PendingFetch, PendingGet
    from opsconsole.transfer.row import TransferRow
    from opsconsole.transfer.transfer import Transfer
    from opsconsole_protocol.ids import ContentId

CELL_MAX = 300
"""Cells of a line's last column where it isn't a terminal that cuts it: names may be of any length."""
_GOES_ON = "stopped: the same command goes on where this one was"
_ACTIONS = {
    "list": "what waits to be sent or brought, and what has been transferred lately",
    "resume": "send what queued jobs want from this machine, and bring results that are pending, until all is done",
    "forget": "let go of one that waits, by its id",
}


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb("put", put_files, usage="opsconsole put [options] FILE… WORKER[:FOLDER]",
                        epilog="FOLDER counts from the worker's input folder; LABEL:FOLDER from another mount of it, and /FOLDER is\n"
                        "a whole path, there or as it is called here. Without FOLDER: the input folder itself.")  # fmt: skip
    parser.add_argument("files", nargs="+", metavar="FILE", help="a file or folder of this machine")
    parser.add_argument("--force", action="store_true", help="files that are there and differ give way")
    parser.set_defaults(takes_bytes=True)
    add_via(parser)
    add_json(parser, "one JSON object: the transfer as it ended")
    parser = group.verb("get", get_files, usage="opsconsole get [options] JOB[/task-N][:FOLDER] | WORKER:FOLDER [PATTERN…]",
                        epilog="A PATTERN such as 'models/*' or '**/*.csv' counts from the job's output folder, or a task's. Files keep\n"
                        "their path below that. WORKER:FOLDER in place of JOB brings what is in a folder of a worker.")  # fmt: skip
    parser.add_argument("id", metavar="JOB", help="a job, its first characters, JOB/task-N, or WORKER:FOLDER")
    parser.add_argument("patterns", nargs="*", default=[], metavar="PATTERN", help="only what matches one of these")
    parser.add_argument("--to", metavar="DIR", type=Path, default=Path(), help="where to (this folder)")
    parser.add_argument("--force", action="store_true", help="files that are here and differ give way")
    parser.set_defaults(takes_bytes=True)
    add_via(parser)
    add_json(parser, "one JSON object: the transfer as it ended, with its files")
    parser = group.verb("transfers", transfers)
    add_action(parser, _ACTIONS, or_none=True)
    parser.add_argument("id", nargs="?", metavar="ID", help="with forget: which one")
    add_limit(parser, 20)
    add_json(parser)


def put_files(args: argparse.Namespace) -> int:
    """`opsconsole put`."""
    from opsconsole_protocol.stream.message import Via

    *files, where = args.files
    if not files:
        raise InvalidRequest("name a file and a worker: opsconsole put FILE… WORKER[:FOLDER]")
    name, _, folder = where.partition(":")
    paths = [Path(one).expanduser() for one in files]

    async def begin(client: Client, board: TransferBoard) -> Transfer:
        from opsconsole.transfer.place import find_worker

        worker = find_worker(await client.workers(), name)
        return board.put(paths, worker, folder, replace=args.force, via=Via(args.via))

    row, _ = _carried_out(args, begin)
    if args.json:
        put_json(row)
    return 0


def get_files(args: argparse.Namespace) -> int:
    """`opsconsole get`."""
    from opsconsole_protocol.stream.message import Via

    via = Via(args.via)
    to = args.to.expanduser()
    name = args.id.partition(":")[0]
    if not name:
        raise InvalidRequest(f"{args.id!r} names no job and no worker: opsconsole get JOB, or WORKER:FOLDER")
    for pattern in args.patterns:
        check_glob(spelled(pattern))
    hints = [_pattern_hint(args.id)]

    async def begin(client: Client, board: TransferBoard) -> Transfer:
        from opsconsole.transfer.place import label_hint, place_of
        from opsconsole.where import AtJob, find_where

        where = await find_where(client, args.id)
        if isinstance(where, AtJob):
            patterns = _below(where.folder, args.patterns)
            return board.get(where.job.id, patterns, to, task_index=where.task_index, force=args.force, via=via)
        worker = where.worker
        if ":" not in args.id:
            raise InvalidRequest(
                f"{name} is a worker: name a folder of it, {name}:FOLDER, or {name}: for its input folder"
            )
        place = place_of(worker, where.folder)
        if hint := label_hint(worker, where.folder):
            hints.append(f"; {hint}")
        return board.get_files(worker.name, place.root, place.folder, args.patterns, to, force=args.force, via=via)

    try:
        row, brought = _carried_out(args, begin)
    except NotFound as error:
        raise NotFound(error.message + "".join(hints)) from None
    return 0 if brought is None else _tell_brought(args, to, row, brought)


def _tell_brought(args: argparse.Namespace, to: Path, row: dict[str, Any], brought: Brought) -> int:
    if args.json:
        files = [{"path": _text(os.fsdecode(one.path)), "size_bytes": one.size_bytes} for one in brought.files]
        differing = [_text(os.fsdecode(path)) for path in brought.differing]
        put_json(
            row | {"files": files, "missing": brought.missing, "differing": differing, "left_out": brought.left_out}
        )
    elif brought.files:
        put(*(str(to / os.fsdecode(one.path)) for one in brought.files))
    for line in (*brought.missing, *brought.left_out):
        say(f"opsconsole: not brought: {line}")
    if brought.differing:
        from opsconsole.transfer.download import differing_words

        say(f"opsconsole: not brought: {differing_words(brought.differing)}")
    return 0 if brought.is_whole else 1


def _pattern_hint(where: str) -> str:
    """What to type where somebody has written a pattern as if it were a folder: `gpu-a:lab:*.csv`."""
    above, colon, folder = where.rpartition(":")
    parts = folder.split("/")
    first = next((number for number, part in enumerate(parts) if any(sign in part for sign in "*?[")), None)
    if not colon or first is None:
        return ""
    return f"; a pattern goes by itself: opsconsole get {above}:{'/'.join(parts[:first])} '{'/'.join(parts[first:])}'"


def _below(folder: str, patterns: Sequence[str]) -> list[str]:
    """Patterns that count from a folder, as they count from above it."""
    parts = [part for part in folder.split("/") if part not in {"", "."}]
    if not parts:
        return list(patterns)
    above = literal(os.fsencode("/".join(parts)))
    return [f"{above}/{pattern}" for pattern in patterns] or [above]


def _carried_out(
    args: argparse.Namespace, begin: Callable[[Client, TransferBoard], Awaitable[Transfer]]
) -> tuple[dict[str, Any], Brought | None]:
    """Start a transfer, show how far it is, and return how it ended, with what it has brought. Raises OpsconsoleError."""
    line = ProgressLine(notes=True)

    async def work(client: Client) -> tuple[dict[str, Any], Brought | None]:
        from opsconsole.transfer.board import TransferBoard

        board = TransferBoard(client, on_change=line.show)
        try:
            transfer = await begin(client, board)
            row = await transfer.result()
        finally:
            await board.close()
            line.clear()
        say(f"{row.title}: {summary(row)}")
        return plain(row), board.brought.get(row.id)

    with explained(_GOES_ON):
        return with_client(args, work, retry_for_s=RECONNECT_S)


# --- what waits ----------------------------------------------------------------------------------------------------


def transfers(args: argparse.Namespace) -> int:
    """`opsconsole transfers`."""
    if args.action == "forget":
        if args.id is None:
            raise InvalidRequest("say which one: opsconsole transfers forget ID")
        from opsconsole.transfer import pending

        pending.remove(pending.find(args.id))
        return 0
    if args.id is not None:
        raise InvalidRequest(f"{args.id!r} goes with forget: opsconsole transfers forget ID")
    if args.action == "resume":
        return _resume(args)
    return _list(args)


def _list(args: argparse.Namespace) -> int:
    from opsconsole.transfer import history, pending

    arrived: frozenset[ContentId] = frozenset()
    if pending.offers():
        with contextlib.suppress(OpsconsoleError):  # what is known here is listed without a coordinator, too
            arrived = with_client(args, _drop_ended)
    offers, fetches, gets = pending.offers(), pending.fetches(), pending.interrupted()
    rows = history.read(args.limit)
    if args.json:
        put_json(
            *(
                {"pending": "offer", "id": one.id, **_readable(plain(one)), "arrived": one.content_id in arrived}
                for one in offers
            )
        )
        put_json(*({"pending": "fetch", "id": one.id, **_readable(plain(one))} for one in fetches))
        put_json(*({"pending": "get", "id": one.id, **_readable(plain(one))} for one in gets))
        put_json(*({"pending": None, **plain(one)} for one in rows))
        return 0
    waiting = [
        (one.id, "send", one.name, " ".join(one.job_ids), fmt.size(one.size_bytes))
        for one in offers
        if one.content_id not in arrived
    ]
    waiting += [
        (one.id, "bring", one.pattern, one.job_id, f"to {_folder(one)}{f': {one.why}' if one.why else ''}")
        for one in fetches
    ]
    waiting += [(one.id, "bring", one.what, one.of, f"to {_folder(one)}: {one.why or 'interrupted'}") for one in gets]
    if waiting:
        put_table(("ID", "WAITS TO", "WHAT", "OF", ""), [tuple(cut(cell, CELL_MAX) for cell in row) for row in waiting])
        put("")
    for one in offers:
        if one.content_id in arrived:
            say(
                f"{one.name} has arrived; it stays offered until {' and '.join(one.job_ids)} has ended, for a retry elsewhere ({one.id})"
            )
    if rows:
        put_table(
            ("TIME", "KIND", "PHASE", "WHAT"),
            (
                (fmt.stamp(row.started_at_ms), row.kind, row.phase, cut(f"{row.title}: {_outcome(row)}", CELL_MAX))
                for row in rows
            ),
        )
    if not waiting and not rows and not arrived:
        say("nothing has been transferred from this machine yet")
    return 0


async def _drop_ended(client: Client) -> frozenset[ContentId]:
    """Let go of what ended jobs wanted. Returns what no job waits for now: it may be wanted again by a retry."""
    from opsconsole.transfer.board import TransferBoard

    board = TransferBoard(client)
    try:
        return await board.drop_ended_offers()
    finally:
        await board.close()


def _folder(one: PendingFetch | PendingGet) -> str:
    return os.fsdecode(one.folder)


def _outcome(row: TransferRow) -> str:
    """How one ended."""
    if row.phase == "cancelled":
        return "cancelled, the rest is brought next time"
    return row.error or summary(row)


def _text(path: str) -> str:
    """A path that is text, whatever bytes the system has it in."""
    return path.encode("utf-8", "replace").decode()


def _readable(fields: dict[str, Any]) -> dict[str, Any]:
    """Paths as text."""
    return {name: _text(os.fsdecode(value)) if isinstance(value, bytes) else value for name, value in fields.items()}


def _resume(args: argparse.Namespace) -> int:
    async def work(client: Client) -> int:
        import asyncio

        from opsconsole.transfer.board import TransferBoard
        from opsconsole_console.cli.contents import Telling

        board = TransferBoard(client, on_change=Telling(say))
        offers, fetches, gets = (
            await board.pending_offers(),
            await board.pending_fetches(),
            await board.interrupted_gets(),
        )
        for offer in offers:
            say(f"{offer.name} ({fmt.size(offer.size_bytes)}) is sent once {' or '.join(offer.job_ids)} has a worker")
        for fetch in fetches:
            say(f"{fetch.pattern} is brought to {os.fsdecode(fetch.folder)} once {fetch.job_id} has ended")
        for one in gets:
            say(f"{one.what} of {one.of} is brought to {os.fsdecode(one.folder)}, where it was interrupted")
        if not offers and not fetches and not gets:
            say("nothing waits to be sent or brought")
            await board.close()
            return 0
        running = asyncio.create_task(board.run())
        try:
            while await board.pending_offers() or await board.pending_fetches() or await board.pending_gets():
                await asyncio.wait((running,), timeout=1.0)
                if running.done():
                    running.result()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await board.close()
        return 0

    with explained("stopped: `opsconsole transfers resume` goes on"):
        return with_client(args, work, retry_for_s=RECONNECT_S)
