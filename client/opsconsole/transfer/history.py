"""What this person has transferred from this machine, from the console and from the command line: a line for each."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import msgspec

from opsconsole.transfer import line_file
from opsconsole.transfer.row import TransferRow
from opsconsole.transfer.user_folder import record_folder

HISTORY_BYTES_MAX = 4 << 20
"""Of the whole file; when it is reached, the older half goes."""


def add(row: TransferRow) -> None:
    """Keep one that has ended. A history that can't be written stops no transfer."""
    with contextlib.suppress(OSError):
        line_file.append(_path(), msgspec.json.encode(row) + b"\n", HISTORY_BYTES_MAX)


def read(limit: int) -> list[TransferRow]:
    """The newest, the newest first; what can't be read is left out."""
    return parse(line_file.read(_path(), HISTORY_BYTES_MAX), limit)


def parse(data: bytes, limit: int) -> list[TransferRow]:
    """The newest of these lines, the newest first; what can't be read is left out."""
    return list(itertools.islice(line_file.records(reversed(data.splitlines()), TransferRow), limit))


def _path() -> Path:
    return record_folder() / "history.jsonl"
