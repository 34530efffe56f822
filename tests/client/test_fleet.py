"""The fold: a snapshot and updates make the same view however they come, and it stays small."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from opsconsole.fleet import Change, Fleet
from opsconsole_protocol.api import EventRow, JobRow, ProjectRow, Snapshot, Update, WorkerRow
from tests.client.row import NOW_MS, event_row, job_row, worker_row

FINISHED_MAX = 4

job_ids = st.sampled_from([f"j{number}" for number in range(8)])
states = st.sampled_from(["pending", "running", "paused", "succeeded", "failed"])


@st.composite
def jobs(draw: st.DrawFn) -> JobRow:
    state = draw(states)
    ended = NOW_MS + draw(st.integers(0, 50)) if state in ("succeeded", "failed") else None
    number = draw(st.integers(1, 3))
    return job_row(draw(job_ids), state=state, num_tasks=number, task_counts={state: number}, finished_at_ms=ended)


@st.composite
def workers(draw: st.DrawFn) -> WorkerRow:
    status = draw(st.sampled_from(["available", "busy", "maintenance"]))
    connection = draw(st.sampled_from(["connected", "silent", "lost"]))
    return worker_row(draw(st.sampled_from("abc")), status=status, connection=connection)


events = st.integers(0, 30).map(event_row)
updates = st.builds(
    Update,
    seq=st.integers(0, 20),
    workers=st.lists(workers(), max_size=3, unique_by=lambda row: row.id).map(tuple),
    workers_removed=st.lists(st.sampled_from(["worker-a", "worker-b"]), max_size=1).map(tuple),
    jobs=st.lists(jobs(), max_size=6, unique_by=lambda row: row.id).map(tuple),
    events=st.lists(events, max_size=4).map(tuple),
)
histories = st.lists(updates, max_size=8).map(lambda found: sorted(found, key=lambda update: update.seq))


def snapshot(*job_rows: JobRow, seq: int = 0, **fields: Any) -> Snapshot:
    values: dict[str, Any] = {
        "seq": seq, "coordinator": "lab", "workers": (), "jobs": job_rows, "events": (), "jobs_total": len(job_rows)
    }  # fmt: skip
    return Snapshot(**{**values, **fields})


def view(fleet: Fleet) -> tuple[Any, ...]:
    return (fleet.seq, dict(fleet.workers), dict(fleet.jobs), tuple(fleet.events), fleet.counts, fleet.jobs_total)


def folded(history: list[Update]) -> Fleet:
    fleet = Fleet(finished_max=FINISHED_MAX, events_max=5)
    fleet.reset(snapshot())
    for update in history:
        fleet.fold(update)
    return fleet


@given(histories)
def test_folding_an_update_twice_changes_nothing(history: list[Update]) -> None:
    fleet = folded([])
    for update in history:
        fleet.fold(update)
        before = view(fleet)
        again = fleet.fold(update)
        assert view(fleet) == before
        assert not again.jobs
        assert not again.events


@given(histories)
def test_memory_is_bounded_and_live_jobs_are_never_dropped(history: list[Update]) -> None:
    fleet = folded(history)
    finished = [row for row in fleet.jobs.values() if row.finished_at_ms is not None]
    assert len(finished) <= FINISHED_MAX
    assert len(fleet.events) <= 5
    last = {row.id: row for update in history for row in update.jobs}
    live = {row.id for row in last.values() if row.finished_at_ms is None}
    assert live <= set(fleet.jobs)


@given(histories)
def test_counts_agree_with_a_recount(history: list[Update]) -> None:
    fleet = folded(history)
    unfinished = [row for row in fleet.jobs.values() if row.finished_at_ms is None]
    for state in ("pending", "running", "paused"):
        assert fleet.counts.tasks.get(state, 0) == sum(row.task_counts.get(state, 0) for row in unfinished)
    counts = fleet.counts
    assert counts.up + counts.silent + counts.lost + counts.draining == len(fleet.workers)


@given(histories)
def test_changes_name_exactly_what_changed(history: list[Update]) -> None:
    fleet = folded([])
    for update in history:
        old_jobs, old_workers = dict(fleet.jobs), dict(fleet.workers)
        change = fleet.fold(update)
        changed = {key for key, row in fleet.jobs.items() if old_jobs.get(key) != row}
        assert change.jobs == changed
        assert change.jobs_removed == old_jobs.keys() - fleet.jobs.keys()
        assert change.workers_removed >= old_workers.keys() - fleet.workers.keys()
        assert {key for key, row in fleet.workers.items() if old_workers.get(key) != row} <= change.workers


def test_an_update_older_than_the_snapshot_is_not_folded() -> None:
    fleet = Fleet()
    fleet.reset(snapshot(job_row("j", state="succeeded", finished_at_ms=NOW_MS), seq=7))
    assert not fleet.fold(Update(seq=6, jobs=(job_row("j", state="running"),)))
    assert fleet.jobs["j"].state == "succeeded"


def test_the_oldest_finished_jobs_are_dropped_first() -> None:
    fleet = Fleet(finished_max=2)
    rows = [job_row(f"j{n}", state="succeeded", finished_at_ms=NOW_MS + n) for n in range(3)]
    fleet.reset(snapshot(*rows[:2], jobs_total=2))
    change = fleet.fold(Update(seq=1, jobs=(rows[2],)))
    assert set(fleet.jobs) == {"j1", "j2"}
    assert change.jobs_removed == {"j0"}
    assert fleet.jobs_total == 3


def test_the_rest_of_a_snapshot_is_counted_once_and_what_comes_after_it_as_well() -> None:
    """Live jobs that don't fit the first frame come as updates of the snapshot's number."""
    fleet = Fleet()
    fleet.reset(snapshot(job_row("a"), seq=7, jobs_total=5))
    fleet.fold(Update(seq=7, jobs=(job_row("b"), job_row("c"))))
    assert fleet.jobs_total == 5
    fleet.fold(Update(seq=8, jobs=(job_row("d"),)))
    fleet.fold(Update(seq=8, jobs=(job_row("e"),)))
    assert fleet.jobs_total == 7


def test_a_retried_job_counts_again_and_is_no_longer_dropped() -> None:
    fleet = Fleet(finished_max=1)
    fleet.reset(snapshot(job_row("a", state="failed", task_counts={"failed": 1}, finished_at_ms=NOW_MS)))
    fleet.fold(Update(seq=1, jobs=(job_row("a", task_counts={"pending": 1}),)))
    fleet.fold(Update(seq=2, jobs=(job_row("b", state="succeeded", finished_at_ms=NOW_MS + 1),)))
    assert set(fleet.jobs) == {"a", "b"}
    assert fleet.counts.waiting == 1


def test_a_reset_forgets_what_the_snapshot_doesnt_have() -> None:
    fleet = Fleet()
    fleet.reset(snapshot(job_row("old"), workers=(worker_row("a"),), events=(event_row(9),), seq=9))
    change = fleet.reset(snapshot(job_row("new"), events=(event_row(1),), seq=2))
    assert change.reset
    assert set(fleet.jobs) == {"new"}
    assert fleet.workers == {}
    assert [row.seq for row in fleet.events] == [1]
    assert fleet.seq == 2


def test_the_header_counts_workers_and_gpus() -> None:
    fleet = Fleet()
    rows = (worker_row("a", gpus_free=()), worker_row("b", status="maintenance"), worker_row("c", connection="lost"))
    fleet.reset(snapshot(workers=rows))
    counts = fleet.counts
    assert (counts.up, counts.draining, counts.lost, counts.gpus, counts.gpus_used) == (1, 1, 1, 3, 1)


def test_projects_come_with_the_snapshot() -> None:
    project = ProjectRow(name="pose", description="", status="active", created_at_ms=0, updated_at_ms=0, job_counts={})
    fleet = Fleet()
    fleet.reset(snapshot(projects=(project,)))
    assert fleet.projects == {"pose": project}


def test_two_changes_add_up() -> None:
    events: tuple[EventRow, ...] = (event_row(1), event_row(2))
    one = Change(workers=frozenset("ab"), jobs=frozenset({"x"}), events=events[:1])
    two = Change(workers_removed=frozenset("b"), jobs_removed=frozenset({"x"}), events=events[1:])
    both = one | two
    assert both.workers == {"a"}
    assert both.workers_removed == {"b"}
    assert both.jobs == frozenset()
    assert both.events == events
    assert not Change()
    assert both
