"""Time-outs of whole jobs: over all tasks and retries, not while it stands still, and as failures."""

from typing import Any

from opsconsole_coordinator.core.model import Job
from opsconsole_protocol import link
from opsconsole_protocol.state import AttemptState
from tests.coordinator.core.world import FakeWorker, World, state, task_of

LIMIT_MS = 10_000


def timed(world: World, **fields: Any) -> Job:
    return world.submit(job_timeout_ms=LIMIT_MS, **fields)


def end(worker: FakeWorker, reason: str = "job timed out after 10s") -> None:
    """The one that runs is told to end, and does."""
    (attempt,) = worker.record.live.values()
    assert worker.stop(attempt).reason == reason
    worker.killed(attempt)
    assert attempt.state is AttemptState.FAILED


def test_all_tasks_fail_when_the_time_is_over(world: World) -> None:
    worker = world.worker()
    job = timed(world, num_tasks=3, max_task_failures=9, max_retries_failure=9)
    worker.started()
    world.pass_ms(LIMIT_MS + 1_000)
    assert [str(task.state) for task in job.tasks] == ["running", "failed", "failed"]
    end(worker)
    assert [str(task.state) for task in job.tasks] == ["failed"] * 3
    assert {task.reason for task in job.tasks} == {"job timed out after 10s"}
    assert world.rows[job.id].state == "failed"
    assert any(event.kind == "timeout" and event.subject == job.id for event in world.events)


def test_it_counts_from_the_first_start_over_retries(world: World) -> None:
    worker = world.worker()
    world.pass_ms(60_000)
    job = timed(world, max_retries_failure=9)
    attempt = worker.assigned()
    world.pass_ms(60_000)
    assert job.limit_from_ms is None, "it hasn't started"
    worker.run(attempt)
    world.pass_ms(6_000)
    worker.fail(attempt)
    world.pass_ms(2_000)
    worker.started()
    world.pass_ms(3_000)
    end(worker)
    assert state(job) == "failed"


def test_what_succeeds_at_the_last_moment_has_succeeded(world: World) -> None:
    worker = world.worker()
    job = timed(world)
    attempt = worker.started()
    world.pass_ms(LIMIT_MS + 1_000)
    worker.stop(attempt)
    worker.succeed(attempt)
    assert state(job) == "succeeded"


def test_a_job_that_ends_in_time_is_left_alone(world: World) -> None:
    worker = world.worker()
    job = timed(world)
    worker.succeed(worker.started())
    world.pass_ms(2 * LIMIT_MS)
    assert state(job) == "succeeded"
    assert not world.fleet.timed_jobs


def test_paused_time_does_not_count(world: World) -> None:
    worker = world.worker()
    job = timed(world)
    attempt = worker.started()
    world.pass_ms(5_000)
    world.act("pause", job)
    worker.take(link.SetWant)
    worker.report(attempt, AttemptState.PAUSED)
    world.pass_ms(10 * LIMIT_MS)
    assert state(job) == "paused"
    world.act("resume", job)
    worker.take(link.SetWant)
    worker.report(attempt, AttemptState.RUNNING)
    world.pass_ms(4_000)
    assert state(job) == "running"
    world.pass_ms(2_500)
    end(worker)


def test_it_counts_while_any_of_it_runs(world: World) -> None:
    one, two = world.worker("w1"), world.worker("w2")
    job = timed(world, num_tasks=2)
    first = one.started()
    two.started()
    world.act("pause", job, first.index)
    one.take(link.SetWant)
    one.report(first, AttemptState.PAUSED)
    world.pass_ms(LIMIT_MS + 1_000)
    end(one)
    end(two)
    assert state(job) == "failed"


def test_a_worker_that_is_lost_while_it_ends_the_task_changes_nothing(world: World) -> None:
    worker = world.worker()
    job = timed(world, lost_after_ms=20_000)
    attempt = worker.started()
    worker.disconnect()
    world.pass_ms(30_000)
    assert (attempt.state, str(task_of(job).state)) == (AttemptState.WORKER_FAILED, "failed")
    assert job.failed_tasks == 1


def test_a_lost_attempt_that_waits_to_be_replaced_fails_too(world: World) -> None:
    worker = world.worker()
    job = world.submit(job_timeout_ms=60_000, lost_after_ms=20_000)
    worker.started()
    worker.disconnect()
    world.pass_ms(30_000)
    assert state(job) == "pending"
    world.pass_ms(32_000)
    assert (state(job), task_of(job).reason) == ("failed", "job timed out after 1m")


def test_what_was_cancelled_before_is_killed(world: World) -> None:
    one, two = world.worker("w1"), world.worker("w2")
    job = timed(world, num_tasks=2, grace_ms=60_000)
    first = one.started()
    two.started()
    world.act("cancel", job, first.index)
    one.stop(first)
    world.pass_ms(LIMIT_MS + 1_000)
    one.killed(first)
    end(two)
    assert sorted(str(task.state) for task in job.tasks) == ["failed", "killed"]


def test_a_time_out_is_not_held_against_the_worker(world: World) -> None:
    worker = world.worker()
    for _ in range(4):
        timed(world)
        worker.started()
        world.pass_ms(LIMIT_MS + 1_000)
        end(worker)
    assert (len(worker.record.failed_jobs), worker.record.avoided_until_ms) == (0, 0)


def test_a_retry_has_the_whole_time_again(world: World) -> None:
    worker = world.worker()
    job = timed(world)
    first = worker.started()
    world.pass_ms(LIMIT_MS + 1_000)
    worker.stop(first)
    worker.report(first, AttemptState.KILLED, log_sizes={"stdout": 3})
    assert state(job) == "failed"
    world.act("retry", job)
    worker.started()
    worker.rest(first)
    world.pass_ms(LIMIT_MS - 1_000)
    assert state(job) == "running"
    world.pass_ms(2_000)
    end(worker)


def test_a_gang_times_out_while_it_starts_over(world: World) -> None:
    one, two = world.worker("w1"), world.worker("w2")
    job = timed(world, num_tasks=2, gang=True, max_retries_failure=1)
    one.started()
    second = two.started()
    world.pass_ms(9_000)
    (first,) = one.record.live.values()
    one.fail(first)
    two.stop(second)
    world.pass_ms(2_000)
    assert two.stop(second).reason == "job timed out after 10s"
    two.killed(second)
    assert [str(task.state) for task in job.tasks] == ["failed", "failed"]
    assert task_of(job, 0).failures == 1


def test_after_a_restored_backup_nothing_is_ended(world: World) -> None:
    worker = world.worker()
    job = timed(world)
    worker.started()
    world.fleet.adopting = True
    world.pass_ms(5 * LIMIT_MS)
    assert state(job) == "running"
    world.fleet.adopting = False
    world.pass_ms(1_000)
    end(worker)
