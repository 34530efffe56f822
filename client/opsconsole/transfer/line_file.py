"""Files with a record on each line, to which several processes append. When one is full, its older half goes."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T")


def append(path: Path, lines: bytes, bytes_max: int) -> None:
    """Add lines, each with its end. Raises OSError."""
    with _locked(path) as file:
        if os.fstat(file).st_size + len(lines) > bytes_max:
            _halve(file)
        os.write(file, lines)


def read(path: Path, bytes_max: int) -> bytes:
    """All lines, as far as they are to be had."""
    try:
        with path.open("rb") as file:
            return file.read(2 * bytes_max)
    except OSError:
        return b""


def records(lines: Iterable[bytes], kind: type[T]) -> Iterator[T]:
    """What these lines of JSON say; what can't be read is left out."""
    for line in lines:
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            yield msgspec.json.decode(line, type=kind)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _halve(file: int) -> None:
    kept = os.pread(file, os.fstat(file).st_size, os.fstat(file).st_size // 2)
    os.ftruncate(file, 0)
    os.write(file, kept[kept.find(b"\n") + 1 :])
