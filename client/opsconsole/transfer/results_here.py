"""Which files of this machine are results that were brought here, and are as they came: these are no code.

Noted by path, size and time, since a result that somebody edits is theirs from then on.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from opsconsole.transfer import line_file
from opsconsole.transfer.user_folder import record_folder

RESULTS_BYTES_MAX = 8 << 20
"""Of the whole file; when it is reached, the older half goes."""
_BATCH = 1_000


class Result(msgspec.Struct, frozen=True, array_like=True):
    """A file or symbolic link as it was put in its place; the path is absolute, as the system has it."""

    path: bytes
    size: int
    mtime_ns: int


def note(folder: Path, paths: Iterable[bytes]) -> None:
    """These files below a folder were brought. What can't be noted stops no transfer."""
    top = os.fsencode(os.path.realpath(folder))
    found: list[bytes] = []
    with contextlib.suppress(OSError):
        for path in paths:
            whole = os.path.join(top, path)  # noqa: PTH118 - bytes
            status = os.lstat(whole)
            found.append(msgspec.json.encode(Result(whole, status.st_size, status.st_mtime_ns)) + b"\n")
            if len(found) == _BATCH:
                line_file.append(_path(), b"".join(found), RESULTS_BYTES_MAX)
                found.clear()
        line_file.append(_path(), b"".join(found), RESULTS_BYTES_MAX)


def results_of(folder: Path, paths: Iterable[bytes]) -> set[bytes]:
    """Those of these paths below a folder at which a result lies as it came."""
    known = {one.path: one for one in parse(line_file.read(_path(), RESULTS_BYTES_MAX))}
    top = os.fsencode(os.path.realpath(folder))
    return {path for path in paths if known and _is_as_it_came(known.get(os.path.join(top, path)))}  # noqa: PTH118


def parse(data: bytes) -> list[Result]:
    """What these lines say, the newest last; what can't be read is left out."""
    return list(line_file.records(data.splitlines(), Result))


def _is_as_it_came(one: Result | None) -> bool:
    if one is None:
        return False
    try:
        status = os.lstat(one.path)
    except (OSError, ValueError):
        return False
    return (status.st_size, status.st_mtime_ns) == (one.size, one.mtime_ns)


def _path() -> Path:
    return record_folder() / "results.jsonl"
