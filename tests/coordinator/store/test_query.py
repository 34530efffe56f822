"""Pages of history: their order, their ends, and that none of them reads the whole store."""

import gc
import re
import sqlite3
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from opsconsole_coordinator.store import live, query, rebuild, removal
from opsconsole_coordinator.store.schema import analyze, prepare
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.state import TaskState
from tests.coordinator.core.world import World
from tests.coordinator.store.direct import Direct
from tests.coordinator.store.history import NOW_MS, fill


@pytest.fixture(scope="module")
def store() -> Direct:
    """Thirty jobs in two projects, five of them live; some with the same time."""
    made, world = Direct(), World()
    world.on_commit = made.commit
    worker = world.worker(slots=40)
    jobs = []
    for number in range(30):
        world.now_ms += number % 3
        jobs.append(world.submit(name=f"job-{number}", project="ab"[number % 2], max_retries_failure=1))
        attempt = worker.started()
        if number == 7:
            worker.fail(attempt)
            world.pass_ms(2_000)
            attempt = worker.started()
        if number < 25:
            worker.succeed(attempt)
    return made


def names(rows: Any) -> list[str]:
    return [row.name for row in rows]


def test_pages_are_newest_first_and_meet_without_gap_or_repetition(store: Direct) -> None:
    everything = list(query.job_rows(store.connection, limit=1_000))
    assert [(row.created_at_ms, row.id) for row in everything] == sorted(
        ((row.created_at_ms, row.id) for row in everything), reverse=True
    )
    assert len(everything) == 30
    paged: list[str] = []
    before: dict[str, Any] = {}
    while page := list(query.job_rows(store.connection, limit=7, **before)):
        paged += names(page)
        before = {"before_ms": page[-1].created_at_ms, "before_id": page[-1].id}
    assert paged == names(everything)


def test_pages_of_a_project_or_of_what_has_ended(store: Direct) -> None:
    of_project = list(query.job_rows(store.connection, project="a", limit=100))
    assert {row.project for row in of_project} == {"a"}
    assert len(of_project) == 15
    ended = list(query.job_rows(store.connection, ended_only=True, limit=100))
    assert {row.state for row in ended} == {"succeeded"}
    assert len(ended) == 25


def test_before_a_time_without_an_id_is_before_that_time_inclusive(store: Direct) -> None:
    newest = next(iter(query.job_rows(store.connection, limit=1)))
    assert next(iter(query.job_rows(store.connection, before_ms=newest.created_at_ms, limit=1))) == newest


def test_events_are_newest_first_by_job_by_subject_or_all(store: Direct) -> None:
    everything = query.events(store.connection, limit=10_000)
    assert [event.seq for event in everything] == list(range(len(everything), 0, -1))
    first = query.events(store.connection, limit=5)
    assert query.events(store.connection, before_seq=first[-1].seq, limit=5) == everything[5:10]
    job = next(row for row in query.job_rows(store.connection, limit=100) if row.name == "job-7")
    kinds = [event.kind for event in query.events(store.connection, job_id=job.id)]
    assert kinds == ["finished", "succeeded", "running", "assigned", "failed", "running", "assigned", "submitted"]
    of_task = query.events(store.connection, subject=f"{job.id}/task-0")
    assert len(of_task) == len(kinds) - 2
    assert [event.kind for event in query.events(store.connection, subject="w1")] == ["joined"]


def test_a_job_comes_back_with_its_attempts(store: Direct) -> None:
    row = next(row for row in query.job_rows(store.connection, limit=100) if row.name == "job-7")
    found = query.detail(store.connection, row.id, 0, 10, 3)
    assert found is not None
    assert (found.job.id, found.row, found.job.spec.name) == (row.id, row, "job-7")
    assert [(task.index, task.state) for task in found.tasks] == [(0, TaskState.SUCCEEDED)]
    assert [attempt.number for attempt in found.attempts[0]] == [0, 1]
    assert len(found.events) == 3
    assert not query.detail(store.connection, row.id, 1, 10, 3).tasks  # type: ignore[union-attr]
    ids = [attempt.id for attempt in found.attempts[0]]
    assert query.ended(store.connection, [*ids, AttemptId("unknown")]) == set(ids)
    assert query.task_state(store.connection, row.id, 0) is TaskState.SUCCEEDED
    assert query.task_state(store.connection, row.id, 1) is None
    assert query.detail(store.connection, "nothing", 0, 10, 3) is None
    assert query.job_row(store.connection, row.id) == row
    assert query.job_row(store.connection, "nothing") is None


def test_prefixes_find_their_jobs(store: Direct) -> None:
    assert len(query.ids_with_prefix(store.connection, "00000000", limit=100)) == 30
    assert len(query.ids_with_prefix(store.connection, "0", limit=10)) == 10
    assert query.ids_with_prefix(store.connection, "000000000a") == ["000000000a"]
    assert query.ids_with_prefix(store.connection, "1") == []


def test_jobs_are_counted_by_project_and_state(store: Direct) -> None:
    counts = query.count_jobs(store.connection)
    assert sum(counts["a"].values()) == sum(counts["b"].values()) == 15
    assert {state for found in counts.values() for state in found} == {"succeeded", "running"}


# --- plans ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A store whose tables were never looked at, one that was when it had hardly anything, and one with years in it."""
    folder = tmp_path_factory.mktemp("plans")
    found = {name: folder / f"{name}.db" for name in ("none", "few rows", "skewed")}
    for name, path in found.items():
        connection = sqlite3.connect(path, isolation_level=None)
        prepare(connection)
        ids = fill(connection, {"none": 200, "few rows": 20, "skewed": 4_000}[name])
        connection.execute("INSERT INTO meta VALUES ('removing', ?)", (ids[0],))
        if name != "none":
            analyze(connection)
        connection.close()
    return found


class Explaining(sqlite3.Connection):
    """Notes how SQLite would go about every statement."""

    plans: list[str]

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql.lstrip().startswith(("SELECT", "DELETE")):
            self.plans += (row[3] for row in super().execute("EXPLAIN QUERY PLAN " + sql, parameters))
        return super().execute(sql, parameters)


@pytest.mark.parametrize(
    ("ask", "index"),
    [
        (lambda one: list(query.job_rows(one, limit=5)), "jobs_listed"),
        (lambda one: list(query.job_rows(one, before_ms=5, before_id="x", limit=5)), "jobs_listed"),
        (lambda one: list(query.job_rows(one, ended_only=True, limit=5)), "jobs_listed"),
        (lambda one: list(query.job_rows(one, project="a", limit=5)), "jobs_by_project"),
        (lambda one: list(query.job_rows(one, project="a", before_ms=5, limit=5)), "jobs_by_project"),
        (lambda one: list(query.job_rows(one, project="a", ended_only=True, limit=5)), "jobs_by_project"),
        (live.live_jobs, "jobs_live"),
        (lambda one: query.job(one, "a"), "PRIMARY KEY"),
        (lambda one: query.attempts(one, "a"), "attempts_by_task"),
        (lambda one: query.ended(one, [AttemptId("a")]), "PRIMARY KEY"),
        (lambda one: query.ids_with_prefix(one, "a"), "PRIMARY KEY"),
        (lambda one: query.states(one, ["a"]), "PRIMARY KEY"),
        (query.count_jobs, "COVERING INDEX jobs_by_state"),
        (query.encoded_live_rows, "jobs_live"),
        (lambda one: query.tasks(one, "a", 5, 5), "PRIMARY KEY"),
        (lambda one: query.detail(one, query.ids_with_prefix(one, "", 1)[0], 0, 5, 5), "attempts_by_task"),
        (lambda one: query.job_row(one, "a"), "PRIMARY KEY"),
        (lambda one: query.task_state(one, "a", 5), "PRIMARY KEY"),
        (lambda one: query.events(one, limit=5), "events"),
        (lambda one: query.events(one, before_seq=5, limit=5), "INTEGER PRIMARY KEY"),
        (lambda one: query.events(one, job_id="a", limit=5), "events_by_job"),
        (lambda one: query.events(one, job_id="a", before_seq=5, limit=5), "events_by_job"),
        (lambda one: query.events(one, subject="a", limit=5), "events_by_subject"),
        (lambda one: query.events(one, subject="a", before_seq=5, limit=5), "events_by_subject"),
        (lambda one: removal.ended(one, 5, 5), "jobs_ended"),
        (lambda one: removal.events_before(one, NOW_MS), "INTEGER PRIMARY KEY"),
        (lambda one: removal.loose_events(one, range(5, 9)), "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
        (lambda one: removal.continue_removal(one, 1 << 30), "events_by_job"),
        (lambda one: removal.continue_removal(one, 1 << 30), "attempts_by_task"),
        (lambda one: removal.continue_removal(one, 1 << 30), "tasks USING PRIMARY KEY (job_id=? AND task_index<?)"),
    ],
)
@pytest.mark.parametrize("statistics", ["none", "few rows", "skewed"])
def test_every_question_has_its_index(
    ask: Callable[[sqlite3.Connection], object], index: str, stores: dict[str, Path], statistics: str
) -> None:
    """What the planner knows of the tables may help it; it never talks it out of an index."""
    connection = sqlite3.connect(stores[statistics], factory=Explaining, isolation_level=None)
    connection.plans = []
    connection.execute("BEGIN")
    ask(connection)
    connection.execute("ROLLBACK")
    plans = " | ".join(connection.plans)
    assert index in plans
    assert "TEMP B-TREE" not in plans, "rows come in order, nothing has to be sorted"
    assert not re.search(r"SCAN (?!(jobs|events|workers)\b|attempts USING INDEX attempts_open|\(subquery)", plans)
    connection.close()


def test_a_blob_of_a_newer_version_is_read_by_an_older_one() -> None:
    """New fields are skipped, missing ones have defaults."""
    task = msgspec.msgpack.encode({"index": 3, "state": "pending", "new_field": [1, 2]})
    assert query.read_task(task).index == 3


def test_jobs_submitted_alike_share_what_they_have_in_common_after_a_restart_too() -> None:
    store, world = Direct(), World()
    world.on_commit = store.commit
    submitted = [world.submit(name="same", command=("train", number), turn=False) for number in "1123"]
    other = world.submit(name="same", priority=3)
    assert len({job.terms for job in submitted}) == 1
    loaded = {job.id: job for job in live.live_jobs(store.connection).jobs}
    assert all(loaded[job.id].terms is submitted[0].terms for job in submitted)
    assert all(loaded[job.id].spec == job.spec for job in (*submitted, other))
    assert loaded[submitted[0].id].spec is loaded[submitted[1].id].spec
    assert loaded[submitted[0].id].kept_tasks is loaded[submitted[3].id].kept_tasks
    assert loaded[submitted[0].id].counts is loaded[submitted[3].id].counts
    assert loaded[other.id].terms is not submitted[0].terms


def test_a_start_reads_the_same_by_the_index_and_from_the_whole_table(
    store: Direct, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for whole in (True, False):
        monkeypatch.setattr(live, "_are_most_live", lambda _, whole=whole: whole)
        jobs, attempts, titles, alike = live.live_jobs(store.connection)
        told = {job.id: title for one in alike for job, title in zip(*one, strict=True)} | titles
        found.append(([(job.id, job.spec, job.tasks, job.counts) for job in jobs], attempts, told))
    assert found[0] == found[1]
    assert len(found[0][0]) == 5


def test_a_waiting_job_takes_few_bytes_after_a_start() -> None:
    """Of 100,000 that wait the coordinator's memory holds 150 MB in all."""
    store, world = Direct(), World()
    world.on_commit = store.commit
    for number in range(1_000):
        world.submit(name="same", command=("python", "train.py", "--config", "large.yaml", str(number)), turn=False)
    world.turn()
    gc.collect()
    tracemalloc.start()
    fleet = rebuild.load(store.connection, world.random.getrandbits, "lab", world.now_ms)
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(fleet.jobs) == 1_000
    assert taken / 1_000 < 1_000
