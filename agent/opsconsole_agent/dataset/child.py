"""The program that looks at one dataset: a question as JSON on stdin, the answer as JSON on stdout.

It reads whatever people have, with large libraries: so it has little time, memory and disk, and may die of it.
"""

import contextlib
import json
import os
import resource
import signal
import sys
from typing import Any

import msgspec

from opsconsole_agent.dataset.description import describe_found
from opsconsole_agent.dataset.limit import Limits
from opsconsole_agent.dataset.remote import find_there, words_of
from opsconsole_agent.dataset.source import Refused, find_here
from opsconsole_agent.probe.file_child import switch_user
from opsconsole_protocol.dataset import BrokenDataset, DatasetDescription

DESCRIPTION_BYTES_MAX = 900_000


def _limit(limits: Limits) -> None:
    """Leave this process no more than it was given."""
    seconds = int(limits.timeout_s) + 1
    signal.alarm(seconds)  # nobody may be left who waits
    wanted = (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, limits.memory_bytes_max),
        (resource.RLIMIT_FSIZE, limits.spool_bytes_max),
        (resource.RLIMIT_CORE, 0),
    )
    for kind, most in wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, most))
    with contextlib.suppress(OSError):
        os.nice(10)


def _import_all() -> None:
    """Import what another user may not be able to read."""
    for name in ("pyarrow.parquet", "fsspec", "aiohttp", "s3fs", "huggingface_hub"):
        with contextlib.suppress(ImportError):
            __import__(name)


def _answer(place: list[Any] | None, url: str, limits: Limits) -> DatasetDescription:
    if place is not None:
        return describe_found(find_here(*place), limits)
    with words_of(url):
        return describe_found(find_there(url, limits), limits)


def _fitting(description: DatasetDescription) -> dict[str, Any]:
    """The description, with fewer rows and columns where it is too large to be told."""
    while len(json.dumps(found := msgspec.to_builtins(description))) > DESCRIPTION_BYTES_MAX:
        rows, columns = description.first_rows, description.columns
        if rows:
            description = msgspec.structs.replace(description, first_rows=rows[: len(rows) // 2])
        else:
            description = msgspec.structs.replace(description, columns=columns[: len(columns) // 2])
    return {"description": found}


def _main() -> None:
    user, place, url, limit_fields, access = json.load(sys.stdin)
    limits = msgspec.convert(limit_fields, Limits)
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # the others reserve addresses that they don't need
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        if user is not None:
            _import_all()
            switch_user(user)
        os.environ.update(access)  # by now as whoever runs the task
        _limit(limits)
        result = _fitting(_answer(place, url, limits))
    except BrokenDataset as broken:
        result = {"fault": msgspec.to_builtins(broken.fault)}
    except Refused as refusal:
        result = {"refused": [refusal.code, str(refusal)]}
    except MemoryError:
        result = {"refused": ["limit", "the dataset needs too much memory to be looked at"]}
    except OSError as error:
        result = {"refused": ["unavailable", f"the dataset can't be read ({error.strerror or type(error).__name__})"]}
    json.dump(result, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # what libraries do at the end might hang


if __name__ == "__main__":
    _main()
