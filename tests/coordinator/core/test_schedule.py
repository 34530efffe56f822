"""Placing: in order, without waste, each task once; short ones ahead, and back when that turns out wrong."""

import pytest

from opsconsole_coordinator.core.demand import PREFETCH_MAX, SHORT_TASK_MS
from opsconsole_coordinator.core.model import Job
from opsconsole_coordinator.core.retraction import RETRACT_AFTER_MS
from opsconsole_protocol import link
from opsconsole_protocol.link import Mode
from opsconsole_protocol.spec import Resources
from opsconsole_protocol.state import AttemptState, TaskState
from tests.coordinator.core.world import FakeWorker, World, gpus, state, task_of


def short_job(world: World, worker: FakeWorker, tasks: int = 40) -> Job:
    """A job whose first task took a millisecond."""
    job = world.submit(num_tasks=tasks)
    attempt = worker.started()
    others = [worker.started() for _ in range(len(worker.inbox))]
    worker.report(attempt, AttemptState.SUCCEEDED, finished_at_ms=world.now_ms + 1)
    worker.forget(attempt)
    assert all(other.state is AttemptState.RUNNING for other in others)
    return job


def test_everything_that_fits_is_assigned_at_once(world: World) -> None:
    workers = [world.worker(f"w{number}", slots=3) for number in range(3)]
    job = world.submit(num_tasks=20)
    assert job.counts == {TaskState.ASSIGNED: 9, TaskState.PENDING: 11}
    indices = []
    for worker in workers:
        indices += [worker.started().index for _ in range(3)]
    assert sorted(indices) == list(range(9))


def test_a_job_that_does_not_fit_lets_others_pass(world: World) -> None:
    worker = world.worker(gpus=gpus(1))
    big = world.submit(gpus=2, priority=9)
    small = world.submit(gpus=1)
    assert worker.started().job_id == small.id
    assert state(big) == "pending"


def test_a_paused_project_waits_and_says_so(world: World) -> None:
    world.set_project("paused")
    worker = world.worker()
    job = world.submit()
    words = "project default is paused: `opsconsole project set default --status active` lets it go on"
    assert world.why(job) == words
    world.set_project("active")
    world.fleet.must_schedule = True
    world.turn()
    worker.started()


def test_the_launch_says_all_that_an_agent_needs(world: World) -> None:
    worker = world.worker(gpus=gpus(1))
    world.submit(
        num_tasks=2, task_commands=(("a", "1"), ("a", "2")), name="sweep", gpus=1, environment={"A": "b"},
        workdir="/work", ports=("http",), timeout_ms=7, fence_after_ms=10_000, grace_ms=9,
    )  # fmt: skip
    worker.found()
    message = worker.take(link.JobAssignment)
    launch = message.desired.launch
    assert message.desired.want == link.Want(grace_ms=9)
    assert (launch.task_id, launch.task_index, launch.num_tasks, launch.attempt) == ("000000000a/task-0", 0, 2, 0)
    assert (launch.command, launch.name, launch.environment, launch.workdir) == (
        ("a", "1"),
        "sweep",
        {"A": "b"},
        "/work",
    )
    assert (launch.gpu_ids, launch.ports, launch.timeout_ms, launch.fence_after_ms) == (
        ("GPU-0",),
        ("http",),
        7,
        10_000,
    )


def test_short_tasks_are_assigned_ahead(world: World) -> None:
    worker = world.worker(slots=2)
    job = short_job(world, worker, tasks=2 * PREFETCH_MAX)
    assert job.counts[TaskState.ASSIGNED] == 1 + PREFETCH_MAX
    for _ in range(1 + PREFETCH_MAX):
        worker.assigned()


@pytest.mark.parametrize(("took_ms", "ahead"), [(10, SHORT_TASK_MS // 10), (SHORT_TASK_MS - 1, 1), (SHORT_TASK_MS, 0)])
def test_the_longer_tasks_take_the_fewer_are_assigned_ahead(world: World, took_ms: int, ahead: int) -> None:
    worker = world.worker(slots=1)
    job = world.submit(num_tasks=PREFETCH_MAX)
    attempt = worker.started()
    worker.report(attempt, AttemptState.SUCCEEDED, finished_at_ms=world.now_ms + took_ms)
    worker.forget(attempt)
    for _ in range(1 + ahead):
        worker.assigned()
    assert job.counts[TaskState.ASSIGNED] == 1 + ahead


def test_tasks_that_need_a_gpu_are_never_assigned_ahead(world: World) -> None:
    worker = world.worker(slots=2, gpus=gpus(2))
    job = world.submit(num_tasks=10, gpus=1)
    attempt, _ = worker.started(), worker.started()
    worker.report(attempt, AttemptState.SUCCEEDED, finished_at_ms=world.now_ms + 1)
    worker.forget(attempt)
    worker.assigned()
    assert job.counts == {TaskState.SUCCEEDED: 1, TaskState.RUNNING: 1, TaskState.ASSIGNED: 1, TaskState.PENDING: 7}


def test_what_waits_behind_others_is_taken_back_when_another_worker_is_free(world: World) -> None:
    one = world.worker("w1")
    job = short_job(world, one, tasks=6)
    running = one.assigned()
    one.run(running)
    waiting = [one.assigned() for _ in range(4)]
    world.pass_ms(RETRACT_AFTER_MS + 500)
    assert not one.inbox, "nobody else could start them"
    two = world.worker("w2", slots=2)
    world.pass_ms(500)
    retracted = [one.take(link.SetWant) for _ in range(2)]
    assert all(message.want.mode is Mode.RETRACT for message in retracted)
    assert not one.inbox, "no more than the other has room for"
    for message in retracted:
        one.report(message.attempt_id, AttemptState.KILLED)
        one.take(link.Forget)
        two.started()
    assert [task.preemptions for task in job.tasks] == [0] * 6
    assert len(waiting) == 4


def test_what_has_started_meanwhile_is_not_taken_back(world: World) -> None:
    one = world.worker("w1")
    short_job(world, one, tasks=3)
    one.started()
    second = one.assigned()
    world.worker("w2")
    world.pass_ms(RETRACT_AFTER_MS + 500)
    assert one.take(link.SetWant).want.mode is Mode.RETRACT
    one.run(second)
    assert one.take(link.SetWant).want.mode is Mode.RUN


def test_a_retraction_that_is_lost_with_its_worker_costs_nothing(world: World) -> None:
    one = world.worker("w1")
    job = short_job(world, one, tasks=3)
    one.started()
    second = one.assigned()
    two = world.worker("w2")
    world.pass_ms(RETRACT_AFTER_MS + 500)
    one.take(link.SetWant)
    one.disconnect()
    world.pass_ms(61_000)
    assert task_of(job, second.index).preemptions == 0
    two.take_all()


def test_ten_thousand_tasks_in_backoff_hold_nobody_up(world: World) -> None:
    """Linear work: a pass over tasks that may not start yet takes milliseconds, not minutes."""
    job = world.submit(num_tasks=20_000)
    for task in job.tasks[:-1]:
        task.not_before_ms = world.now_ms + 60_000
    worker = world.worker(slots=2)
    assert worker.started().index == 19_999


def test_after_a_restored_backup_nothing_new_starts(world: World) -> None:
    world.fleet.adopting = True
    worker = world.worker()
    worker.take(link.DesiredSet)
    job = world.submit()
    assert world.why(job) == "the store was restored from a backup: an admin has to confirm that"
    world.fleet.adopting = False
    world.fleet.must_schedule = True
    world.turn()
    worker.started()


def test_equal_jobs_get_one_answer_and_different_ones_their_own(world: World) -> None:
    world.worker(properties={"memory_mb": 10})
    jobs = [world.submit(resources=Resources(memory_mb=20)) for _ in range(3)]
    other = world.submit(resources=Resources(memory_mb=30))
    assert {world.rows[job.id].reason for job in jobs} == {"no worker fits: w1 has 10M of the 20M of memory needed"}
    assert world.rows[other.id].reason == "no worker fits: w1 has 10M of the 30M of memory needed"


def test_a_gpu_given_to_a_task_that_avoids_a_worker_is_not_given_again_in_the_same_pass(world: World) -> None:
    first = world.worker("first", gpus=gpus(1))
    job = world.submit(num_tasks=3, gpus=1, max_retries_failure=1)
    failed = first.started()
    first.report(failed, AttemptState.FAILED, exit_code=1, finished_at_ms=world.now_ms)
    first.forget(failed)
    first.started()
    world.pass_ms(2_000)
    second = world.worker("second", slots=2, gpus=gpus(2))
    given = [second.started() for _ in range(2)]
    assert {attempt.index for attempt in given} == {0, 2}
    assert len({gpu for attempt in given for gpu in attempt.gpu_ids}) == 2
    assert job.counts == {TaskState.RUNNING: 3}
