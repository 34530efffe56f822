"""The tables, and how older files become like them.

Every entity is one msgpack blob beside the few columns that are searched. A blob's new fields have defaults, so most
changes need no migration; the others append a step to MIGRATIONS and are tested against stored old files.
"""

import sqlite3

import msgspec

from opsconsole_protocol.error import OpsconsoleError

APPLICATION_ID = 0x6F707363  # "opsc"


class StoreError(OpsconsoleError):
    """The store can't be used; the file is as it was."""

    code = "store"


_VERSION_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE workers (worker_id TEXT PRIMARY KEY, name TEXT NOT NULL, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE credentials (
  hash TEXT PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, data BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE invitations (id TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE projects (name TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE templates (name TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE jobs (
  job_id TEXT PRIMARY KEY,
  seq INTEGER NOT NULL,
  project TEXT NOT NULL,
  name TEXT NOT NULL,
  state TEXT NOT NULL,
  is_live INTEGER NOT NULL,
  created_at_ms INTEGER NOT NULL,
  finished_at_ms INTEGER,
  spec BLOB NOT NULL,
  data BLOB NOT NULL,
  row BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX jobs_by_age ON jobs (created_at_ms, job_id);
CREATE INDEX jobs_by_project ON jobs (project, created_at_ms, job_id);
CREATE INDEX jobs_live ON jobs (seq) WHERE is_live = 1;
CREATE INDEX jobs_ended ON jobs (finished_at_ms) WHERE is_live = 0;
CREATE TABLE tasks (
  job_id TEXT NOT NULL, task_index INTEGER NOT NULL, state TEXT NOT NULL, data BLOB NOT NULL,
  PRIMARY KEY (job_id, task_index)
) WITHOUT ROWID;
CREATE TABLE attempts (
  attempt_id TEXT PRIMARY KEY,
  job_id TEXT NOT NULL,
  task_index INTEGER NOT NULL,
  number INTEGER NOT NULL,
  state TEXT NOT NULL,
  is_open INTEGER NOT NULL,
  data BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX attempts_by_task ON attempts (job_id, task_index, number);
CREATE INDEX attempts_open ON attempts (job_id) WHERE is_open = 1;
CREATE TABLE events (
  seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, actor TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
  job_id TEXT NOT NULL, text TEXT NOT NULL
);
CREATE INDEX events_by_job ON events (job_id, seq) WHERE job_id <> '';
CREATE INDEX events_by_subject ON events (subject, seq);
"""

_VERSION_2 = """
CREATE INDEX jobs_by_state ON jobs (project, state);
"""  # counting 100,000 jobs takes 10 ms instead of 200

_VERSION_3 = """
CREATE TABLE output_copies (
  job_id TEXT NOT NULL, task_index INTEGER NOT NULL, state TEXT NOT NULL, data BLOB NOT NULL,
  PRIMARY KEY (job_id, task_index)
) WITHOUT ROWID;
CREATE INDEX output_copies_wanted ON output_copies (job_id) WHERE state = 'wanted';
"""

_VERSION_4 = """
CREATE TABLE people (name TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE usage (
  day INTEGER NOT NULL, project TEXT NOT NULL, person TEXT NOT NULL, data BLOB NOT NULL,
  PRIMARY KEY (day, project, person)
) WITHOUT ROWID;
"""

_VERSION_5 = """
ALTER TABLE jobs ADD COLUMN submitted_by TEXT NOT NULL DEFAULT '';
UPDATE jobs SET submitted_by = submitter_of(data);
CREATE INDEX jobs_listed ON jobs (
  created_at_ms, job_id, name, project, state, submitted_by, finished_at_ms
);
DROP INDEX jobs_by_age;
"""  # a filter looks at 1,000,000 jobs without reading their rows

_VERSION_6 = """
CREATE TABLE template_versions (
  name TEXT NOT NULL, version INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (name, version)
) WITHOUT ROWID;
INSERT INTO template_versions SELECT name, 1, data FROM templates;
"""  # what there was counts as version 1, as its row says where it says nothing

_VERSION_7 = """
CREATE TABLE reservations (id TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
"""

MIGRATIONS: tuple[str, ...] = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4, _VERSION_5, _VERSION_6, _VERSION_7)
"""Step N brings a file of version N to version N + 1. Steps are never changed, only added."""

VERSION = len(MIGRATIONS)


def prepare(connection: sqlite3.Connection) -> None:
    """Settings of the writer, and migration up to VERSION in one transaction. Raises StoreError."""
    connection.execute("PRAGMA busy_timeout = 5000")
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    has_tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] > 0
    if has_tables and application != APPLICATION_ID:
        raise StoreError("it is an SQLite file, but not one of opsconsole's: choose another --data-dir")
    if version > VERSION:
        raise StoreError(f"it was written by a newer opsconsole (schema {version}, this one knows {VERSION}): upgrade")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cache_size = -32768")
    connection.execute("PRAGMA analysis_limit = 400")
    if version < VERSION:
        _migrate(connection, version)


class _Submitted(msgspec.Struct):
    """What a step reads of a job's record."""

    submitted_by: str = ""


_submitted = msgspec.msgpack.Decoder(_Submitted)


def _submitter_of(data: bytes) -> str:
    """Who submitted a job, by its record; a damaged one is told when somebody reads it."""
    try:
        return _submitted.decode(data).submitted_by
    except (msgspec.DecodeError, TypeError):
        return ""


def analyze(connection: sqlite3.Connection) -> None:
    """Tell the planner how the tables are filled: a few milliseconds at any size, thanks to `analysis_limit`."""
    connection.execute("ANALYZE")


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    connection.create_function("submitter_of", 1, _submitter_of, deterministic=True)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in MIGRATIONS[version:]:
            for statement in step.split(";\n"):
                if statement.strip():
                    connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
