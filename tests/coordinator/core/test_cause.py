"""Why something ended is a code, set where the end is decided: no word has to be read for it."""

import msgspec
import pytest

from opsconsole_coordinator.core import view
from opsconsole_coordinator.core.model import Attempt, Job
from opsconsole_protocol.end_cause import EndCause
from opsconsole_protocol.spec import Resources
from opsconsole_protocol.state import AttemptState
from tests.coordinator.core.world import World, state, task_of


def causes(world: World, job: Job, index: int = 0) -> tuple[str, list[str]]:
    """Of a task as it is shown, and of its attempts."""
    attempts = sorted(
        (one for one in world.attempts.values() if (one.job_id, one.index) == (job.id, index)),
        key=lambda one: one.number,
    )
    row = view.task_row(job, task_of(job, index), attempts)
    return row.cause, [one.cause for one in row.attempts]


@pytest.mark.parametrize("cause", [*EndCause, "of_a_newer_version", ""])
def test_what_an_agent_says_is_carried_to_the_row(world: World, cause: str) -> None:
    worker = world.worker()
    job = world.submit()
    worker.fail(worker.started(), "in words", cause=cause)
    assert causes(world, job) == (cause, [cause])


def test_what_an_agent_hints_at_is_carried_to_the_rows_and_told_as_an_event(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    worker.fail(worker.started(), "exit code 1: no module named einops", hint="add it to --setup")
    [attempt] = world.attempts.values()
    row = view.task_row(job, task_of(job, 0), [attempt])
    assert (row.error, row.hint) == ("exit code 1: no module named einops", "add it to --setup")
    assert [one.hint for one in row.attempts] == ["add it to --setup"]
    assert [one.text for one in world.events if one.kind == "failed"] == [
        f"attempt 0 failed on {worker.name}: exit code 1: no module named einops; add it to --setup"
    ]


def test_a_success_has_none(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    worker.succeed(worker.started())
    assert causes(world, job) == ("", [""])


def test_a_task_that_is_tried_again_has_none_and_its_attempt_has(world: World) -> None:
    worker = world.worker()
    job = world.submit(max_retries_failure=1)
    worker.fail(worker.started(), cause=EndCause.OUT_OF_MEMORY)
    assert causes(world, job) == ("", ["out_of_memory"])


@pytest.mark.parametrize("started", [True, False])
def test_who_cancels_is_the_cause_whatever_the_agent_says(world: World, started: bool) -> None:
    worker = world.worker()
    job = world.submit(name="timed-out")
    attempt = worker.started() if started else None
    world.act("cancel", job, reason="lost interest")
    if attempt is not None:
        worker.stop(attempt)
        worker.killed(attempt)
    else:
        worker.take_all()
        worker.attempts.clear()  # it has heard of it, and has never had it
        worker.observe()
        worker.take_all()
    assert causes(world, job)[0] == "cancelled"


def test_one_that_waits_is_cancelled_too(world: World) -> None:
    job = world.submit()
    world.act("cancel", job)
    assert (state(job), causes(world, job)) == ("killed", ("cancelled", []))


def test_a_job_out_of_time_is_no_cancelled_one(world: World) -> None:
    worker = world.worker()
    job = world.submit(num_tasks=2, job_timeout_ms=10_000, max_task_failures=9)
    attempt = worker.started()
    world.pass_ms(11_000)
    worker.stop(attempt)
    worker.killed(attempt)
    assert causes(world, job) == ("timed_out", ["timed_out"])
    assert causes(world, job, 1) == ("timed_out", [])


def test_too_many_failures_end_the_others(world: World) -> None:
    worker = world.worker()
    job = world.submit(num_tasks=3, max_task_failures=0)
    worker.fail(worker.started(), cause=EndCause.EXIT_CODE)
    assert [causes(world, job, index)[0] for index in range(3)] == ["exit_code", *["too_many_failures"] * 2]
    worker.take_all()


def test_a_worker_that_is_lost_and_one_that_returns(world: World) -> None:
    worker = world.worker()
    job = world.submit(max_retries_preemption=9)
    attempt = worker.started()
    worker.disconnect()
    world.pass_ms(61_000)
    assert causes(world, job) == ("", ["lost"])
    worker.connect()
    assert state(job) == "running"
    assert causes(world, job) == ("", [""])
    worker.inbox.clear()
    worker.succeed(attempt)


def test_a_worker_that_has_it_no_longer(world: World) -> None:
    worker = world.worker()
    job = world.submit(max_retries_preemption=0)
    worker.started()
    worker.attempts.clear()
    worker.observe()
    assert causes(world, job) == ("lost", ["lost"])
    worker.take_all()


def test_an_agent_that_stops_by_itself(world: World) -> None:
    worker = world.worker()
    job = world.submit(max_retries_preemption=0)
    attempt = worker.started()
    worker.report(attempt, AttemptState.KILLED, reason="the agent is stopped with its tasks", cause=EndCause.CANCELLED)
    assert causes(world, job) == ("stopped_by_worker", ["stopped_by_worker"])
    worker.take_all()


def test_no_worker_in_time(world: World) -> None:
    job = world.submit(scheduling_timeout_ms=5_000, resources=Resources(gpus=9))
    world.pass_ms(6_000)
    assert (state(job), causes(world, job)) == ("unschedulable", ("no_worker", []))


def test_a_gang_goes_together(world: World) -> None:
    one, two = world.worker("w1"), world.worker("w2")
    job = world.submit(num_tasks=2, gang=True)
    first, second = one.started(), two.started()
    one.fail(first, cause=EndCause.EXIT_CODE)
    two.stop(second)
    two.killed(second)
    assert [causes(world, job, index)[0] for index in range(2)] == ["exit_code", "gang_ended"]


def test_a_revoked_worker(world: World) -> None:
    worker = world.worker()
    job = world.submit(max_retries_preemption=0)
    worker.started()
    world.reactor.on_revoke(worker.name, "ana", world.now_ms)
    world.turn()
    assert causes(world, job)[0] == "lost"
    worker.ends.clear()


def test_a_record_of_before_has_none() -> None:
    old = {"id": "a.0.0.x", "job_id": "a", "index": 0, "number": 0, "worker_id": "w", "worker_name": "w", "error": "no"}
    read = msgspec.msgpack.decode(msgspec.msgpack.encode(old), type=Attempt)
    assert (read.error, read.cause, read.stop_cause) == ("no", "", "")
