"""The bugs of the systems that this one replaces, each with the test that keeps it out."""

import pytest

from opsconsole_coordinator.core.avoidance import AVOID_AFTER_FAULTS, AVOID_MS
from opsconsole_coordinator.core.demand import AVOID_WAIT_MS
from opsconsole_coordinator.core.liveness import WORKER_LOST_AFTER_MS
from opsconsole_protocol import link
from opsconsole_protocol.error import Unavailable
from opsconsole_protocol.link import SILENT_AFTER_MS, Mode, Observed
from opsconsole_protocol.state import AttemptState, TaskState
from tests.coordinator.core.world import World, gpus, state, task_of

LOST_MS = 60_000


def test_tasks_pending_for_ever_when_all_workers_fail(world: World) -> None:
    """A task that failed everywhere is tried again everywhere, until its budget is used up."""
    workers = [world.worker("w1"), world.worker("w2")]
    job = world.submit(max_retries_failure=5)
    for number in range(6):
        world.pass_ms(AVOID_MS)
        [worker] = [one for one in workers if one.inbox]
        worker.fail(worker.started())
        assert task_of(job).attempts == number + 1
    assert job.state is TaskState.FAILED


def test_tasks_pending_for_ever_when_the_only_other_worker_is_lost(world: World) -> None:
    one, two = world.worker("w1"), world.worker("w2")
    two.disconnect()
    world.pass_ms(WORKER_LOST_AFTER_MS + 1_000)
    assert two.record.connection == "lost"
    job = world.submit(max_retries_failure=1)
    one.fail(one.started())
    world.pass_ms(2_000)
    one.succeed(one.started())
    assert job.state is TaskState.SUCCEEDED


def test_tasks_pending_for_ever_when_the_only_other_worker_is_busy(world: World) -> None:
    one, two = world.worker("w1"), world.worker("w2")
    world.submit(worker="w2")
    two.started()
    job = world.submit(max_retries_failure=1)
    one.fail(one.started())
    world.pass_ms(AVOID_WAIT_MS - 5_000)
    assert not one.inbox, "for a while it waits for the other worker"
    world.pass_ms(6_000)
    one.succeed(one.started())
    assert job.state is TaskState.SUCCEEDED


def test_tasks_pending_for_ever_when_every_worker_is_avoided(world: World) -> None:
    worker = world.worker()
    for _ in range(AVOID_AFTER_FAULTS):
        world.submit()
        worker.fail(worker.started(), worker_fault=True)
    assert worker.record.avoided_until_ms
    job = world.submit()
    worker.succeed(worker.started())
    assert job.state is TaskState.SUCCEEDED, "there is no other"


def test_a_finished_task_taken_for_lost(world: World) -> None:
    """A task that ended while its worker couldn't be reached has succeeded, however long that took."""
    worker = world.worker()
    job = world.submit()
    attempt = worker.started()
    worker.disconnect()
    worker.attempts[attempt.id] = Observed(
        attempt_id=attempt.id, state=AttemptState.SUCCEEDED, started_at_ms=1, finished_at_ms=2, exit_code=0
    )
    world.pass_ms(10 * LOST_MS)
    assert state(job) == "pending"
    worker.connect()
    worker.take(link.Registered)
    worker.forget(attempt)
    assert not worker.take(link.DesiredSet).attempts
    assert job.state is TaskState.SUCCEEDED
    assert task_of(job).attempts == 1
    assert task_of(job).preemptions == 0


def test_a_finished_task_whose_end_was_committed_is_not_lost_when_its_worker_has_forgotten_it(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    worker.succeed(worker.started())
    worker.disconnect()
    worker.connect()
    worker.take(link.Registered)
    assert job.state is TaskState.SUCCEEDED


def test_a_dead_workers_tasks_running_for_hours(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = worker.started()
    world.pass_ms(SILENT_AFTER_MS + 1_000, beating=False)
    assert (worker.record.connection, job.state) == ("silent", TaskState.RUNNING)
    world.pass_ms(LOST_MS - SILENT_AFTER_MS, beating=False)
    assert (worker.record.connection, job.state) == ("lost", TaskState.PENDING)
    assert attempt.lost
    assert "worker w1 is lost: nothing heard for 1m" in task_of(job).reason


def test_a_dead_worker_behind_an_open_socket_is_lost_too(world: World) -> None:
    """The application's own heartbeats decide, not the socket's close."""
    worker = world.worker()
    job = world.submit(lost_after_ms=20_000)
    worker.started()
    world.pass_ms(21_000, beating=False)
    assert worker.session is not None
    assert job.state is TaskState.PENDING


def test_a_closed_socket_alone_is_no_loss(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = worker.started()
    for _ in range(5):
        worker.disconnect()
        world.pass_ms(5_000)
        worker.connect()
        worker.take(link.Registered)
        assert [one.attempt_id for one in worker.take(link.DesiredSet).attempts] == [attempt.id]
    assert (job.state, task_of(job).preemptions) == (TaskState.RUNNING, 0)


def test_kill_not_awaited_two_tasks_on_one_gpu(world: World) -> None:
    """A GPU is free when the worker says that nothing of its task lives, not when somebody asked for that."""
    worker = world.worker(slots=2, gpus=gpus(1))
    first = world.submit(gpus=1)
    attempt = worker.started()
    second = world.submit(gpus=1)
    world.act("cancel", first)
    assert worker.stop(attempt).reason == "cancelled by ana"
    world.pass_ms(30_000)
    assert not worker.inbox
    assert second.state is TaskState.PENDING
    worker.killed(attempt)
    assert first.state is TaskState.KILLED
    assert worker.started().gpu_ids == attempt.gpu_ids


def test_one_loss_counted_twice(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = worker.started()
    worker.disconnect()
    world.pass_ms(LOST_MS + 1_000)
    assert task_of(job).preemptions == 1
    worker.attempts.clear()
    worker.connect()  # and it no longer has it
    worker.take(link.Registered)
    worker.forget(attempt)
    assert not worker.take(link.DesiredSet).attempts
    worker.started()
    assert task_of(job).preemptions == 1
    assert task_of(job).attempts == 2


def test_a_worker_that_comes_back_in_time_takes_the_loss_back(world: World) -> None:
    """A shaky link may lose and regain a task more often than its budget has retries."""
    worker = world.worker()
    job = world.submit(max_retries_preemption=1)
    attempt = worker.started()
    for _ in range(5):
        world.pass_ms(LOST_MS + 1_000, beating=False)
        assert (job.state, task_of(job).preemptions) == (TaskState.PENDING, 1)
        worker.heartbeat()
        worker.take(link.Observe)
        worker.observe()
        assert (job.state, task_of(job).preemptions) == (TaskState.RUNNING, 0)
    worker.succeed(attempt)
    assert job.state is TaskState.SUCCEEDED


def test_a_loss_before_the_start_costs_nothing(world: World) -> None:
    worker = world.worker()
    job = world.submit(max_retries_preemption=0)
    for _ in range(3):
        worker.assigned()
        worker.disconnect()
        world.pass_ms(LOST_MS + 1_000)
        worker.attempts.clear()
        worker.connect()
        worker.take(link.Registered)
    worker.succeed(worker.started())
    assert (job.state, task_of(job).attempts) == (TaskState.SUCCEEDED, 4)


def test_a_stale_report_accepted(world: World) -> None:
    """Once replaced, an attempt can't change anything any more."""
    one = world.worker("w1")
    job = world.submit()
    old = one.started()
    one.disconnect()
    two = world.worker("w2")
    world.pass_ms(LOST_MS + 1_000)
    new = two.started()
    one.attempts[old.id] = Observed(attempt_id=old.id, state=AttemptState.SUCCEEDED, exit_code=0)
    one.connect()
    one.take(link.Registered)
    one.take(link.Forget)
    one.take(link.DesiredSet)
    assert (job.state, task_of(job).current) == (TaskState.RUNNING, new.id)
    two.fail(new)
    assert job.state is TaskState.FAILED


def test_a_replaced_attempt_that_still_lives_is_stopped(world: World) -> None:
    one = world.worker("w1")
    world.submit()
    old = one.started()
    one.disconnect()
    two = world.worker("w2")
    world.pass_ms(LOST_MS + 1_000)
    new = two.started()
    one.connect()
    one.take(link.Registered)
    assert one.stop(old).reason == "it was given up for lost and has been replaced"
    assert not one.take(link.DesiredSet).attempts
    one.report(old, AttemptState.KILLED)
    one.forget(old)
    two.succeed(new)


def test_the_same_report_twice_changes_nothing(world: World) -> None:
    worker = world.worker()
    job = world.submit(max_retries_failure=3)
    attempt = worker.started()
    seen = worker.report(attempt, AttemptState.FAILED, exit_code=1, error="exit code 1")
    worker.forget(attempt)
    for _ in range(3):
        worker.say(seen)
        worker.take(link.Forget)
    assert task_of(job).failures == 1


def test_a_report_that_goes_backward_changes_nothing(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = worker.started()
    for older in (AttemptState.ASSIGNED, AttemptState.BUILDING):
        worker.say(Observed(attempt_id=attempt.id, state=older))
        assert job.state is TaskState.RUNNING


def test_a_report_on_somebody_elses_attempt_changes_nothing(world: World) -> None:
    one, two = world.worker("w1"), world.worker("w2")
    job = world.submit(worker="w1")
    attempt = one.started()
    two.say(Observed(attempt_id=attempt.id, state=AttemptState.SUCCEEDED, exit_code=0))
    two.take(link.Forget)
    two.say(Observed(attempt_id=attempt.id, state=AttemptState.RUNNING))
    two.take(link.SetWant)
    assert job.state is TaskState.RUNNING


def test_a_snapshot_crossing_an_assignment_taken_for_a_loss(world: World) -> None:
    worker = world.worker(slots=2)
    first = world.submit()
    attempt = worker.started()
    seen = worker.seen
    second = world.submit()
    worker.observe(seen=seen)  # sent before the second assignment arrived
    crossed = worker.take(link.JobAssignment)
    assert (first.state, second.state) == (TaskState.RUNNING, TaskState.ASSIGNED)
    assert [task_of(job).attempts for job in (first, second)] == [1, 1]
    worker.report(crossed.desired.attempt_id, AttemptState.RUNNING, started_at_ms=1)
    worker.observe()
    assert second.state is TaskState.RUNNING
    assert attempt.state is AttemptState.RUNNING


def test_an_assignment_lost_on_the_wire_is_made_again(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    lost = worker.inbox.pop()
    assert isinstance(lost, link.JobAssignment)
    worker.seen = lost.seq
    worker.observe()
    again = worker.take(link.JobAssignment)
    assert again.desired == lost.desired
    assert again.seq > lost.seq
    assert task_of(job).attempts == 1


def test_an_assignment_lost_with_the_connection_is_made_again(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    worker.disconnect()
    worker.connect()
    worker.take(link.Registered)
    [again] = worker.take(link.DesiredSet).attempts
    assert (again.attempt_id, task_of(job).attempts) == (task_of(job).current, 1)


def test_two_jobs_at_once_with_max_1(world: World) -> None:
    worker = world.worker(slots=1)
    jobs = [world.submit() for _ in range(3)]
    for number in range(3):
        assert [job.state for job in jobs].count(TaskState.ASSIGNED) == 1
        attempt = worker.started()
        assert not worker.inbox
        waiting = jobs[number + 1 :]
        assert all("w1 is full: 1 of 1 slot taken" in world.why(job) for job in waiting)
        worker.succeed(attempt)


def test_cancelling_one_job_kills_another(world: World) -> None:
    worker = world.worker(slots=2)
    first, second = world.submit(), world.submit()
    attempts = [worker.started(), worker.started()]
    world.act("cancel", first)
    worker.stop(attempts[0])
    worker.killed(attempts[0])
    assert (first.state, second.state) == (TaskState.KILLED, TaskState.RUNNING)
    worker.succeed(attempts[1])
    assert second.state is TaskState.SUCCEEDED


def test_cancelling_a_finished_job_kills_nothing(world: World) -> None:
    worker = world.worker()
    first = world.submit()
    attempt = worker.started()
    worker.report(attempt, AttemptState.SUCCEEDED, exit_code=0, log_sizes={"stdout": 3})
    second = world.submit()
    running = worker.started()
    assert world.act("cancel", first) == "had ended already: succeeded"
    assert second.state is TaskState.RUNNING
    worker.succeed(running)


def test_ten_seconds_grace_that_kills_at_once(world: World) -> None:
    worker = world.worker()
    job = world.submit(grace_ms=10_000)
    attempt = worker.started()
    world.act("cancel", job)
    assert worker.stop(attempt).grace_ms == 10_000


def test_a_cancelled_task_that_fails_meanwhile_is_not_tried_again(world: World) -> None:
    worker = world.worker(slots=2)
    job = world.submit(num_tasks=2, max_retries_failure=5, max_task_failures=9)
    first, second = worker.started(), worker.started()
    world.act("cancel", job, 0)
    worker.stop(first)
    worker.fail(first)
    assert (task_of(job, 0).state, task_of(job, 0).attempts) == (TaskState.FAILED, 1)
    worker.succeed(second)


def test_last_log_lines_lost(world: World) -> None:
    """An attempt is kept, here and on its worker, until every byte of its log is stored."""

    worker = world.worker()
    job = world.submit()
    attempt = worker.started()
    sizes = {"stdout": 10, "stderr": 4}
    worker.report(attempt, AttemptState.SUCCEEDED, exit_code=0, log_sizes=sizes)
    assert job.state is TaskState.SUCCEEDED
    assert not worker.inbox
    for source, offset in (("stdout", 10), ("stderr", 3)):
        world.reactor.on_logs_stored(attempt.id, source, offset)
        world.turn()
        assert not worker.inbox
        assert job.id in world.fleet.jobs
    world.reactor.on_logs_stored(attempt.id, "stderr", 4)
    world.turn()
    worker.forget(attempt)
    assert job.id not in world.fleet.jobs


def test_out_of_memory_reported_as_terminated_by_user(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    worker.fail(worker.started(), "out of memory: killed by the kernel", signal=9)
    assert job.state is TaskState.FAILED
    assert world.rows[job.id].reason == "out of memory: killed by the kernel"


def test_a_worker_that_kills_a_task_nobody_cancelled_is_a_loss_and_not_a_kill(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = worker.started()
    worker.report(attempt, AttemptState.KILLED, reason="agent told to stop its tasks")
    worker.forget(attempt)
    assert (job.state, task_of(job).preemptions) == (TaskState.PENDING, 1)


def test_the_job_says_who_cancelled_it(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = worker.started()
    world.act("cancel", job, reason="wrong data")
    worker.stop(attempt)
    worker.killed(attempt)
    assert world.rows[job.id].reason == "cancelled by ana: wrong data"


def test_double_delivery(world: World) -> None:
    """However often the scheduler runs, a task has one live attempt."""
    workers = [world.worker(f"w{number}") for number in range(3)]
    job = world.submit()
    for _ in range(5):
        world.fleet.must_schedule = True
        world.turn()
    assert sum(len(worker.inbox) for worker in workers) == 1
    assert task_of(job).attempts == 1
    next(worker for worker in workers if worker.inbox).started()


def test_a_cloned_identity_while_the_first_lives(world: World) -> None:
    worker = world.worker()
    with pytest.raises(Unavailable, match="was its state folder copied"):
        worker.connect(run_id="run-of-the-clone")
    assert worker.record.session == worker.session


def test_a_task_lost_while_its_cancellation_was_under_way_is_killed(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = worker.started()
    world.act("cancel", job)
    worker.stop(attempt)
    worker.disconnect()
    world.pass_ms(LOST_MS + 1_000)
    assert (job.state, task_of(job).reason) == (TaskState.KILLED, "cancelled by ana")


def test_a_paused_task_that_is_lost_does_not_run_elsewhere(world: World) -> None:
    one = world.worker("w1")
    job = world.submit()
    attempt = one.started()
    world.act("pause", job)
    assert one.take(link.SetWant).want.mode is Mode.PAUSE
    one.report(attempt, AttemptState.PAUSED)
    one.disconnect()
    two = world.worker("w2")
    world.pass_ms(2 * LOST_MS)
    assert job.state is TaskState.HELD
    assert not two.inbox
    world.act("resume", job)
    two.succeed(two.started())


def test_a_writer_held_up_by_a_mass_failure(world: World) -> None:
    """A thousand tasks that are lost together are one batch, not a thousand."""
    workers = [world.worker(f"w{number}", slots=100) for number in range(10)]
    world.submit(num_tasks=1000)
    for worker in workers:
        for _ in range(100):
            worker.started()
    for worker in workers:
        worker.disconnect()
    world.now_ms += LOST_MS + 1

    world.reactor.on_tick(world.now_ms)
    batch = world.fleet.drain()
    assert len(batch.tasks) == len(batch.attempts) == 1000
    assert len(batch.jobs) == 1
