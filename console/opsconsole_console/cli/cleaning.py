"""`opsconsole clean` and `remove`: what ended jobs left on workers and with the coordinator, shown and removed; and what goes by
itself.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from opsconsole_console import format as fmt
from opsconsole_console.cli.option import add_json
from opsconsole_console.cli.output import plain, put_json, put_table, say
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import with_client
from opsconsole_protocol.quantity import duration_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opsconsole.client import Client
    from opsconsole_protocol.api import Cleaned, LeavingRow, PolicyRow

_COORDINATOR = "(coordinator)"
_KINDS = {
    "attempts": "working folders and cut logs of ended tasks, and what was set aside as damaged, on workers (the default)",
    "outputs": "output folders, on workers, of jobs that have ended",
    "logs": "logs of ended jobs, on the coordinator; what else is known of them stays",
    "history": "all that the coordinator knows of ended jobs, their logs too",
}


def add(group: Group) -> None:
    """The verbs of this file."""
    parser = group.verb(
        "remove", remove,
        epilog="Without --yes it only shows what would go. Nothing goes of a job that isn't over, or that such a job comes after.\n"
        "If a worker that may hold outputs of a job is away, what is known of the job stays until they can go, too.",
    )  # fmt: skip
    parser.add_argument("ids", nargs="+", metavar="JOB", help="an ended job's id, or the beginning of it")
    parser.add_argument("--yes", action="store_true", help="remove it")
    add_json(parser, "one JSON object a line: what can go, or has gone")
    parser = group.verb(
        "clean", clean,
        epilog="Without a flag that says what to remove, --attempts is meant; several flags add up. Nothing goes without --yes.\n"
        "What belongs to a job that isn't over, or that such a job waits for, is never touched, nor is a folder in the\n"
        "output path that is of no job of this coordinator.",
    )  # fmt: skip
    parser.add_argument("workers", nargs="*", metavar="WORKER", help="a worker's name or id; all of them without")
    for kind, text in _KINDS.items():
        parser.add_argument(f"--{kind}", action="store_true", help=text)
    parser.add_argument(
        "--older-than",
        metavar="TIME",
        default="1d",
        help="only what jobs left that ended, and attempts that nobody has changed, at least so long ago: 7d, 12h, 0s (1d)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only show what would go, as without --yes")
    parser.add_argument("--yes", action="store_true", help="remove it")
    parser.add_argument("--policy", action="store_true", help="show what goes by itself and when, and remove nothing")
    add_json(parser, "one JSON object a line: what can go, or has gone")


def clean(args: argparse.Namespace) -> int:
    """`opsconsole clean`."""
    kinds = {kind for kind in _KINDS if getattr(args, kind)} or ({"attempts"} if not args.policy else set[str]())
    older_than_ms = duration_ms(args.older_than)

    async def work(client: Client) -> Cleaned:
        return await client.clean(
            *args.workers,
            older_than_ms=older_than_ms,
            remove=args.yes and not args.dry_run and not args.policy,
            policy=args.policy,
            attempts="attempts" in kinds,
            outputs="outputs" in kinds,
            logs="logs" in kinds,
            history="history" in kinds,
        )

    cleaned = with_client(args, work)
    for remark in cleaned.remarks:
        say(remark)
    if args.json:
        for row in cleaned.leavings:
            put_json({**plain(row), "removed": cleaned.removed})
        for one in cleaned.policy:
            put_json(plain(one))
        return 0
    if cleaned.leavings:
        _put_leavings(cleaned.leavings)
    if kinds:
        say(_sum(cleaned, args.older_than))
    _put_policy(cleaned.policy)
    return 0


def remove(args: argparse.Namespace) -> int:
    """`opsconsole remove`."""

    async def work(client: Client) -> Cleaned:
        return await client.remove(*args.ids, yes=args.yes)

    cleaned = with_client(args, work)
    for remark in cleaned.remarks:
        say(remark)
    if args.json:
        for row in cleaned.leavings:
            put_json({**plain(row), "removed": cleaned.removed})
        return 0
    if cleaned.leavings:
        _put_leavings(cleaned.leavings)
    say(_sum(cleaned, ""))
    return 0


def _put_leavings(rows: Iterable[LeavingRow]) -> None:
    put_table(
        ("WORKER", "SIZE", "SINCE", "JOB", "WHAT", "WHERE"),
        (
            (
                row.worker or _COORDINATOR,
                fmt.size(row.bytes),
                fmt.stamp(row.at_ms),
                row.job or "–",
                row.why,
                row.path or "–",
            )
            for row in rows
        ),
    )


def _put_policy(rows: Iterable[PolicyRow]) -> None:
    if rows:
        put_table(
            ("WHERE", "SETTING", "VALUE", "WHAT GOES BY ITSELF"),
            (
                (one.worker or _COORDINATOR, one.setting, "–" if one.value is None else f"{one.value:g}", _words(one))
                for one in rows
            ),
        )


def _words(one: PolicyRow) -> str:
    return f"{one.value:g} {one.text}" if one.value is not None else f"nothing: it isn't set (so many {one.text})"


def _sum(cleaned: Cleaned, older_than: str) -> str:
    if not cleaned.leavings:
        return f"nothing that has lain there for {older_than}" if older_than else "nothing of it can go now"
    count, size = len(cleaned.leavings), fmt.size(sum(row.bytes for row in cleaned.leavings))
    things = fmt.plural(count, "thing")
    return f"removed: {things}, {size}" if cleaned.removed else f"{things}: would free {size}; --yes removes it"
