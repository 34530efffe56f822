"""Tasks that leave a worker which is drained for good, or for a while."""

from typing import Any

import pytest

from opsconsole_coordinator.core import view
from opsconsole_coordinator.core.model import Attempt, Job
from opsconsole_protocol import link
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.spec import PauseBy
from opsconsole_protocol.state import AttemptState
from tests.coordinator.core.world import FakeWorker, World, state, task_of


def drain(world: World, worker: FakeWorker, within_ms: int | None = 60_000, reason: str = "a new driver") -> None:
    world.reactor.on_set_maintenance(worker.name, "drain", "ana", world.now_ms, reason, within_ms)
    world.turn()


def undrain(world: World, worker: FakeWorker) -> None:
    world.reactor.on_set_maintenance(worker.name, "undrain", "ana", world.now_ms)
    world.turn()


def run(world: World, worker: FakeWorker, **fields: Any) -> tuple[Job, Attempt]:
    job = world.submit(**fields)
    attempt = worker.started()
    assert attempt.job_id == job.id
    return job, attempt


def want(worker: FakeWorker, attempt: Attempt, mode: link.Mode) -> link.Want:
    message = worker.take(link.SetWant)
    assert (message.attempt_id, message.want.mode) == (attempt.id, mode)
    return message.want


def test_what_still_runs_when_the_time_is_over_goes_on_elsewhere_at_no_cost(world: World) -> None:
    worker = world.worker(slots=2)
    saver, one = run(world, worker, pause_by=PauseBy.CHECKPOINT, max_retries_preemption=0)
    plain, two = run(world, worker, max_retries_failure=0)
    drain(world, worker)
    row = view.worker_row(world.fleet, worker.record, world.now_ms)
    assert (row.drain_reason, row.drain_until_ms) == ("a new driver", world.now_ms + 60_000)
    assert world.events[-1].text == "drained by ana for a new driver: 2 tasks go on, and leave in 1m, none is added"
    world.pass_ms(59_000)
    assert not worker.take_all()
    world.pass_ms(1_500)
    assert want(worker, one, link.Mode.PAUSE).by is PauseBy.CHECKPOINT
    assert want(worker, two, link.Mode.STOP).reason == "w1 is drained for a new driver"
    worker.report(one, AttemptState.FAILED, exit_code=85, finished_at_ms=world.now_ms)
    worker.forget(one)
    worker.killed(two)
    assert [state(job) for job in (saver, plain)] == ["pending", "pending"]
    assert world.why(plain) == "w1 is in maintenance: a new driver (undrain it to use it)"
    other = world.worker("w2", slots=2)
    assert {other.started().job_id for _ in range(2)} == {saver.id, plain.id}
    assert [(task_of(job).failures, task_of(job).preemptions) for job in (saver, plain)] == [(0, 0), (0, 0)]


def test_without_a_time_what_runs_may_stay(world: World) -> None:
    worker = world.worker()
    run(world, worker)
    drain(world, worker, None)
    world.pass_ms(600_000)
    assert not worker.take_all()


def test_what_would_not_be_run_again_may_stay(world: World) -> None:
    worker = world.worker()
    run(world, worker, max_retries_preemption=0)
    drain(world, worker)
    world.pass_ms(120_000)
    assert not worker.take_all()


def test_undrained_in_time_it_all_goes_on(world: World) -> None:
    worker = world.worker()
    job, attempt = run(world, worker, pause_by=PauseBy.CHECKPOINT)
    drain(world, worker, 0)
    world.pass_ms(1_000)
    want(worker, attempt, link.Mode.PAUSE)
    undrain(world, worker)
    assert (worker.record.drain_reason, worker.record.drain_until_ms) == ("", None)
    world.pass_ms(1_000)
    want(worker, attempt, link.Mode.RUN)
    assert state(job) == "running"


def test_a_gang_leaves_as_a_whole(world: World) -> None:
    workers = [world.worker(name) for name in ("w1", "w2")]
    job = world.submit(gang=True, num_tasks=2)
    attempts = [worker.started() for worker in workers]
    drain(world, workers[0], 0)
    world.pass_ms(1_000)
    for worker, attempt in zip(workers, attempts, strict=True):
        want(worker, attempt, link.Mode.STOP)
        worker.killed(attempt)
    assert state(job) == "pending"


def test_a_reason_goes_with_drain_alone(world: World) -> None:
    worker = world.worker()
    with pytest.raises(InvalidRequest, match="drain alone"):
        world.reactor.on_set_maintenance(worker.name, "undrain", "ana", world.now_ms, "why")
