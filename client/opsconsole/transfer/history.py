"""What this person has transferred from this machine, from the console and from the command line: a line for each."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from opsconsole.transfer.row import TransferRow
from opsconsole.transfer.user_folder import record_folder

HISTORY_BYTES_MAX = 4 << 20
"""Of the whole file; when it is reached, the older half goes."""


def add(row: TransferRow) -> None:
    """Keep one that has ended. A history that can't be written stops no transfer."""
    with contextlib.suppress(OSError), _locked() as file:
        line = msgspec.json.encode(row) + b"\n"
        if os.fstat(file).st_size + len(line) > HISTORY_BYTES_MAX:
            _halve(file)
        os.write(file, line)


def read(limit: int) -> list[TransferRow]:
    """The newest, the newest first; what can't be read is left out."""
    try:
        with _path().open("rb") as file:
            return parse(file.read(2 * HISTORY_BYTES_MAX), limit)
    except OSError:
        return []


def parse(data: bytes, limit: int) -> list[TransferRow]:
    """The newest of these lines, the newest first; what can't be read is left out."""
    found: list[TransferRow] = []
    for line in reversed(data.splitlines()):
        if len(found) >= limit:
            break
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            found.append(msgspec.json.decode(line, type=TransferRow))
    return found


@contextlib.contextmanager
def _locked() -> Iterator[int]:
    path = _path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _halve(file: int) -> None:
    kept = os.pread(file, HISTORY_BYTES_MAX, os.fstat(file).st_size // 2)
    os.ftruncate(file, 0)
    os.write(file, kept[kept.find(b"\n") + 1 :])


def _path() -> Path:
    return record_folder() / "history.jsonl"
