"""Connections: one for the writer, one for readers, each with a thread of its own (aiosqlite's)."""

import asyncio
import contextlib
import ctypes
import sqlite3
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from opsconsole_coordinator.store.folder import make_private
from opsconsole_coordinator.store.schema import StoreError, prepare

R = TypeVar("R")
S = TypeVar("S")

FILE_NAME = "opsconsole.db"
FAULTS = (sqlite3.Error, UnicodeDecodeError)
"""What sqlite3 raises for a file that can't be used; the latter where the texts of a damaged file aren't UTF-8."""


_PRIMARY = 0xFF
"""The bits of an extended error code that say of what kind the error is."""
_ADVICE = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space",
    sqlite3.SQLITE_READONLY: "it is read-only: check its owner and mode",
    sqlite3.SQLITE_CANTOPEN: "it can't be opened: check the folder's owner and mode",
    sqlite3.SQLITE_BUSY: "another program holds it locked",
    sqlite3.SQLITE_LOCKED: "another program holds it locked",
    sqlite3.SQLITE_CORRUPT: "it is damaged: restore a backup (opsconsole backup makes them)",
    sqlite3.SQLITE_NOTADB: "it is not a database: move it away or choose another --data-dir",
    sqlite3.SQLITE_IOERR: "the disk reports an error: look at the kernel's log",
}


class Database:
    """Opens the store's file and runs whole functions against it, each in one go on the connection's thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer: aiosqlite.Connection | None = None
        self._reader: aiosqlite.Connection | None = None
        self._shared: dict[Hashable, asyncio.Task[Any]] = {}

    async def open(self) -> None:
        """Open, check and migrate. Raises StoreError with one line; the file is then as it was."""
        try:
            with contextlib.suppress(OSError):  # SQLite says better what is wrong
                make_private(self.path)
            self._writer = await _connect(self.path)
            await self._call(self._writer, _check)
            await self._call(self._writer, prepare)
            self._reader = await _connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)
            await self._call(self._reader, lambda connection: connection.execute("PRAGMA query_only = ON"))
        except FAULTS as error:
            await self.close()
            raise StoreError(f"can't use {self.path}: {explain(error)}") from None
        except StoreError as error:
            await self.close()
            raise StoreError(f"can't use {self.path}: {error}") from None

    async def close(self) -> None:
        """Close both connections; the WAL is folded into the file."""
        for connection in (self._reader, self._writer):
            if connection is not None:
                await connection.close()
        self._reader = self._writer = None

    async def write(self, transaction: Callable[[sqlite3.Connection], R]) -> R:
        """Run a function inside BEGIN IMMEDIATE … COMMIT. Raises StoreError; then nothing of it was written."""
        if self._writer is None:
            raise StoreError("the store is closed")
        try:
            return await self._call(self._writer, lambda connection: _transact(connection, transaction))
        except FAULTS as error:
            raise StoreError(f"can't write to {self.path}: {explain(error)}") from None

    async def read(self, query: Callable[[sqlite3.Connection], R]) -> R:
        """Run a function on the read-only connection, in one snapshot. Raises StoreError."""
        if self._reader is None:
            raise StoreError("the store is closed")
        try:
            return await self._call(self._reader, lambda connection: _snapshot(connection, query))
        except FAULTS as error:
            raise StoreError(f"can't read {self.path}: {explain(error)}") from None
        except StoreError as error:
            raise StoreError(f"can't read {self.path}: {error}") from None

    async def give_back_memory(self) -> None:
        """Give back what a large transaction took: SQLite's pages, and what the C library keeps for later."""
        if self._writer is not None:
            await self._call(self._writer, _give_back_memory)

    async def share(self, key: Hashable, query: Callable[[sqlite3.Connection], R], finish: Callable[[R], S]) -> S:
        """Run `query` as `read` does, and `finish` with its result, once for all who ask under one key before the reading begins.

        Whoever asks later starts another one, so everybody sees at least what was committed before they asked.
        """
        task = self._shared.get(key)
        if task is None:
            task = self._shared[key] = asyncio.create_task(self._read_shared(key, query, finish), name="shared read")
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # also when nobody waits any more
        return await asyncio.shield(task)  # a caller that is cancelled doesn't end it for the others

    async def _read_shared(
        self, key: Hashable, query: Callable[[sqlite3.Connection], R], finish: Callable[[R], S]
    ) -> S:
        def begin(connection: sqlite3.Connection) -> R:
            self._shared.pop(key, None)
            return query(connection)

        try:
            return finish(await self.read(begin))
        finally:
            if self._shared.get(key) is asyncio.current_task():  # it never began
                del self._shared[key]

    @staticmethod
    async def _call(connection: aiosqlite.Connection, function: Callable[[sqlite3.Connection], R]) -> R:
        # aiosqlite's own way to run something on the connection's thread; a call each statement would cost 0.1 ms.
        result: R = await connection._execute(function, connection._conn)  # type: ignore[no-untyped-call]  # noqa: SLF001
        return result


async def _connect(target: Path | str, *, uri: bool = False) -> aiosqlite.Connection:
    connection = aiosqlite.connect(target, uri=uri, isolation_level=None, cached_statements=64)
    try:
        return await connection
    except BaseException:
        # Its thread speaks to the loop once more before it ends: the loop has to be there.
        await asyncio.to_thread(connection._thread.join)  # noqa: SLF001
        raise


def _transact(connection: sqlite3.Connection, transaction: Callable[[sqlite3.Connection], R]) -> R:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = transaction(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def _snapshot(connection: sqlite3.Connection, query: Callable[[sqlite3.Connection], R]) -> R:
    connection.execute("BEGIN")
    try:
        return query(connection)
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")


def _give_back_memory(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA shrink_memory")
    with contextlib.suppress(AttributeError):  # only glibc has it; no other thread waits for it
        ctypes.CDLL(None).malloc_trim(0)


def _check(connection: sqlite3.Connection) -> None:
    """A quick look at a file that was not closed well. Raises sqlite3.DatabaseError for one that is no database."""
    connection.execute("PRAGMA schema_version").fetchone()


def explain(error: Exception) -> str:
    """What an SQLite error means and what to do, in a few words."""
    if isinstance(error, UnicodeDecodeError):
        code, text = sqlite3.SQLITE_CORRUPT, "database disk image is malformed"
    else:
        code, text = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & _PRIMARY, str(error)
    return f"{_ADVICE[code]} ({text})" if code in _ADVICE else text
