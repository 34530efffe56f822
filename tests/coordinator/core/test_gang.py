"""Gangs: all at once or none, none without the others, and why they wait."""

from typing import Any

import pytest

from opsconsole_coordinator.core.model import Attempt, Job
from opsconsole_protocol import link
from opsconsole_protocol.error import Conflict, InvalidRequest
from opsconsole_protocol.link import Mode
from opsconsole_protocol.spec import JobSpec, Resources, check_spec
from opsconsole_protocol.state import AttemptState
from tests.coordinator.core.world import FakeWorker, World, gpus, state, task_of

LOST_AFTER_MS = 20_000


def gang(world: World, tasks: int = 2, **fields: Any) -> Job:
    """Submit a gang."""
    return world.submit(num_tasks=tasks, gang=True, **fields)


def pair(world: World, **fields: Any) -> tuple[Job, FakeWorker, Attempt, FakeWorker, Attempt]:
    """A gang of two that runs on two workers."""
    one, two = world.worker("w1"), world.worker("w2")
    job = gang(world, **fields)
    return job, one, one.started(), two, two.started()


def states(job: Job) -> list[str]:
    return [str(task.state) for task in job.tasks]


# --- starting together ---------------------------------------------------------------------------------------------


def test_a_gang_starts_when_all_of_it_fits_and_not_before(world: World) -> None:
    one = world.worker("w1", slots=2)
    job = gang(world, 3)
    assert states(job) == ["pending"] * 3
    two = world.worker("w2")
    assert states(job) == ["assigned"] * 3
    for worker in (one, one, two):
        worker.started()


def test_why_says_how_many_fit_and_what_the_others_say(world: World) -> None:
    other = world.worker("gpu-b")
    world.submit()
    other.started()
    world.worker("gpu-a", slots=3)
    job = gang(world, 4)
    assert world.why(job) == "gang of 4: 3 fit now; gpu-b is full: 1 of 1 slot taken"
    assert world.rows[job.id].reason == world.why(job)


def test_a_gang_that_no_fleet_has_room_for_says_so(world: World) -> None:
    world.worker("w1", slots=2)
    job = gang(world, 3)
    assert world.why(job) == "gang of 3: at most 2 would fit if nothing else ran"
    far = gang(world, 2, requirements=("zone=b",))
    assert world.why(far) == "gang of 2: none fits; no worker fits: w1 doesn't meet zone=b: zone is not set"


def test_claims_of_one_pass_share_no_gpu_cpu_or_memory(world: World) -> None:
    worker = world.worker(slots=8, gpus=gpus(3), properties={"cpus": 4, "memory_mb": 1000})
    assert states(gang(world, 2, gpus=2)) == ["pending"] * 2
    assert states(gang(world, 3, resources=Resources(cpus=2))) == ["pending"] * 3
    assert states(gang(world, 2, resources=Resources(memory_mb=600))) == ["pending"] * 2
    fits = gang(world, 3, resources=Resources(gpus=1, cpus=1, memory_mb=300))
    assert states(fits) == ["assigned"] * 3
    given = [worker.started().gpu_ids for _ in range(3)]
    assert len({gpu for ids in given for gpu in ids}) == 3


def test_rehearsing_leaves_no_trace(world: World) -> None:
    worker = world.worker("w1", slots=2)
    world.submit()
    attempt = worker.started()
    before = dict(worker.record.live)
    gang(world, 3)
    world.pass_ms(5_000)
    assert worker.record.live == before == {attempt.id: attempt}


def test_a_gang_is_never_assigned_ahead_of_free_slots(world: World) -> None:
    worker = world.worker("w1")
    job = gang(world, 1, max_retries_failure=1)
    job.mean_duration_ms = 1.0
    worker.started()
    other = gang(world, 1)
    other.mean_duration_ms = 1.0
    world.pass_ms(3_000)
    assert states(other) == ["pending"]


def test_inputs_are_asked_for_before_any_is_assigned(world: World) -> None:
    paths = {"io_paths": {"input": "/in"}}
    one, two = world.worker("w1", properties=paths), world.worker("w2", properties=paths)
    job = gang(world, inputs=("data.slp",))
    one.found()
    assert states(job) == ["pending"] * 2
    two.found()
    one.started()
    two.started()


def answer_port(worker: FakeWorker, port: int) -> None:
    asked, world = worker.take(link.FindPort), worker.world
    message = link.PortFound(check_id=asked.check_id, port=port)
    world.reactor.on_port_found(worker.record, message, world.now_ms)
    world.turn()


def test_all_are_told_the_addresses_and_the_port_of_the_first_before_any_starts(world: World) -> None:
    """Hard use 34."""
    one = world.worker("w1", slots=2, properties={"advertise_host": "10.0.0.1"})
    two = world.worker("w2", properties={"advertise_host": "not an address"})
    job = gang(world, 3, ports=("master",))
    small = world.submit()
    assert (states(job), world.rows[job.id].reason) == (["pending"] * 3, "asks w1 for a free port")
    assert str(small.state) == "pending", "nobody gets in between"
    answer_port(one, 29_500)
    launches = [worker.take(link.JobAssignment).desired.launch for worker in (one, one, two)]
    places = [launch.gang for launch in launches]
    assert [place and (place.rank, place.size, place.host, place.address, place.port) for place in places] == [
        (0, 3, "10.0.0.1", "10.0.0.1", 29_500),
        (1, 3, "10.0.0.1", "10.0.0.1", 29_500),
        (2, 3, "w2", "10.0.0.1", 29_500),
    ]
    assert {place.hosts for place in places if place is not None} == {("10.0.0.1", "10.0.0.1", "w2")}
    assert [launch.task_index for launch in launches] == [0, 1, 2]


def test_a_port_that_was_taken_meanwhile_costs_nothing_and_is_chosen_again(world: World) -> None:
    """Hard use 43."""
    one, two = world.worker("w1"), world.worker("w2")
    job = gang(world, ports=("master",))
    answer_port(one, 29_500)
    first, second = one.assigned(), two.assigned()
    one.report(first, AttemptState.WORKER_FAILED, error="port 29500, chosen for master, was taken by another program")
    one.take(link.Forget)
    two.stop(second)
    two.report(second, AttemptState.KILLED, finished_at_ms=world.now_ms)
    two.take(link.Forget)
    answer_port(one, 29_501)
    assert [one.assigned().gang, two.assigned().gang] == [
        link.Gang(rank=rank, size=2, address="w1", host=host, hosts=("w1", "w2"), port=29_501)
        for rank, host in enumerate(("w1", "w2"))
    ]
    assert [(task.failures, task.preemptions) for task in job.tasks] == [(0, 0)] * 2


# --- ending together -----------------------------------------------------------------------------------------------


def test_a_failure_within_its_budget_starts_all_over_at_no_cost_to_the_others(world: World) -> None:
    job, one, first, two, second = pair(world, max_retries_failure=1, max_retries_preemption=0)
    one.fail(first)
    assert two.stop(second).reason == "task-0 of its gang failed: exit code 1"
    world.pass_ms(5_000)
    assert one.inbox == [], "no task starts before all can"
    two.killed(second)
    assert second.state is AttemptState.PREEMPTED
    assert (task_of(job, 0).failures, task_of(job, 1).failures, task_of(job, 1).preemptions) == (1, 0, 0)
    again = [two.started(), one.started()]
    assert sorted((attempt.index, attempt.number) for attempt in again) == [(0, 1), (1, 1)]
    for worker, attempt in zip((two, one), again, strict=True):
        worker.succeed(attempt)
    assert state(job) == "succeeded"


def test_a_failure_beyond_its_budget_ends_all(world: World) -> None:
    job, one, first, two, second = pair(world)
    one.fail(first)
    assert two.stop(second).reason == "task-0 of its gang failed: exit code 1"
    two.killed(second)
    assert (states(job), state(job)) == (["failed", "killed"], "failed")
    assert world.rows[job.id].state == "failed"


def test_failures_that_follow_the_first_cost_nothing(world: World) -> None:
    job, one, first, two, second = pair(world, max_retries_failure=1)
    one.fail(first)
    two.stop(second)
    two.fail(second, "connection reset by peer")
    assert (second.state, task_of(job, 1).failures) == (AttemptState.FAILED, 0)
    assert task_of(job, 1).reason == "task-0 of its gang failed: exit code 1"
    world.pass_ms(2_000)
    assert states(job) == ["assigned"] * 2
    for worker in (one, two):
        worker.started()


def test_what_has_succeeded_is_done_and_the_rest_starts_over(world: World) -> None:
    workers = [world.worker(f"w{number}") for number in range(3)]
    job = gang(world, 3, max_retries_failure=1)
    attempts = [worker.started() for worker in workers]
    workers[0].succeed(attempts[0])
    workers[1].fail(attempts[1])
    workers[2].stop(attempts[2])
    workers[2].killed(attempts[2])
    world.pass_ms(2_000)
    assert states(job) == ["succeeded", "assigned", "assigned"]
    for worker in workers:
        for _ in range(len(worker.inbox)):
            worker.started()


def test_a_preempted_task_takes_the_others_with_it(world: World) -> None:
    job, one, first, two, second = pair(world)
    one.report(first, AttemptState.PREEMPTED, error="made way", finished_at_ms=world.now_ms)
    one.forget(first)
    two.stop(second)
    two.killed(second)
    world.pass_ms(2_000)
    assert [task.preemptions for task in job.tasks] == [1, 0]
    one.started()
    two.started()


def test_an_attempt_that_never_arrived_takes_the_others_with_it(world: World) -> None:
    one, two = world.worker("w1"), world.worker("w2")
    job = gang(world, lost_after_ms=LOST_AFTER_MS)
    one.take(link.JobAssignment)
    second = two.started()
    one.disconnect()
    world.pass_ms(LOST_AFTER_MS + 5_000)
    two.stop(second)
    two.killed(second)
    assert [task.preemptions for task in job.tasks] == [0, 0]
    assert states(job) == ["pending", "pending"]


# --- lost workers --------------------------------------------------------------------------------------------------


def test_while_a_lost_one_may_return_and_there_is_no_room_for_all_the_others_go_on(world: World) -> None:
    job, one, first, two, second = pair(world, lost_after_ms=LOST_AFTER_MS)
    one.disconnect()
    world.pass_ms(LOST_AFTER_MS + 30_000)
    assert states(job) == ["pending", "running"]
    assert job.reason == "task-0 of its gang is lost: it may return, and there is no room for all anew"
    one.connect()
    one.take_all()
    assert states(job) == ["running", "running"]
    assert task_of(job, 0).preemptions == 0
    one.succeed(first)
    two.succeed(second)


def test_once_one_is_replaced_all_are(world: World) -> None:
    job, one, first, two, second = pair(world, lost_after_ms=LOST_AFTER_MS)
    three = world.worker("w3")
    one.disconnect()
    world.pass_ms(LOST_AFTER_MS + 5_000)
    assert two.stop(second).reason == "task-0 of its gang is lost"
    one.connect()
    one.take(link.Registered)
    assert one.stop(first).reason == "task-0 of its gang is lost", "back too late: the others were told to end"
    one.take(link.DesiredSet)
    one.killed(first)
    two.killed(second)
    assert [task.preemptions for task in job.tasks] == [0, 0]
    started = [worker.started() for worker in (one, two, three) if worker.inbox]
    assert sorted((attempt.index, attempt.number) for attempt in started) == [(0, 1), (1, 1)]


def test_a_replaced_one_that_returns_is_stopped(world: World) -> None:
    job, one, first, two, second = pair(world, lost_after_ms=LOST_AFTER_MS)
    three = world.worker("w3")
    one.disconnect()
    world.pass_ms(LOST_AFTER_MS + 5_000)
    two.stop(second)
    two.killed(second)
    two.started()
    three.started()
    one.connect()
    one.take(link.Registered)
    want = one.stop(first)
    assert want.reason == "it was given up for lost and has been replaced"
    one.take(link.DesiredSet)
    assert states(job) == ["running", "running"]


def test_a_loss_beyond_its_budget_ends_all(world: World) -> None:
    job, one, _, two, second = pair(world, lost_after_ms=LOST_AFTER_MS, max_retries_preemption=0)
    one.disconnect()
    world.pass_ms(LOST_AFTER_MS + 5_000)
    assert "task-0 of its gang is lost: worker w1 is lost" in two.stop(second).reason
    two.killed(second)
    assert states(job) == ["worker_failed", "killed"]


def test_a_revoked_worker_takes_the_gang_with_it(world: World) -> None:

    job, one, _, two, second = pair(world)
    world.reactor.on_revoke("w1", "ana", world.now_ms)
    world.turn()
    one.ends.clear()
    two.stop(second)
    two.killed(second)
    assert states(job) == ["pending", "pending"]


def test_one_that_starts_over_on_a_worker_that_is_lost_costs_nothing(world: World) -> None:
    job, one, first, two, second = pair(world, max_retries_failure=1, lost_after_ms=LOST_AFTER_MS)
    two.disconnect()
    one.fail(first)
    world.pass_ms(LOST_AFTER_MS + 5_000)
    assert (second.state, task_of(job, 1).preemptions) == (AttemptState.WORKER_FAILED, 0)
    assert states(job) == ["pending", "pending"]


# --- operators -----------------------------------------------------------------------------------------------------


def test_what_is_done_to_one_is_done_to_all(world: World) -> None:
    job, one, first, two, second = pair(world)
    assert world.act("pause", job, 1) == "paused by ana (all tasks of its gang)"
    for worker, attempt in ((one, first), (two, second)):
        assert worker.take(link.SetWant).want.mode is Mode.PAUSE
        worker.report(attempt, AttemptState.PAUSED)
    world.act("resume", job, 0)
    for worker in (one, two):
        assert worker.take(link.SetWant).want.mode is Mode.RUN
    world.act("cancel", job, 0)
    one.stop(first)
    one.killed(first)
    two.stop(second)
    two.report(second, AttemptState.KILLED, log_sizes={"stdout": 3})  # what isn't stored yet keeps the job in memory
    assert states(job) == ["killed", "killed"]
    world.act("retry", job, 1)
    assert states(job) == ["assigned", "assigned"]
    one.started()
    two.started()
    two.rest(second)


def test_holding_one_that_waits_holds_all(world: World) -> None:
    world.worker("w1")
    job = gang(world)
    world.act("hold", job, 0)
    assert states(job) == ["held", "held"]
    world.act("release", job, 1)
    assert states(job) == ["pending", "pending"]


def test_a_retry_waits_until_all_have_ended(world: World) -> None:
    job, one, first, two, second = pair(world)
    one.fail(first)
    with pytest.raises(Conflict, match="others of its gang are still ending"):
        world.act("retry", job)
    two.stop(second)
    two.report(second, AttemptState.KILLED, log_sizes={"stdout": 3})
    world.act("retry", job)
    one.started()
    two.started()
    two.rest(second)


def test_a_pause_while_it_starts_over_holds_all_of_it(world: World) -> None:
    job, one, first, two, second = pair(world, max_retries_failure=1)
    one.fail(first)
    two.stop(second)
    world.act("pause", job)
    two.killed(second)
    world.pass_ms(10_000)
    assert states(job) == ["held", "held"]
    world.act("resume", job)
    one.started()
    two.started()


def test_a_paused_gang_that_starts_over_stays_held(world: World) -> None:
    job, one, first, two, second = pair(world, max_retries_failure=1)
    world.act("pause", job)
    for worker, attempt in ((one, first), (two, second)):
        worker.take(link.SetWant)
        worker.report(attempt, AttemptState.PAUSED)
    one.fail(first, "out of memory")
    two.stop(second)
    two.killed(second)
    assert states(job) == ["held", "held"]


def test_a_release_while_it_starts_over_holds_for_all_of_it(world: World) -> None:
    job, one, first, two, second = pair(world, max_retries_failure=1)
    one.fail(first)
    two.stop(second)
    world.act("hold", job)
    world.act("release", job)
    two.killed(second)
    world.pass_ms(2_000)
    assert states(job) == ["assigned", "assigned"]
    one.started()
    two.started()


def test_a_cancel_while_it_starts_over_ends_it(world: World) -> None:
    job, one, first, two, second = pair(world, max_retries_failure=1)
    one.fail(first)
    two.stop(second)
    world.act("cancel", job)
    two.stop(second)
    two.killed(second)
    assert states(job) == ["killed", "killed"]


def test_a_scheduling_timeout_takes_all_of_a_gang(world: World) -> None:
    world.worker("w1")
    job = gang(world, scheduling_timeout_ms=10_000)
    world.pass_ms(12_000)
    assert states(job) == ["unschedulable", "unschedulable"]


def test_a_gang_avoids_where_it_failed_if_there_is_room_elsewhere(world: World) -> None:
    _, one, first, two, second = pair(world, max_retries_failure=1)
    three = world.worker("w3")
    one.fail(first)
    two.stop(second)
    two.killed(second)
    world.pass_ms(2_000)
    assert {two.started().index, three.started().index} == {0, 1}
    assert not one.inbox


def test_a_gang_with_room_for_failures_makes_no_sense() -> None:
    with pytest.raises(InvalidRequest, match="a gang ends with its first failed task"):
        check_spec(JobSpec(command=("x",), num_tasks=2, gang=True, max_task_failures=1))


def test_a_gang_is_not_moved_to_a_free_worker(world: World) -> None:
    one = world.worker("w1")
    job = gang(world, 1)
    short = world.submit(num_tasks=2, turn=False)
    short.mean_duration_ms = 1.0
    world.turn()
    world.worker("w2")
    world.pass_ms(5_000)
    wants = {attempt.job_id: attempt.want.mode for attempt in one.record.live.values()}
    assert wants == {job.id: Mode.RUN, short.id: Mode.RETRACT}
    one.take_all()
