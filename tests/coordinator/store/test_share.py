"""Reads that many ask for at once."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from opsconsole_coordinator.store.database import Database
from opsconsole_protocol.error import NotFound


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    made = Database(tmp_path / "opsconsole.db")
    await made.open()
    yield made
    await made.close()


class Counter:
    """A query that counts how often it ran, and reads what is committed."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, connection: sqlite3.Connection) -> str:
        self.runs += 1
        found = connection.execute("SELECT value FROM meta WHERE key = 'word'").fetchone()
        return found[0] if found else ""


async def hold_up(database: Database) -> tuple[threading.Event, asyncio.Task[bool]]:
    """Keep the reader busy until the event is set."""
    go, began = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait(_: sqlite3.Connection) -> bool:
        loop.call_soon_threadsafe(began.set)
        return go.wait(30)

    task = asyncio.create_task(database.read(wait))
    await began.wait()
    return go, task


async def test_who_asks_before_it_begins_shares_it_and_who_asks_later_does_not(database: Database) -> None:
    go, busy = await hold_up(database)
    query = Counter()
    first = [asyncio.create_task(database.share("key", query, str.upper)) for _ in range(5)]
    other = asyncio.create_task(database.share("other key", query, str.upper))
    await asyncio.sleep(0)
    await database.write(lambda one: one.execute("INSERT INTO meta VALUES ('word', 'new')"))
    late = asyncio.create_task(database.share("key", query, str.upper))
    await asyncio.sleep(0)
    go.set()
    assert await asyncio.gather(*first, late, other) == ["NEW"] * 7
    assert query.runs == 2
    assert await busy
    assert await database.share("key", query, str.lower) == "new"
    assert query.runs == 3


async def test_one_who_goes_away_takes_nothing_from_the_others(database: Database) -> None:
    go, busy = await hold_up(database)
    query = Counter()
    first, second = (asyncio.create_task(database.share("key", query, len)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    go.set()
    assert await second == 0
    assert first.cancelled()
    await busy


async def test_a_mistake_is_told_to_all_and_forgotten(database: Database) -> None:
    def fail(_: str) -> str:
        raise NotFound("nothing there")

    query = Counter()
    for _ in range(2):
        tasks = [asyncio.create_task(database.share("key", query, fail)) for _ in range(3)]
        for error in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(error, NotFound)
    assert not database._shared
