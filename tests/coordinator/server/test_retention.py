"""Old history goes by age, old logs by size; what lives stays."""

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from opsconsole_coordinator.core.model import OutputCopy
from opsconsole_coordinator.server import retention
from opsconsole_coordinator.server.commit_loop import CommitLoop
from opsconsole_coordinator.server.log_service import LogService
from opsconsole_coordinator.server.retention import DAY_MS, Retention, RetentionPolicy
from opsconsole_coordinator.store import query, removal
from opsconsole_coordinator.store.database import Database
from opsconsole_coordinator.store.schema import analyze, prepare
from opsconsole_protocol.api import Submission
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import AttemptId, JobId, WorkerId, job_id
from opsconsole_protocol.spec import JobSpec
from tests.coordinator.store.history import fill


async def _job(commit_loop: CommitLoop, *, days_ago: float) -> JobId:
    """A job that ended so long ago; or lives, for a negative age."""

    made = job_id(secrets.randbits(50))
    then_ms = commit_loop.clock.now_ms() - round(max(days_ago, 0) * DAY_MS)
    commit_loop.reactor.on_submit([Submission(made, JobSpec(command=("true",)))], {}, "ana", then_ms)
    if days_ago >= 0:
        commit_loop.reactor.on_act("cancel", made, None, "ana", "", then_ms)
    await commit_loop._run_batch()
    return made


async def test_ended_jobs_go_by_age_and_live_ones_stay(tmp_path: Path) -> None:
    database = Database(tmp_path / "opsconsole.db")
    await database.open()
    commit_loop = CommitLoop(database, "lab")
    logs = LogService(tmp_path / "logs", commit_loop)
    try:
        old = [await _job(commit_loop, days_ago=40) for _ in range(120)]
        new, live = await _job(commit_loop, days_ago=1), await _job(commit_loop, days_ago=-1)
        assert await Retention(commit_loop, logs, RetentionPolicy(finished_days=None, log_bytes=None)).sweep() == 0
        wanted = OutputCopy(
            job_id=old[3], index=0, attempt_id=AttemptId("a"), worker_id=WorkerId("w"), worker_name="w", place="w",
            patterns=("*",),
        )  # fmt: skip
        commit_loop.fleet.output_copies.add(wanted)
        commit_loop.fleet.touch_output_copy(wanted)
        await commit_loop._run_batch()
        assert await rows_of(database, "output_copies") == 1
        found = Retention(commit_loop, logs, RetentionPolicy(finished_days=30, log_bytes=None))
        removed: list[str] = []
        found.on_removed.append(removed.extend)
        assert await found.sweep() == 120
        assert set(removed) == set(old)
        assert not len(commit_loop.fleet.output_copies)
        assert await rows_of(database, "output_copies") == 0
        left = await database.read(lambda connection: query.states(connection, [*old, new, live]))
        assert set(left) == {new, live}
        assert await rows_of(database, "tasks") == 2
        assert not await database.read(lambda one: query.events(one, job_id=old[0]))
        await commit_loop._run_batch()
        [told, *_] = await database.read(query.events)
        assert told.text == "120 jobs removed: they ended more than 30 days ago"
    finally:
        logs.close()
        await database.close()


@pytest.fixture
async def retained(tmp_path: Path) -> AsyncIterator[tuple[CommitLoop, LogService]]:
    """A commit loop over a store with 300 finished tasks in 61 jobs, all of them old."""
    connection = sqlite3.connect(tmp_path / "opsconsole.db", isolation_level=None)
    prepare(connection)
    fill(connection, 300)
    connection.close()
    database = Database(tmp_path / "opsconsole.db")
    await database.open()
    commit_loop = CommitLoop(database, "lab")
    await commit_loop.load()
    logs = LogService(tmp_path / "logs", commit_loop)
    yield commit_loop, logs
    logs.close()
    await database.close()


async def rows_of(database: Database, table: str) -> int:
    return await database.read(lambda one: int(one.execute(f"SELECT count(*) FROM {table}").fetchone()[0]))


async def test_a_large_job_goes_a_few_rows_at_a_time(
    retained: tuple[CommitLoop, LogService], monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_loop, logs = retained
    counts = [await total(commit_loop.database)]

    async def write(transaction: Any) -> Any:
        result = await Database.write(commit_loop.database, transaction)
        counts.append(await total(commit_loop.database))
        return result

    monkeypatch.setattr(commit_loop.database, "write", write)
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 40)
    monkeypatch.setattr(retention, "PAUSE_S", 0)
    jobs = await rows_of(commit_loop.database, "jobs")
    assert await Retention(commit_loop, logs, RetentionPolicy(finished_days=0.001)).sweep() == jobs
    assert counts[-1] == 0
    assert max(before - after for before, after in pairwise(counts)) <= 40


async def total(database: Database) -> int:
    return sum([await rows_of(database, table) for table in ("jobs", "tasks", "attempts", "events")])


async def test_what_a_crash_left_half_removed_is_not_found_and_goes_later(
    retained: tuple[CommitLoop, LogService],
) -> None:
    commit_loop, logs = retained
    [job] = await commit_loop.database.read(lambda one: removal.ended(one, None, 1))
    await commit_loop.database.write(lambda one: removal.begin_removal(one, [job]))
    assert await commit_loop.database.write(lambda one: removal.continue_removal(one, 1))
    assert await commit_loop.database.read(lambda one: query.job(one, job)) is None
    assert await commit_loop.database.read(lambda one: query.ids_with_prefix(one, job)) == []
    left = await total(commit_loop.database)
    assert await Retention(commit_loop, logs, RetentionPolicy(finished_days=None)).sweep() == 0
    assert await total(commit_loop.database) < left
    found = "SELECT 1 FROM tasks WHERE job_id = ?1 UNION SELECT 1 FROM attempts WHERE job_id = ?1"
    assert not await commit_loop.database.read(lambda one: one.execute(found, (job,)).fetchall())


async def test_the_oldest_jobs_go_until_the_store_is_small_enough(retained: tuple[CommitLoop, LogService]) -> None:
    commit_loop, logs = retained
    database = commit_loop.database
    used = await database.read(removal.used_bytes)
    newest = await database.read(lambda one: list(query.job_rows(one, limit=1)))
    keep = RetentionPolicy(finished_days=None, log_bytes=None, store_bytes=used - 30_000)
    gone = await Retention(commit_loop, logs, keep).sweep()
    assert 0 < gone < 61
    assert await database.read(removal.used_bytes) <= used - 30_000
    assert await database.read(lambda one: list(query.job_rows(one, limit=1))) == newest


async def test_events_of_workers_go_with_their_time(retained: tuple[CommitLoop, LogService]) -> None:
    commit_loop, logs = retained
    now_ms = commit_loop.clock.now_ms()
    for days in (50, 40, 20):
        commit_loop.fleet.audit(now_ms - days * DAY_MS, "ana", EventKind.DRAIN, f"{days}", "w1")
    await commit_loop._run_batch()
    await Retention(commit_loop, logs, RetentionPolicy(finished_days=30)).sweep()
    assert [event.text for event in await commit_loop.database.read(lambda one: query.events(one, subject="w1"))] == [
        "20"
    ]


async def test_the_tables_are_looked_at_for_the_planner(
    retained: tuple[CommitLoop, LogService], monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_loop, logs = retained
    looked = asyncio.Event()
    write = commit_loop.database.write

    async def note(transaction: Any) -> Any:
        result = await write(transaction)
        if transaction is analyze:
            looked.set()
        return result

    monkeypatch.setattr(commit_loop.database, "write", note)
    looking = asyncio.create_task(Retention(commit_loop, logs, RetentionPolicy(finished_days=None)).run())
    await asyncio.wait_for(looked.wait(), 10)
    looking.cancel()
    assert await rows_of(commit_loop.database, "sqlite_stat1") > 5


async def test_logs_go_oldest_first_until_the_rest_fits(tmp_path: Path) -> None:
    database = Database(tmp_path / "opsconsole.db")
    await database.open()
    commit_loop = CommitLoop(database, "lab")
    logs = LogService(tmp_path / "logs", commit_loop)
    try:
        ages = (3, 1, 2, -1)
        jobs = {age: await _job(commit_loop, days_ago=age) for age in ages}
        for job in jobs.values():
            (tmp_path / "logs" / job).mkdir(parents=True)
            (tmp_path / "logs" / job / "0.0.log").write_bytes(b"x" * 1000)
        assert await Retention(commit_loop, logs, RetentionPolicy(finished_days=None, log_bytes=2500)).sweep() == 2
        assert set(await logs.usage()) == {jobs[1], jobs[-1]}
        assert len(await database.read(lambda connection: query.states(connection, list(jobs.values())))) == 4
    finally:
        logs.close()
        await database.close()
