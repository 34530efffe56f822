"""Removing ended jobs, a bounded number of rows at a time. Plain functions on a connection.

A job's own row is removed first, so nobody finds half of a job. The meta table lists jobs of which other rows are left,
so that a removal goes on after a restart.
"""

import sqlite3
from collections.abc import Collection

from opsconsole_coordinator.store import query

_LEFT = "removing"
_TASKS = """
    DELETE FROM tasks WHERE job_id = ?1 AND task_index <=
    (SELECT max(task_index) FROM (SELECT task_index FROM tasks WHERE job_id = ?1 ORDER BY task_index LIMIT ?2))
"""
_OUTPUT_COPIES = _TASKS.replace("tasks", "output_copies")
_ROWS = (
    "DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE job_id = ? AND job_id <> '' LIMIT ?)",
    "DELETE FROM attempts WHERE attempt_id IN (SELECT attempt_id FROM attempts WHERE job_id = ? LIMIT ?)",
    _TASKS,
    _OUTPUT_COPIES,
)


def ended(connection: sqlite3.Connection, before_ms: int | None, limit: int) -> list[str]:
    """The jobs that ended longest ago, before a time if one is given."""
    rows = connection.execute(
        "SELECT job_id FROM jobs WHERE is_live = 0 AND finished_at_ms < ? ORDER BY finished_at_ms LIMIT ?",
        (before_ms if before_ms is not None else 1 << 62, limit),
    )
    return [row[0] for row in rows]


def begin_removal(connection: sqlite3.Connection, job_ids: Collection[str]) -> None:
    """Remove the rows of these jobs themselves, except of those that are live again."""
    gone = [
        job_id
        for job_id in job_ids
        if connection.execute("DELETE FROM jobs WHERE job_id = ? AND is_live = 0", (job_id,)).rowcount
    ]
    _write_left(connection, [*_read_left(connection), *gone])


def continue_removal(connection: sqlite3.Connection, rows_max: int) -> bool:
    """Remove up to `rows_max` other rows of the jobs that were begun. Returns whether any are left."""
    jobs = _read_left(connection)
    if not jobs:
        return False
    while jobs:
        for statement in _ROWS:
            rows_max -= connection.execute(statement, (jobs[0], rows_max)).rowcount
            if rows_max <= 0:
                _write_left(connection, jobs)
                return True
        del jobs[0]
    _write_left(connection, jobs)
    return False


def events_before(connection: sqlite3.Connection, at_ms: int) -> range:
    """The numbers of all events before a time, by halving: numbers grow with time, and no index is needed."""
    # Each end by itself: asked for both in one statement, SQLite reads the whole table.
    first, last = (connection.execute(f"SELECT {end}(seq) FROM events").fetchone()[0] for end in ("min", "max"))
    if first is None:
        return range(0)
    low, high = first, last + 1
    while low < high:
        middle = (low + high) // 2
        found = connection.execute("SELECT at_ms FROM events WHERE seq >= ? ORDER BY seq LIMIT 1", (middle,)).fetchone()
        if found is None or found[0] >= at_ms:
            high = middle
        else:
            low = middle + 1
    return range(first, low)


def loose_events(connection: sqlite3.Connection, numbers: range) -> list[int]:
    """Which of these events belong to no job: they tell what workers and operators did."""
    rows = connection.execute(
        "SELECT seq FROM events WHERE seq >= ? AND seq < ? AND job_id = ''", (numbers.start, numbers.stop)
    )
    return [row[0] for row in rows]


def remove_events(connection: sqlite3.Connection, seqs: Collection[int]) -> None:
    """Remove events by number."""
    connection.executemany("DELETE FROM events WHERE seq = ?", [(seq,) for seq in seqs])


def used_bytes(connection: sqlite3.Connection) -> int:
    """How many bytes of the file are in use; the rest is used again before the file grows."""
    count, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((count - free) * size)


def _read_left(connection: sqlite3.Connection) -> list[str]:
    return query.meta(connection, _LEFT).split()


def _write_left(connection: sqlite3.Connection, jobs: list[str]) -> None:
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_LEFT, " ".join(jobs)))
