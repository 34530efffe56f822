"""A small store with something in every table, and what reads it."""

import sqlite3
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from opsconsole_coordinator.server import identity
from opsconsole_coordinator.store import query, rebuild, removal, waiting
from opsconsole_coordinator.store.job_search import JobSearch, Place
from opsconsole_coordinator.store.job_sort import JobSort
from opsconsole_coordinator.store.schema import VERSION
from opsconsole_protocol.api import job_filter
from opsconsole_protocol.ids import AttemptId
from tests.coordinator.store import old

PATH = Path(old.__file__).parent / f"v{VERSION}.db"
Reader = Callable[[bytes], object]
_READERS: dict[str, dict[str, Reader]] = {
    "jobs": {"spec": query._spec, "data": query.read_record, "row": query._row},
    "tasks": {"data": query.read_task},
    "attempts": {"data": query.read_attempt},
    "workers": {"data": query._worker},
    "projects": {"data": query._project},
    "templates": {"data": query._template},
    "credentials": {"data": identity._credential},
    "invitations": {"data": identity._invitation},
}


def load(image: bytes) -> sqlite3.Connection:
    """A store in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.deserialize(image)
    return connection


@cache
def blobs() -> dict[str, dict[str, tuple[Reader, tuple[bytes, ...]]]]:
    """By table and column: what reads its blobs, and some of them."""
    connection = load(PATH.read_bytes())
    found: dict[str, dict[str, tuple[Reader, tuple[bytes, ...]]]] = {}
    for table, readers in _READERS.items():
        found[table] = {
            name: (read, tuple(row[0] for row in connection.execute(f"SELECT {name} FROM {table}")))
            for name, read in readers.items()
        }
    connection.close()
    return found


def read_everything(connection: sqlite3.Connection) -> None:
    """All questions that a coordinator ever asks of its store."""
    rebuild.load(connection, Random(0).getrandbits, "lab", 0)  # noqa: S311 - chance that repeats itself
    ids = query.ids_with_prefix(connection, "", limit=20)
    list(query.job_rows(connection, limit=100))
    list(query.job_rows(connection, project="p", ended_only=True, before_ms=5, limit=100))
    for text in ("name~x state=failed", "train priority>=0"):
        search, place = JobSearch(job_filter.parse(text), "", 5), Place()
        while (step := search.step(connection, place, 100)).place is not None:
            place = step.place
    for sort in ("name", "priority"):
        found = JobSort(sort, ascending=True, limit=5, cursor="", now_ms=5)
        here: Place | None = Place()
        while here is not None:
            here, _ = found.step(connection, JobSearch(job_filter.parse(""), "", 5), here)
        found.page()
    query.last_versions(connection)
    query.template_versions(connection, "t", limit=10)
    query.encoded_live_rows(connection)
    query.count_jobs(connection)
    query.events(connection)
    query.states(connection, ids)
    query.ended(connection, [AttemptId("a")])
    waiting.standings(connection, [one for some in waiting.dependencies(connection, ids).values() for one in some])
    for other in waiting.as_submitted(connection, ids):
        waiting.DependentSearch(other, 100).step(connection)
    for job_id in ids:
        query.job(connection, job_id)
        query.detail(connection, job_id, 0, 100, 100)
        query.task_state(connection, job_id, 0)
    identity._stored(connection)
    for table, readers in _READERS.items():
        for name, read in readers.items():
            for row in connection.execute(f"SELECT {name} FROM {table}"):
                read(row[0])
    removal.events_before(connection, 5)
    removal.used_bytes(connection)


def columns(connection: sqlite3.Connection) -> list[tuple[str, str, Any]]:
    """Every table, column and present value."""
    found = []
    for table in [*_READERS, "events", "meta"]:
        cursor = connection.execute(f"SELECT * FROM {table}")
        names = [one[0] for one in cursor.description]
        found += [(table, name, value) for row in cursor for name, value in zip(names, row, strict=True)]
    return found
