"""A database without threads: what a commit would write is written at once."""

import sqlite3
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar, cast

from opsconsole_coordinator.core.batch import Batch
from opsconsole_coordinator.store import journal, schema
from opsconsole_coordinator.store.database import Database
from opsconsole_protocol.api import JobRow
from opsconsole_protocol.ids import JobId

R = TypeVar("R")


class Direct:
    """Stands in for `Database` where a test needs no loop."""

    def __init__(self, path: Path | str = ":memory:") -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        schema.prepare(self.connection)
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES ('store_id', 'store')")

    async def write(self, transaction: Callable[[sqlite3.Connection], R]) -> R:
        """As `Database.write`, but now."""
        self.connection.execute("BEGIN IMMEDIATE")
        result = transaction(self.connection)
        self.connection.execute("COMMIT")
        return result

    def commit(self, batch: Batch, rows: dict[JobId, JobRow]) -> None:
        """Write a batch."""
        if batch.must_commit:
            texts = {str(job): row for job, row in rows.items()}
            finish(journal.commit(cast("Database", self), batch, texts))


def finish(coroutine: Coroutine[Any, Any, R]) -> R:
    """The result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: R = stop.value
        return result
    raise AssertionError("it waits")
