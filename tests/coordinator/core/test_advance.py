"""Progress that tasks tell of is shown, and never stored (hard use: "progress … shows at once for a first run").

The kind: what heartbeats bring changes rows in memory and costs no commit.
"""

from opsconsole_coordinator.core import view
from opsconsole_coordinator.core.reporting import note_reported
from opsconsole_protocol.link import TaskProgress
from opsconsole_protocol.report import Progress, Reported
from opsconsole_protocol.spec import PauseBy
from opsconsole_protocol.state import AttemptState
from tests.coordinator.core.world import World


def test_one_task_shows_its_own_count_without_a_commit(world: World) -> None:
    worker, job = world.worker(), world.submit()
    attempt = worker.started()
    world.fleet.drain()
    message = TaskProgress(done=41, total=100, eta_ms=9_000)
    worker.heartbeat(progress={attempt.id: message})
    assert view.job_row(world.fleet, job).advance == message
    assert view.task_row(job, job.tasks[0], [attempt]).progress == message
    worker.succeed(attempt)
    assert view.job_row(world.fleet, job).advance is None


def test_several_tasks_count_with_parts_of_running_ones(world: World) -> None:
    worker = world.worker(slots=2)
    job = world.submit(num_tasks=4)
    first, second = worker.started(), worker.started()
    worker.succeed(first)
    worker.heartbeat(progress={second.id: TaskProgress(done=50, total=100, eta_ms=10)})
    advance = view.job_row(world.fleet, job).advance
    assert advance is not None
    assert (advance.done, advance.total, advance.eta_ms) == (1.5, 4, None)
    worker.take_all()


def test_how_far_a_preparation_is_counts_for_nothing_else(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = worker.assigned()
    worker.report(attempt, AttemptState.BUILDING, build_started_ms=1)
    worker.heartbeat(progress={attempt.id: TaskProgress(done=1, total=3)})
    assert view.task_row(job, job.tasks[0], [attempt]).progress == TaskProgress(done=1, total=3)
    assert view.job_row(world.fleet, job).advance is None
    worker.report(attempt, AttemptState.RUNNING, started_at_ms=2)
    assert view.task_row(job, job.tasks[0], [attempt]).progress is None
    worker.take_all()


def test_a_claim_about_others_work_or_beyond_all_measure_changes_nothing(world: World) -> None:
    worker, liar = world.worker("w1"), world.worker("w2")
    job = world.submit()
    attempt = worker.started() if worker.inbox else liar.started()
    other = liar if attempt.worker_name == "w1" else worker
    other.heartbeat(progress={attempt.id: TaskProgress(done=1, total=2)})
    mine = worker if other is liar else liar
    for done, total in ((3, 2), (-1, 2), (1, 0), (float("nan"), 2), (float("inf"), float("inf"))):
        mine.heartbeat(progress={attempt.id: TaskProgress(done=done, total=total)})
    assert view.job_row(world.fleet, job).advance is None


def test_how_far_a_task_was_when_it_failed_stays_with_its_job_also_where_that_is_told_after_its_end(
    world: World,
) -> None:
    """It was there a second before, and then gone."""
    worker, job = world.worker(), world.submit(max_retries_failure=0)
    attempt = worker.started()
    worker.heartbeat(progress={attempt.id: TaskProgress(done=2, total=10, eta_ms=9_000)})
    ended = {"exit_code": 1, "error": "exit code 1", "started_at_ms": world.now_ms, "finished_at_ms": world.now_ms}
    worker.report(attempt, AttemptState.FAILED, log_sizes={"report": 100}, **ended)
    assert view.job_row(world.fleet, job).advance == TaskProgress(done=2, total=10)
    world.fleet.drain()
    note_reported(world.fleet, attempt.id, Reported(progress=Progress(3, 10), progress_at_ms=1), world.now_ms)
    assert view.job_row(world.fleet, job).advance == TaskProgress(done=3, total=10)
    assert job in world.fleet.drain().jobs, "its stored row says so, too"
    worker.take_all()


def test_how_far_a_preparation_was_that_failed_is_no_progress(world: World) -> None:
    worker, job = world.worker(), world.submit(max_retries_failure=0)
    attempt = worker.assigned()
    worker.report(attempt, AttemptState.BUILDING, build_started_ms=1)
    worker.heartbeat(progress={attempt.id: TaskProgress(done=1, total=3)})
    worker.report(attempt, AttemptState.FAILED, error="the setup failed", finished_at_ms=world.now_ms)
    assert view.job_row(world.fleet, job).advance is None
    worker.take_all()


def test_tasks_that_have_made_way_count_with_what_they_had_reached(world: World) -> None:
    """A sweep that a checkpoint paused showed no progress at all."""
    worker = world.worker(slots=2)
    job = world.submit(num_tasks=2)
    first, second = worker.started(), worker.started()
    worker.heartbeat(progress={one.id: TaskProgress(done=30, total=100) for one in (first, second)})
    world.reactor.on_act("pause", job.id, None, "ana", "", world.now_ms, PauseBy.CHECKPOINT)
    world.turn()
    for attempt in (first, second):
        worker.report(attempt, AttemptState.FAILED, exit_code=85, error="exit code 85", finished_at_ms=world.now_ms)
    assert view.job_row(world.fleet, job).advance == TaskProgress(done=0.6, total=2)
    worker.take_all()
