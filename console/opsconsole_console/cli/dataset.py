"""`opsconsole dataset PATH|URL`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from opsconsole_console import format as fmt
from opsconsole_console.cli.option import add_json
from opsconsole_console.cli.output import put, put_json, put_table, say
from opsconsole_console.cli.parser import Group
from opsconsole_console.cli.session import with_client
from opsconsole_protocol.error import InvalidRequest

if TYPE_CHECKING:
    from opsconsole_protocol.dataset import DatasetColumn, DatasetDescription, DatasetFault

_HERE_BUDGET_S, _HERE_TIMEOUT_S = 60.0, 90.0
_ROWS_SHOWN = 5
_CELL_CHARACTERS, _ROW_CELLS = 24, 8


def add(group: Group) -> None:
    """The verb of this file."""
    parser = group.verb("dataset", describe_dataset, usage="opsconsole dataset [options] PATH|URL",
                        epilog="A URL begins with http://, https://, s3:// or hf://. On a worker PATH counts from its input folder; LABEL:PATH\n"
                        "from another mount of it, and /PATH is a whole path. Exit code 1: the dataset is broken, and why.")  # fmt: skip
    parser.add_argument("where", metavar="PATH|URL", help="a file, or a folder of files of one format")
    parser.add_argument("--worker", metavar="NAME", help="look on this worker, or from it (here)")
    parser.rule("connect", "worker", "without --worker the dataset is looked at here", is_needed=True)
    add_json(parser, "one JSON object")


def describe_dataset(args: argparse.Namespace) -> int:
    """`opsconsole dataset`."""
    from opsconsole_protocol.dataset import BrokenDataset

    if not args.where:
        raise InvalidRequest("the path is empty: name a file, a folder (. is this one) or a URL")
    description: DatasetDescription | None = None
    fault: DatasetFault | None = None
    worker = None
    if args.worker is None:
        try:
            description = _here(args.where)
        except BrokenDataset as broken:
            fault = broken.fault
    else:
        answer = with_client(args, lambda client: client.dataset(args.where, args.worker))
        description, fault, worker = answer.description, answer.fault, answer.worker
    if args.json:
        put_json({"worker": worker, "description": description, "fault": fault})
    elif description is not None:
        _show(description)
    if fault is not None:
        say(f"opsconsole: {fault.words}")
    return 0 if fault is None else 1


def _here(where: str) -> DatasetDescription:
    from opsconsole_agent.dataset.describer import describe
    from opsconsole_agent.dataset.limit import Limits

    return describe(where, Limits(budget_s=_HERE_BUDGET_S, timeout_s=_HERE_TIMEOUT_S))


def _show(found: DatasetDescription) -> None:
    from opsconsole_protocol.dataset import format_words

    rows = "rows not counted" if found.rows is None else fmt.plural(found.rows, "row")
    kind = format_words(found.format, found.compression)
    put(
        f"{kind}: {rows}, {fmt.plural(found.columns_total, 'column')}, {fmt.plural(found.files, 'file')}, {fmt.size(found.size_bytes)}"
    )
    if found.note:
        put(f"note: {found.note}")
    if found.splits:
        put("")
        put_table(
            ("SPLIT", "ROWS", "FILES", "SIZE"),
            [
                (one.name or "(none)", _count(one.rows), _count(one.files), fmt.size(one.size_bytes))
                for one in found.splits
            ],
        )
    put("")
    put_table(("COLUMN", "TYPE", "NULLS"), map(_column, found.columns))
    if found.columns_total > len(found.columns):
        put(f"… and {found.columns_total - len(found.columns):,} more")
    if found.first_rows:
        put("")
        names = tuple(_cell(one.name) for one in found.columns[: min(_ROW_CELLS, len(found.first_rows[0]))])
        put_table(names, [tuple(map(_cell, row[: len(names)])) for row in found.first_rows[:_ROWS_SHOWN]])


def _column(one: DatasetColumn) -> tuple[str, ...]:
    return one.name, one.type, _count(one.nulls)


def _count(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def _cell(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _CELL_CHARACTERS else f"{text[: _CELL_CHARACTERS - 1]}…"
