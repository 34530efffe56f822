"""A batch is one transaction: all of it or nothing."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from opsconsole_coordinator import giving_way
from opsconsole_coordinator.core import view
from opsconsole_coordinator.core.batch import Batch
from opsconsole_coordinator.core.model import Job
from opsconsole_coordinator.store import journal
from opsconsole_coordinator.store.database import Database
from opsconsole_coordinator.store.schema import StoreError
from opsconsole_protocol.api import JobRow, TemplateRow
from opsconsole_protocol.ids import JobId
from tests.coordinator.core.world import World

TABLES = ("jobs", "tasks", "attempts", "workers", "events", "meta")


def contents(path: Path) -> list[list[Any]]:
    connection = sqlite3.connect(path)
    found = [connection.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES]
    connection.close()
    return found


def next_batch(world: World) -> tuple[Batch, dict[str, JobRow]]:
    batch = world.reactor.take_batch(world.now_ms)
    return batch, {str(job.id): view.job_row(world.fleet, job) for job in batch.jobs}


def everything() -> tuple[Batch, dict[str, JobRow]]:
    """A batch with something for every table."""
    world = World()
    worker = world.worker()
    world.submit(turn=False, num_tasks=2)
    world.fleet.touch_worker(worker.record)
    world.set_project("paused", "vision")
    world.reactor.on_set_template(TemplateRow(name="train", command=("train",)), "ana", world.now_ms)
    return next_batch(world)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "opsconsole.db"


async def opened(path: Path) -> Database:
    database = Database(path)
    await database.open()
    return database


async def test_a_batch_fills_every_table(path: Path) -> None:
    database = await opened(path)
    batch, rows = everything()
    await journal.commit(database, batch, rows, extra="x")
    await database.close()
    jobs, tasks, attempts, workers, events, meta = contents(path)
    assert [len(one) for one in (jobs, tasks, attempts, workers, events)] == [1, 2, 1, 1, len(batch.events)]
    assert dict(meta) == {"seq": str(batch.seq), "extra": "x", "adopting": "0", "epoch.0": ""}


@pytest.mark.parametrize("table", TABLES)
async def test_a_fault_in_the_middle_leaves_nothing(path: Path, table: str) -> None:
    database = await opened(path)
    trigger = f"CREATE TRIGGER fault BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'injected'); END"
    await database.write(lambda connection: connection.execute(trigger))
    before = contents(path)
    batch, rows = everything()
    with pytest.raises(StoreError, match="injected"):
        await journal.commit(database, batch, rows)
    assert contents(path) == before
    await database.write(lambda connection: connection.execute("DROP TRIGGER fault"))
    await journal.commit(database, batch, rows)
    await database.close()


async def test_a_fault_of_our_own_in_a_transaction_rolls_it_back(path: Path) -> None:
    database = await opened(path)

    def write(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO meta VALUES ('a', 'b')")
        raise KeyError("ours")

    with pytest.raises(KeyError):
        await database.write(write)
    assert contents(path)[-1] == []
    await database.write(lambda connection: connection.execute("INSERT INTO meta VALUES ('a', 'c')"))
    await database.close()


async def test_a_full_disk_is_said_and_leaves_nothing(path: Path) -> None:
    database = await opened(path)
    used = await database.read(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0])
    assert database._writer is not None
    await database._call(database._writer, lambda one: one.execute(f"PRAGMA max_page_count = {used}").fetchone())
    before = contents(path)

    def write(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO meta VALUES ('small', 'x')")
        connection.execute("INSERT INTO meta VALUES ('large', ?)", ("x" * 1_000_000,))

    with pytest.raises(
        StoreError, match=r"can't write to .*: the disk is full: free some space \(database or disk is full\)"
    ):
        await database.write(write)
    assert contents(path) == before
    await database._call(database._writer, lambda one: one.execute("PRAGMA max_page_count = 1000000").fetchone())
    await database.write(write)
    await database.close()


async def test_a_store_that_has_become_read_only_is_said(path: Path) -> None:
    database = await opened(path)
    assert database._writer is not None
    await database._call(database._writer, lambda connection: connection.execute("PRAGMA query_only = ON"))
    with pytest.raises(StoreError, match="it is read-only: check its owner and mode"):
        await database.write(lambda connection: connection.execute("INSERT INTO meta VALUES ('a', 'b')"))
    await database.close()


async def test_a_store_that_somebody_else_holds_locked_is_said(path: Path) -> None:
    database = await opened(path)
    assert database._writer is not None
    await database._call(database._writer, lambda connection: connection.execute("PRAGMA busy_timeout = 20"))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="another program holds it locked"):
        await database.write(lambda connection: connection.execute("INSERT INTO meta VALUES ('a', 'b')"))
    other.execute("ROLLBACK")
    other.close()
    await database.write(lambda connection: connection.execute("INSERT INTO meta VALUES ('a', 'b')"))
    await database.close()


async def test_readers_see_a_batch_whole_or_not_at_all(path: Path) -> None:
    database = await opened(path)

    async def commit_many() -> None:
        for number in range(100):

            def both(connection: sqlite3.Connection, value: str = str(number)) -> None:
                connection.execute("INSERT OR REPLACE INTO meta VALUES ('a', ?)", (value,))
                connection.execute("INSERT OR REPLACE INTO meta VALUES ('b', ?)", (value,))

            await database.write(both)

    def read(connection: sqlite3.Connection) -> tuple[object, object]:
        values = [connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone() for key in "ab"]
        return values[0], values[1]

    committing = asyncio.create_task(commit_many())
    while not committing.done():
        first, second = await database.read(read)
        assert first == second
    await committing
    await database.close()


async def test_what_is_encoded_is_as_it_was_when_the_commit_began(path: Path) -> None:
    """The core goes on while the disk works."""
    database, world = await opened(path), World()
    job = world.submit(turn=False)
    batch, rows = next_batch(world)
    committing = asyncio.create_task(journal.commit(database, batch, rows))
    await asyncio.sleep(0)
    world.act("cancel", job)
    await committing
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT state FROM jobs").fetchone() == ("pending",)
    connection.close()
    await database.close()


async def test_others_have_their_turn_while_many_new_jobs_are_encoded_as_they_were(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(giving_way, "TURN_S", 0.0)
    database, world = await opened(path), World()
    jobs = [world.submit(turn=False) for _ in range(5 * journal.SMALL_BATCH_JOBS)]
    batch = world.reactor.take_batch(world.now_ms)
    calm = batch.take_calm()
    rows = {str(job.id): view.job_row(world.fleet, job) for job in batch.jobs if job.id not in calm}
    assert len(rows) <= 1, "the first was looked at task by task"
    made: list[JobId] = []

    def make_row(job: Job) -> JobRow:
        made.append(job.id)
        return view.job_row(world.fleet, job)

    committing = asyncio.create_task(journal.commit(database, batch, rows, make_row))
    await asyncio.sleep(0)
    assert len(made) < len(calm)
    world.act("cancel", jobs[-1])
    turns = 0
    while len(made) < len(calm):
        await asyncio.sleep(0)
        turns += 1
    assert turns > 3
    told = await committing
    assert told.keys() == calm
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall() == [("pending", len(jobs))]
    assert connection.execute("SELECT state, count(*) FROM tasks GROUP BY state").fetchall() == [("pending", len(jobs))]
    assert msgspec.msgpack.decode(told[jobs[-1].id], type=JobRow).state == "pending"
    connection.close()
    await database.close()
