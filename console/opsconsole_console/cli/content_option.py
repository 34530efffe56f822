"""The options that say what a job brings along and what is brought back, and how files travel."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from opsconsole_console.cli.option import Options, typed
from opsconsole_protocol.quantity import size_bytes

if TYPE_CHECKING:
    from opsconsole.transfer.wish import Wishes

VIAS = ("auto", "direct", "webrtc", "relay")


def add_content_options(group: Options) -> None:
    """What a job brings along, and what of its results is kept or brought. Options that aren't given are None, or empty lists."""
    group.add_argument("--upload", metavar="PATH[:NAME]", action="append", default=[],
                       help="bring this file or folder from here, as one more input; repeatable")  # fmt: skip
    group.add_argument("--bundle", metavar="DIR", type=Path,
                       help="run in a copy of the code in this folder as it is now (what git doesn't ignore)")  # fmt: skip
    group.add_argument("--bundle-max", metavar="500M", type=typed(size_bytes),
                       help="refuse code that is larger (500 MB)")  # fmt: skip
    group.add_argument(
        "--setup", metavar="CMD", help="a shell's line, run once a worker in the code's folder before the first task"
    )
    group.add_argument("--fetch", metavar="PATTERN[:DIR]", action="append", default=[],
                       help="bring these results here when the job has ended; repeatable")  # fmt: skip
    group.add_argument("--collect", metavar="PATTERN", action="append", default=[],
                       help="keep these results at the coordinator when the job has ended; repeatable")  # fmt: skip


def add_via(parser: Options) -> None:
    """How files travel."""
    parser.add_argument(
        "--via", choices=VIAS, default="auto", help="how the files travel (auto: the cheapest way that works)"
    )


def wishes_of(args: argparse.Namespace) -> Wishes:
    """What was asked for, with what is counted from the folder that the command runs in."""
    from opsconsole.transfer.wish import BUNDLE_BYTES_DEFAULT, Wishes

    return Wishes(
        uploads=tuple(args.upload),
        bundle=args.bundle,
        bundle_bytes_max=BUNDLE_BYTES_DEFAULT if args.bundle_max is None else args.bundle_max,
        fetches=tuple(args.fetch),
        cwd=Path.cwd() if args.folder is None else args.folder,
    )
