"""A store with a million finished tasks: how long each query, a start, and the removal of a large job take."""

import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.row import Row
from opsconsole_coordinator.store import query, removal
from opsconsole_coordinator.store.schema import analyze, prepare
from opsconsole_protocol.ids import AttemptId, JobId

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.coordinator.store.history import NOW_MS, fill

TASKS = 1_000_000
ROUNDS = 9
_START = """
import asyncio, resource, sys, time
from pathlib import Path
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.store.database import Database

async def main():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    database = Database(Path(sys.argv[1]))
    await database.open()
    await CommitLoop(database, "bench").load()
    print(1000 * (time.perf_counter() - began), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
    await database.close()

asyncio.run(main())
"""
Ask = Callable[[sqlite3.Connection], object]


def run(base: Path) -> Iterator[Row]:
    """Yield rows of the start, the statistics, the queries and the removal."""
    folder = Path(tempfile.mkdtemp(prefix="opsconsole-bench-", dir=base))
    try:
        path = folder / "opsconsole.db"
        connection = sqlite3.connect(path, isolation_level=None)
        prepare(connection)
        began_s = time.perf_counter()
        jobs = fill(connection, TASKS)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size_gb = path.stat().st_size / 1e9
        made = f"{len(jobs):,} jobs, one of {TASKS // 10:,} tasks; made in {time.perf_counter() - began_s:.0f} s"
        yield Row("store", f"{TASKS:,} finished tasks", f"{size_gb:.2f} GB", made)
        yield _start(path)
        yield _analysis(connection)
        yield from _questions(connection, jobs)
        yield from _removal(connection)
        connection.close()
    finally:
        shutil.rmtree(folder)


def _start(path: Path) -> Row:
    took: list[float] = []
    grown: list[float] = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", _START, str(path)], capture_output=True, check=True, text=True)
        milliseconds, megabytes = map(float, done.stdout.split())
        took.append(milliseconds)
        grown.append(megabytes)
    method = f"opened, checked and read; takes {statistics.median(grown):.0f} MB of memory"
    middle = statistics.median(took)
    return Row("store", "start with them", f"{middle:.0f} ms", method, bar="≤ 1 s", met=middle <= 1_000)


def _analysis(connection: sqlite3.Connection) -> Row:
    began_s = time.perf_counter()
    analyze(connection)
    took_ms = 1e3 * (time.perf_counter() - began_s)
    return Row("store", "statistics for the planner", f"{took_ms:.0f} ms", "ANALYZE, with an analysis_limit")


def _questions(connection: sqlite3.Connection, jobs: list[JobId]) -> Iterator[Row]:
    large = connection.execute("SELECT job_id FROM tasks GROUP BY job_id ORDER BY count(*) DESC LIMIT 1").fetchone()[0]
    some = jobs[len(jobs) // 2]
    middle_seq = connection.execute("SELECT max(seq) / 2 FROM events").fetchone()[0]
    attempts = [AttemptId(one[0].id) for one in query.attempts(connection, large, 0, 1_000).values()]
    asks: dict[str, Ask] = {
        "a page of jobs": lambda one: list(query.job_rows(one, limit=200)),
        "a page of jobs, half a year ago": lambda one: list(
            query.job_rows(one, before_ms=NOW_MS - 15_768_000_000, limit=200)
        ),
        "a page of a rare project": lambda one: list(query.job_rows(one, project="speech", ended_only=True, limit=200)),
        "the live jobs": query.encoded_live_rows,
        "jobs counted by project and state": query.count_jobs,
        "a prefix of an id": lambda one: query.ids_with_prefix(one, some[:3]),
        "a job of 200 tasks": lambda one: query.job(one, some),
        "a page of a job of 100,000 tasks": lambda one: query.detail(one, large, 50_000, 200, 200),
        "one of its tasks": lambda one: query.attempts(one, large, 77_777, 1),
        "whether 1,000 attempts are known": lambda one: query.ended(one, attempts),
        "the states of 1,000 jobs": lambda one: query.states(one, jobs[:1_000]),
        "the newest events": lambda one: query.events(one, limit=200),
        "events in the middle": lambda one: query.events(one, before_seq=middle_seq, limit=200),
        "events of a large job": lambda one: query.events(one, job_id=large, limit=200),
        "events of a task": lambda one: query.events(one, subject=f"{large}/task-77777", limit=200),
        "what is too old": lambda one: removal.ended(one, NOW_MS - 20_000_000_000, 20),
        "how many events are too old": lambda one: removal.events_before(one, NOW_MS - 20_000_000_000),
        "which of 10,000 belong to no job": lambda one: removal.loose_events(one, range(1_000_000, 1_010_000)),
        "how much of the file is used": removal.used_bytes,
    }
    for what, ask in asks.items():
        took = sorted(_time_ms(connection, ask) for _ in range(ROUNDS))
        method = f"the first time {took[-1]:.1f} ms at most, median of {ROUNDS}"
        yield Row("store", what, f"{statistics.median(took):.2f} ms", method, bar="≤ 100 ms", met=took[-1] <= 100)
    yield Row(
        "store",
        "a whole job of 100,000 tasks",
        f"{_time_ms(connection, lambda one: query.job(one, large)):.0f} ms",
        "to retry it",
    )


def _time_ms(connection: sqlite3.Connection, ask: Ask) -> float:
    began_s = time.perf_counter()
    ask(connection)
    return 1e3 * (time.perf_counter() - began_s)


def _removal(connection: sqlite3.Connection) -> Iterator[Row]:
    from opsconsole_coordinator.server.retention import ROWS_AT_ONCE

    large = connection.execute("SELECT job_id FROM tasks GROUP BY job_id ORDER BY count(*) DESC LIMIT 1").fetchone()[0]
    _transact(connection, lambda one: removal.begin_removal(one, [large]))
    took: list[float] = []
    is_left = True
    while is_left:
        began_s = time.perf_counter()
        is_left = _transact(connection, lambda one: removal.continue_removal(one, ROWS_AT_ONCE))
        took.append(1e3 * (time.perf_counter() - began_s))
    took.sort()
    method = f"{len(took)} transactions, the longest {took[-1]:.0f} ms; in between others write"
    p95 = took[int(0.95 * len(took))]
    yield Row(
        "store",
        "a job of 100,000 tasks removed: the writer held, p95",
        f"{p95:.1f} ms",
        method,
        bar="≤ 100 ms",
        met=p95 <= 100,
    )


def _transact(connection: sqlite3.Connection, write: Callable[[sqlite3.Connection], bool | None]) -> bool:
    connection.execute("BEGIN IMMEDIATE")
    result = write(connection)
    connection.execute("COMMIT")
    return bool(result)
