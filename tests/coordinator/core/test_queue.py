"""The queue as such: moving jobs in it, taking them off, how many tasks of one run at a time."""

from typing import Any

import pytest

from opsconsole.queue_moves import moves_of
from opsconsole_coordinator.core import queue
from opsconsole_protocol.error import Conflict, InvalidRequest, LimitExceeded, NotFound
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.state import TaskState
from tests.coordinator.core.world import World


def names(world: World) -> list[str]:
    """The queue, as the scheduler has it."""
    return [world.fleet.jobs[job].spec.name for job in world.fleet.order]


def queued(world: World, *wanted: str, **fields: Any) -> dict[str, JobId]:
    """Jobs that wait, as no worker is there."""
    return {name: world.submit(name=name, **fields).id for name in wanted}


def move(world: World, job: JobId, where: str, other: JobId | None = None) -> str:
    return world.reactor.on_move(job, where, other, "ana", world.now_ms)


def test_a_job_is_moved_before_and_after_others(world: World) -> None:
    ids = queued(world, "a", "b", "c", "d")
    assert "2 of 4 of ana's jobs in project default with priority 0" in move(world, ids["d"], "before", ids["b"])
    assert names(world) == ["a", "d", "b", "c"]
    move(world, ids["a"], "after", ids["b"])
    assert names(world) == ["d", "b", "a", "c"]
    move(world, ids["c"], "first")
    assert names(world) == ["c", "d", "b", "a"]
    move(world, ids["c"], "later")
    move(world, ids["d"], "last")
    move(world, ids["a"], "earlier")
    assert names(world) == ["c", "a", "b", "d"]
    assert "stands there already" in move(world, ids["c"], "earlier")
    assert "stands there already" in move(world, ids["a"], "before", ids["b"])


@pytest.mark.parametrize(
    ("together", "where", "other", "order"),
    [
        ("bc", "earlier", "", "bcade"),
        ("bc", "later", "", "adbce"),
        ("ab", "earlier", "", "abcde"),
        ("de", "later", "", "abcde"),
        ("bd", "earlier", "", "bdace"),
        ("bd", "later", "", "acebd"),
        ("db", "first", "", "dbace"),
        ("ac", "last", "", "bdeac"),
        ("ab", "after", "d", "cdabe"),
        ("ed", "before", "b", "aedbc"),
        ("aab", "last", "", "cdeab"),
    ],
)
def test_several_are_moved_together_in_their_order(
    together: str, where: str, other: str, order: str, world: World
) -> None:
    ids = queued(world, *"abcde")
    for asked in moves_of([ids[one] for one in together], where, ids.get(other, "")):
        move(world, JobId(asked.id), asked.where, JobId(asked.other) if asked.other else None)
    assert "".join(names(world)) == order


def test_the_scheduler_starts_them_in_that_order(world: World) -> None:
    ids = queued(world, "a", "b", "c")
    move(world, ids["c"], "first")
    worker = world.worker("w1")
    for name in ("c", "a", "b"):
        attempt = worker.started()
        assert attempt.job_id == ids[name]
        worker.succeed(attempt)


def test_nobody_elses_turn_changes_by_a_move(world: World) -> None:
    queued(world, "ana-1")
    world.submit(name="ben-1", by="ben")
    ids = queued(world, "ana-2")
    move(world, ids["ana-2"], "first")
    assert names(world) == ["ana-2", "ben-1", "ana-1"]


def test_a_job_that_comes_later_stands_behind_those_that_were_moved_back(world: World) -> None:
    ids = queued(world, "a", "b")
    move(world, ids["a"], "last")
    queued(world, "c")
    assert names(world) == ["b", "a", "c"]


def test_where_an_order_decides_nothing_the_answer_says_what_does(world: World) -> None:
    job = queued(world, "a")["a"]
    urgent, elsewhere = queued(world, "b", priority=5)["b"], queued(world, "c", project="vision")["c"]
    bens = world.submit(name="d", by="ben").id
    for other, match in (
        (urgent, "priority 0 and job .* 5: that decides"),
        (elsewhere, "which project is next is decided by their shares"),
        (bens, "is ana's and job .* ben's: who is next is decided by their shares"),
    ):
        with pytest.raises(Conflict, match=match):
            move(world, job, "before", other)
    with pytest.raises(InvalidRequest, match="before or after itself"):
        move(world, job, "before", job)
    with pytest.raises(InvalidRequest, match="is no place"):
        move(world, job, "beside")
    for where, other_id in (("before", None), ("first", urgent)):
        with pytest.raises(InvalidRequest, match="name the job"):
            move(world, job, where, other_id)
    with pytest.raises(Conflict, match="has ended: only jobs that wait"):
        move(world, JobId("0000000000"), "first")


def test_a_job_that_runs_has_no_place_and_a_held_one_keeps_its_own(world: World) -> None:
    ids = queued(world, "a", "b", "c")
    world.act("hold", world.fleet.jobs[ids["c"]])
    assert move(world, ids["c"], "first").endswith("; it is held")
    assert names(world) == ["a", "b"]
    world.act("release", world.fleet.jobs[ids["c"]])
    assert names(world) == ["c", "a", "b"]
    world.worker("w1").started()
    with pytest.raises(Conflict, match="has no task that waits"):
        move(world, ids["c"], "last")


def test_a_job_is_moved_past_so_many_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "PASSED_MAX", 2)
    ids = queued(world, "a", "b", "c", "d")
    with pytest.raises(LimitExceeded, match="3 jobs stand between"):
        move(world, ids["d"], "first")
    assert names(world) == ["a", "b", "c", "d"]


def test_popping_takes_the_next_one_and_nobody_gets_it_twice(world: World) -> None:
    queued(world, "a", "b")
    queued(world, "urgent", priority=3)
    queued(world, "elsewhere", project="vision")
    queued(world, "held", held=True)

    def pop(project: str = "", index: int = 0, *, hold: bool = False) -> tuple[str, TaskState]:
        job = world.reactor.on_pop(project, index, "ana", world.now_ms, hold=hold)
        return job.spec.name, job.state

    assert pop() == ("urgent", "killed")
    assert pop("vision") == ("elsewhere", "killed")
    assert pop("default", -1, hold=True) == ("b", "held")
    assert pop() == ("a", "killed")
    with pytest.raises(NotFound, match="no job waits of project default"):
        pop("default")
    queued(world, "c")
    with pytest.raises(NotFound, match="1 job waits: there is none to take at place 1"):
        pop("", 1)


def test_what_has_begun_or_waits_for_others_isnt_popped(world: World) -> None:
    worker = world.worker("w1")
    first = world.submit(name="sweep", num_tasks=2)
    worker.started()
    world.submit(name="after", after=(first.id,))
    with pytest.raises(NotFound):
        world.reactor.on_pop("", 0, "ana", world.now_ms, hold=False)


def test_clearing_cancels_what_hasnt_begun(world: World) -> None:
    worker = world.worker("w1")
    running = world.submit(name="running", num_tasks=2)
    worker.started()
    ids = queued(world, "a", "b")
    queued(world, "held", held=True)
    dependent = world.submit(name="after a", after=(ids["a"],))
    other = queued(world, "c", project="vision")["c"]
    found, more = world.reactor.on_clear("default", 2, "ana", world.now_ms, dry_run=True)
    assert (len(found), more) == (2, True)
    assert dependent.state is TaskState.PENDING
    found, more = world.reactor.on_clear("default", 100, "ana", world.now_ms, dry_run=False)
    assert (len(found), more) == (4, False)
    assert found[0] == ids["a"]
    assert {world.fleet.jobs[job].state for job in found} == {"killed"}
    assert not running.is_finished
    assert world.fleet.jobs[other].state is TaskState.PENDING


def test_how_many_tasks_run_at_a_time_is_changed_while_they_run(world: World) -> None:
    worker = world.worker("w1", slots=4)
    job = world.submit(num_tasks=4, max_parallel=1)
    world.turn()
    assert len(world.fleet.live_attempts(job)) == 1
    assert (
        world.reactor.on_set_parallel(job.id, 3, "ana", world.now_ms)
        == "at most 3 of its tasks run at a time, set by ana"
    )
    world.turn()
    assert len(world.fleet.live_attempts(job)) == 3
    world.reactor.on_set_parallel(job.id, 1, "ana", world.now_ms)
    world.turn()
    assert len(world.fleet.live_attempts(job)) == 3  # those that run go on
    assert world.reactor.on_set_parallel(job.id, None, "ana", world.now_ms).startswith("any number of its tasks runs")
    world.turn()
    assert len(world.fleet.live_attempts(job)) == 4
    worker.inbox.clear()
    with pytest.raises(Conflict, match="has ended"):
        world.reactor.on_set_parallel(JobId("0000000000"), 1, "ana", world.now_ms)
    gang = world.submit(num_tasks=3, gang=True)
    with pytest.raises(InvalidRequest, match="all at once"):
        world.reactor.on_set_parallel(gang.id, 1, "ana", world.now_ms)


def test_a_jobs_row_says_where_it_stands(world: World) -> None:
    ids = queued(world, "a", "b")
    move(world, ids["b"], "first")
    world.turn()
    assert world.rows[ids["b"]].place < world.rows[ids["a"]].place


def test_a_project_without_jobs_is_clear_already(world: World) -> None:
    world.reactor.on_set_project("vision", None, None, "ana", world.now_ms, None)
    assert world.reactor.on_clear("vision", 5, "ana", world.now_ms, dry_run=False) == ([], False)
