"""Hashes of files that were hashed before, in a file of their own, so that what hasn't changed isn't read again."""

import contextlib
import os
import sqlite3
import struct
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from opsconsole_protocol.content.digest import DIGEST_BYTES, file_digest

HASHES_MAX = 1_000_000
_SETTLED_NS = 2_000_000_000
"""A file that changed later than this before it was hashed may change again without a new time: some disks count in seconds."""
_KEY = struct.Struct(">QQQqq")
_TABLE = "CREATE TABLE IF NOT EXISTS hash (key BLOB PRIMARY KEY, leaves BLOB NOT NULL, used_s INTEGER NOT NULL) WITHOUT ROWID"
_WRITE_AFTER = 5_000
_FRESH = 10_000
"""Of how many large files the hashes are at hand without the disk."""
_WAIT_S = 10.0


class Signature(NamedTuple):
    """What changes when a file is written to, or is another one."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


def signature(status: os.stat_result) -> Signature:
    """The signature of a file with this status."""
    return Signature(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class HashCache:
    """Remembers the hashes of files' chunks. Any thread may ask; without a path it remembers those of large files while it lives.

    It is only a cache: a file that can't be used is replaced, and an error of its disk is a hash that isn't known.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._fresh: dict[Signature, bytes] = {}
        self._store: sqlite3.Connection | None = None
        self._unwritten: list[tuple[bytes, bytes, int]] = []
        if path is not None:
            self._store = _open(path)

    def leaves(self, key: Signature) -> list[bytes] | None:
        """The hashes of the chunks of the file with this signature, if they are known."""
        with self._lock:
            kept = self._fresh.get(key)
            if kept is None and self._store is not None:
                with contextlib.suppress(sqlite3.Error, OverflowError, struct.error):
                    row = self._store.execute("SELECT leaves FROM hash WHERE key = ?", (_packed(key),)).fetchone()
                    kept = None if row is None else row[0]
        if not isinstance(kept, bytes) or not kept or len(kept) % DIGEST_BYTES:
            return None
        return [kept[start : start + DIGEST_BYTES] for start in range(0, len(kept), DIGEST_BYTES)]

    def digest(self, key: Signature) -> bytes | None:
        """The hash of the file with this signature, if it is known."""
        leaves = self.leaves(key)
        return None if leaves is None else file_digest(leaves)

    def remember(self, key: Signature, leaves: Sequence[bytes]) -> None:
        """Keep the hashes of a file. One that has only just changed is remembered by this process alone."""
        packed = b"".join(leaves)
        now_ns = time.time_ns()
        with self._lock:
            if len(leaves) > 1:
                self._fresh[key] = packed
                if len(self._fresh) > _FRESH:
                    del self._fresh[next(iter(self._fresh))]
            if self._store is None or max(key.mtime_ns, key.ctime_ns) > now_ns - _SETTLED_NS:
                return
            with contextlib.suppress(struct.error):
                self._unwritten.append((_packed(key), packed, now_ns // 1_000_000_000))
            if len(self._unwritten) >= _WRITE_AFTER:
                self._write(self._store)

    def forget(self, key: Signature) -> None:
        """The hashes of a file have turned out to be wrong."""
        with self._lock:
            self._fresh.pop(key, None)
            if self._store is not None:
                self._write(self._store)
                with contextlib.suppress(sqlite3.Error, struct.error):
                    self._store.execute("DELETE FROM hash WHERE key = ?", (_packed(key),))

    def close(self) -> None:
        """Write what isn't yet, and forget the oldest of what is too much."""
        with self._lock:
            if self._store is None:
                return
            self._write(self._store)
            with contextlib.suppress(sqlite3.Error):
                (count,) = self._store.execute("SELECT count(*) FROM hash").fetchone()
                if count > HASHES_MAX:
                    self._store.execute(
                        "DELETE FROM hash WHERE key IN (SELECT key FROM hash ORDER BY used_s LIMIT ?)",
                        (count - HASHES_MAX // 2,),
                    )
            self._store.close()
            self._store = None

    def _write(self, store: sqlite3.Connection) -> None:
        with contextlib.suppress(sqlite3.Error), store:
            store.execute("BEGIN")
            store.executemany("INSERT OR REPLACE INTO hash VALUES (?, ?, ?)", self._unwritten)
        self._unwritten.clear()


def _packed(key: Signature) -> bytes:
    return _KEY.pack(*key)


def _open(path: Path) -> sqlite3.Connection | None:
    """The store at a path; a damaged one is replaced. None if there can be none."""
    for attempt in range(2):
        store = None
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            store = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
            store.execute("PRAGMA synchronous=OFF")
            store.execute(_TABLE)
            store.execute("SELECT key, leaves, used_s FROM hash LIMIT 1").fetchone()
        except sqlite3.OperationalError:
            _drop(store)
            return None
        except (sqlite3.DatabaseError, OSError):
            _drop(store)
            if attempt == 0:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
        else:
            return store
    return None


def _drop(store: sqlite3.Connection | None) -> None:
    if store is not None:
        store.close()
