"""Every setting of the store, and every file that it refuses, leaving it as it was."""

# ruff: noqa: ASYNC240 - nothing else waits for the loop of a test

import sqlite3
from pathlib import Path

import pytest

from opsconsole_coordinator.store import query, schema
from opsconsole_coordinator.store.database import Database
from opsconsole_coordinator.store.schema import APPLICATION_ID, MIGRATIONS, VERSION, StoreError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "opsconsole.db"


async def opened(path: Path) -> Database:
    database = Database(path)
    await database.open()
    return database


async def open_and_look(database: Database) -> None:
    await database.open()
    await database.read(query.workers)


async def refusal(path: Path) -> str:
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StoreError) as error:
        await opened(path)
    assert (path.read_bytes() if path.is_file() else None) == before, "the file is as it was"
    assert "\n" not in error.value.message
    assert str(path) in error.value.message
    return error.value.message


def pragma(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("journal_mode", "wal", "readers and the writer don't wait for each other"),
        ("synchronous", 2, "FULL: acknowledged means durable"),
        ("application_id", APPLICATION_ID, "the file is recognised as ours"),
        ("user_version", VERSION, "older and newer files are told apart"),
        ("busy_timeout", 5_000, "somebody who looks at the file with another tool is waited for"),
        ("foreign_keys", 1, "nothing refers to what isn't there"),
        ("temp_store", 2, "sorting touches no other disk"),
        ("cache_size", -32_768, "memory is bounded: 32 MiB"),
        ("analysis_limit", 400, "statistics take milliseconds, whatever the store holds"),
    ],
)
async def test_settings_of_the_writer(path: Path, name: str, value: object, why: str) -> None:
    database = await opened(path)
    assert database._writer is not None
    assert await database._call(database._writer, lambda connection: pragma(connection, name)) == value, why
    await database.close()


async def test_readers_can_only_read(path: Path) -> None:
    database = await opened(path)
    assert await database.read(lambda connection: pragma(connection, "query_only")) == 1
    with pytest.raises(StoreError, match="read-only"):
        await database.read(lambda connection: connection.execute("DELETE FROM meta"))
    await database.close()


async def test_a_second_opening_changes_nothing(path: Path) -> None:
    await (await opened(path)).close()
    before = path.read_bytes()
    await (await opened(path)).close()
    assert path.read_bytes() == before


async def test_closing_folds_everything_into_the_file(path: Path) -> None:
    database = await opened(path)
    await database.write(lambda connection: connection.execute("INSERT INTO meta VALUES ('a', 'b')"))
    await database.close()
    assert sorted(one.name for one in path.parent.iterdir()) == ["opsconsole.db"]
    with pytest.raises(StoreError, match="closed"):
        await database.write(lambda connection: connection.execute("DELETE FROM meta"))
    with pytest.raises(StoreError, match="closed"):
        await database.read(lambda connection: connection.execute("SELECT 1"))


async def test_a_newer_store_is_refused(path: Path) -> None:
    await (await opened(path)).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    line = await refusal(path)
    assert f"written by a newer opsconsole (schema {VERSION + 1}, this one knows {VERSION}): upgrade" in line


async def test_somebody_elses_database_is_refused(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE photos (id)")
    connection.commit()
    connection.close()
    assert "not one of opsconsole's: choose another --data-dir" in await refusal(path)


@pytest.mark.parametrize(
    "content", [b"hello, I am a text\n" * 100, b"SQLite format 3\0" + b"\xff" * 4_000, b"\0" * 5000]
)
async def test_what_is_no_database_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert "not a database" in await refusal(path)


async def test_a_folder_in_its_place_is_refused(path: Path) -> None:
    path.mkdir()
    assert "can't be opened: check the folder's owner and mode" in await refusal(path)


async def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    assert "can't be opened" in await refusal(tmp_path / "no" / "opsconsole.db")


async def test_a_damaged_store_is_refused(path: Path) -> None:
    await (await opened(path)).close()
    data = bytearray(path.read_bytes())
    for place in range(4096, len(data)):
        data[place] = 0xA5
    path.write_bytes(data)
    database = Database(path)
    with pytest.raises(StoreError, match="damaged: restore a backup"):
        await open_and_look(database)
    await database.close()
    assert path.read_bytes() == data


async def test_an_empty_file_becomes_a_store(path: Path) -> None:
    path.touch()
    await (await opened(path)).close()


# --- migrations ----------------------------------------------------------------------------------------------------


def names(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    found = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
    connection.close()
    return found


async def test_a_step_brings_an_older_file_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await (await opened(path)).close()
    monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, "CREATE TABLE more (a);\nCREATE TABLE most (b);\n"))
    monkeypatch.setattr(schema, "VERSION", VERSION + 1)
    await (await opened(path)).close()
    assert {"jobs", "more", "most"} <= names(path)


async def test_a_step_that_fails_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await (await opened(path)).close()
    monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, "CREATE TABLE more (a);\nCREATE TABLE jobs (b);\n"))
    monkeypatch.setattr(schema, "VERSION", VERSION + 1)
    assert "already exists" in await refusal(path)
    assert "more" not in names(path)


@pytest.mark.parametrize("name", ["a b", "100%", "what?", "#1", "é"])
async def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    database = await opened(tmp_path / name / "opsconsole.db")
    assert await database.read(query.workers) == []
    await database.close()
