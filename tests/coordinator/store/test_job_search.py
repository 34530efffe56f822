"""A search finds what the filter finds, whatever of it SQLite decides, and looks at everything."""

import sqlite3
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from opsconsole_coordinator.core import view
from opsconsole_coordinator.core.fleet import Fleet
from opsconsole_coordinator.core.model import Worker
from opsconsole_coordinator.store import job_search, journal
from opsconsole_coordinator.store.job_search import FOLD_TO_ASCII, JobSearch, Place
from opsconsole_coordinator.store.schema import prepare
from opsconsole_protocol.api import JobRow, job_filter
from opsconsole_protocol.ids import WorkerId
from tests.coordinator.store import history

NOW_MS = history.NOW_MS
JOBS = 300
HOUR_MS = 3_600_000
NAMES = (
    "train",
    "Train",
    "eval a.b",
    "straße",
    "STRASSE",
    "\N{KELVIN SIGN}ilo",
    "kilo",
    "",
    "sweep_1",
    "ünder",
    "nul\0in",
    "a%b",
    "train-7",
)
FILTERS = (
    "", "state=failed", "state!=failed", "state in failed,succeeded", "state~^fail", "state>f", "state=held",
    "project=vision", "project=VISION", "project!=vision", "project~vis", "user=ana", "submitted_by=Bèn", "user in ana,cy",
    "name=train", "name=kilo", "name=strasse", "name~^train$", "name~tr.*n-7", "name~(train|kilo)", "name~swee?p_", "name~s.?t",
    "name~kilo", "name~a%b", "name~ra+in", "name!=train", "name>s", "created<2h", "created>=2h", "created<2h state=failed",
    f"created_at_ms>{NOW_MS - 3 * HOUR_MS}", "finished<1h", "finished>3h", f"finished_at_ms<={NOW_MS}", "finished_at_ms=7",
    "train", "TRAIN !vision", "strasse", "kilo", "ünder", "!train", "python", "priority>=5", "priority>=5 name~train",
    "name.x=1", "num_tasks=1 train", '"eval a"', "state=failed project=vision user=ana train", "reason=x", "command~py",
)  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> sqlite3.Connection:
    connection = sqlite3.connect(tmp_path_factory.mktemp("store") / "x.db", isolation_level=None)
    prepare(connection)
    rng = Random(7)  # noqa: S311 - chance that repeats itself
    fleet = Fleet(rng.getrandbits, store_id="store", name="lab")
    worker = Worker(id=WorkerId("id-of-w"), name="w")
    for number in range(JOBS):
        made_ms = NOW_MS - (number // 3) * HOUR_MS // 20  # three of each moment
        job, _ = history._job(rng, number, 1, made_ms, [worker])
        job.spec = replace(job.spec, name=rng.choice(NAMES) or None)
        job.submitted_by, job.priority = rng.choice(("ana", "Bèn", "cy")), rng.randrange(10)
        if rng.random() < 0.2:
            job.finished_at_ms = None
        put = journal._new_job(job, view.job_row(fleet, job))
        connection.execute(f"INSERT INTO jobs VALUES ({','.join('?' * len(put))})", put)
    return connection


def _rows(store: sqlite3.Connection) -> list[JobRow]:
    found = store.execute("SELECT row FROM jobs ORDER BY created_at_ms DESC, job_id DESC")
    return [job_search._row(data) for (data,) in found]


def _searched(store: sqlite3.Connection, search: JobSearch, wanted: int) -> tuple[list[str], int]:
    """All that is found, `wanted` a page, and how many were said to match."""
    found: list[str] = []
    place: Place | None = Place()
    matched = 0
    while place is not None:
        page: list[str] = []
        while place is not None and (not wanted or len(page) < wanted):
            step = search.step(store, place, wanted - len(page) if wanted else 0)
            page += [row.job_id for row in step.rows]
            matched, place = matched + step.matched, step.place
        assert len(page) <= max(wanted, 0)
        found += page
    return found, matched


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize(("heads", "rows"), [(40, 3), (5_000, 500)])
def test_a_search_finds_what_the_filter_finds(
    store: sqlite3.Connection, heads: int, rows: int, monkeypatch: pytest.MonkeyPatch, *, inverted: bool
) -> None:
    monkeypatch.setattr(job_search, "HEADS_AT_ONCE", heads)
    monkeypatch.setattr(job_search, "ROWS_AT_ONCE", rows)
    everything = _rows(store)
    for text in FILTERS:
        shown = job_filter.parse(text, inverted=inverted)
        keeps = shown.predicate(lambda row: job_filter.properties(row, NOW_MS), job_filter.haystack)
        expected = [row.id for row in everything if keeps is None or keeps(row)]
        search = JobSearch(shown, "", NOW_MS)
        assert _searched(store, search, 10) == (expected, len(expected)), text
        assert _searched(store, search, 0) == ([], len(expected)), text
        ours = [row.id for row in everything if row.project == "vision" and row.id in expected]
        assert _searched(store, JobSearch(shown, "vision", NOW_MS), 4)[0] == ours, text


def test_an_id_or_the_beginning_of_one_is_found_without_looking_at_the_others(store: sqlite3.Connection) -> None:
    job_id = _rows(store)[JOBS // 2].id
    for text in (f"id={job_id}", f"id~^{job_id[:5]}", f"id={job_id.upper()}"):
        search = JobSearch(job_filter.parse(text), "", NOW_MS)
        step = search.step(store, Place(), 10)
        assert ([row.job_id for row in step.rows], step.place) == ([job_id], None)
        asked: list[str] = []
        store.set_trace_callback(asked.append)
        search._heads(store, Place(), None, 10)
        store.set_trace_callback(None)
        [(*_, plan)] = [row for row in store.execute(f"EXPLAIN QUERY PLAN {asked[0]}") if "jobs" in row[3]]
        assert plan == "SEARCH jobs USING PRIMARY KEY (job_id>? AND job_id<?)"


def test_what_most_filters_ask_about_is_in_the_index(store: sqlite3.Connection) -> None:
    asked: list[str] = []
    store.set_trace_callback(asked.append)
    JobSearch(job_filter.parse("name~x state=failed user=ana created<1d"), "vision", NOW_MS).step(store, Place(), 0)
    store.set_trace_callback(None)
    plans = [row[3] for one in asked for row in store.execute(f"EXPLAIN QUERY PLAN {one}")]
    assert any("COVERING INDEX jobs_listed" in one for one in plans)
    assert all("COVERING" in one for one in plans if "jobs" in one), plans


def test_a_word_across_two_fields_is_found_where_the_filter_finds_it(store: sqlite3.Connection) -> None:
    row = next(one for one in _rows(store) if one.name == "train")
    shown = job_filter.parse(f'"{row.id} train {row.project}"')
    assert _searched(store, JobSearch(shown, "", NOW_MS), 10)[0] == [row.id]


def test_letters_that_fold_to_ascii_are_all_known() -> None:
    """A row that has none of them has a word of ASCII letters as such, or not at all."""
    others = map(chr, (*range(0x80, 0xD800), *range(0xE000, 0x110000)))
    assert {one for one in others if any(part.isascii() for part in one.casefold())} == set(FOLD_TO_ASCII)


def test_a_store_of_the_version_before_is_searched_by_who_submitted(tmp_path: Path) -> None:
    (old,) = Path(__file__).parent.glob("old/v4.db")
    path = tmp_path / "v4.db"
    path.write_bytes(old.read_bytes())
    connection = sqlite3.connect(path, isolation_level=None)
    [(spoilt,)] = connection.execute("SELECT job_id FROM jobs ORDER BY job_id LIMIT 1").fetchall()
    connection.execute("UPDATE jobs SET data = x'ff' WHERE job_id = ?", (spoilt,))
    prepare(connection)
    assert connection.execute("SELECT submitted_by FROM jobs WHERE job_id = ?", (spoilt,)).fetchone() == ("",)
    rows = [row for row in _rows(connection) if row.id != spoilt]
    assert rows
    assert rows[0].submitted_by
    search = JobSearch(job_filter.parse(f'user="{rows[0].submitted_by}"'), "", NOW_MS)
    found, _ = _searched(connection, search, 100)
    assert found == [row.id for row in rows if row.submitted_by == rows[0].submitted_by]
