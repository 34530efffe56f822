"""A copy of the store while it is in use, by SQLite's own means. For a thread: it takes as long as the disk does."""

import os
import sqlite3
from pathlib import Path

from opsconsole_coordinator.store.database import explain
from opsconsole_coordinator.store.schema import StoreError
from opsconsole_protocol.error import Conflict

PAGES_AT_ONCE = 256
PAUSE_S = 0.001


def copy(source: Path, target: Path) -> int:
    """Copy the store to a new file, whole, consistent and durable, and return the file's size in bytes.

    Raises Conflict where `target` exists and StoreError where it can't be written; then nothing is left of it.
    """
    part = target.with_name(f".{target.name}.part")
    try:
        if target.exists():
            raise Conflict(f"{target} exists already: choose another name, or move it away")
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        _copy(source, part)
        _sync(part)
        os.link(part, target)  # unlike a rename it never replaces
        _sync(target.parent)
        return target.stat().st_size
    except sqlite3.Error as error:
        raise StoreError(f"can't back up to {target}: {explain(error)}") from None
    except FileExistsError:
        raise Conflict(f"{target} exists already: choose another name, or move it away") from None
    except OSError as error:
        raise StoreError(f"can't back up to {target}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def _copy(source: Path, part: Path) -> None:
    reader = sqlite3.connect(f"file:{source}?mode=ro", uri=True)
    writer = sqlite3.connect(part)
    try:
        reader.backup(writer, pages=PAGES_AT_ONCE, sleep=PAUSE_S)
        writer.execute("PRAGMA journal_mode = DELETE")
    finally:
        writer.close()
        reader.close()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
