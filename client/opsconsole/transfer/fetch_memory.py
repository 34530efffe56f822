"""Which results this person wanted to have brought of each job, remembered after they have come: a clone of it wants them, too."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from opsconsole.transfer import line_file
from opsconsole.transfer.pending import PendingFetch
from opsconsole.transfer.user_folder import record_folder
from opsconsole.transfer.wish import written_fetch

WANTED_BYTES_MAX = 4 << 20
"""Of the whole file; when it is reached, the older half goes."""


def remember(fetches: Iterable[PendingFetch]) -> None:
    """These are wanted. What can't be noted stops no submission."""
    lines = b"".join(msgspec.json.encode(one) + b"\n" for one in fetches)
    if lines:
        with contextlib.suppress(OSError):
            line_file.append(_path(), lines, WANTED_BYTES_MAX)


def wanted_of(store_id: str, job_id: str) -> tuple[str, ...]:
    """What was wanted of a job, each as PATTERN:DIR (`wish.written_fetch`)."""
    known = parse(line_file.read(_path(), WANTED_BYTES_MAX))
    mine = (one for one in known if (one.store_id, one.job_id) == (store_id, job_id))
    return tuple(dict.fromkeys(written_fetch(one.pattern, Path(os.fsdecode(one.folder))) for one in mine))


def parse(data: bytes) -> list[PendingFetch]:
    """What these lines say, the oldest first; what can't be read is left out."""
    return list(line_file.records(data.splitlines(), PendingFetch))


def _path() -> Path:
    return record_folder() / "wanted.jsonl"
