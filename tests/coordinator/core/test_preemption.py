"""Tasks that make way for jobs of a higher priority band."""

from typing import Any

import pytest

from opsconsole_coordinator.core.model import Attempt, Job
from opsconsole_coordinator.core.preemption import band_of
from opsconsole_protocol import link
from opsconsole_protocol.error import Conflict
from opsconsole_protocol.share import ShareChange
from opsconsole_protocol.spec import PauseBy
from opsconsole_protocol.state import AttemptState
from tests.coordinator.core.world import FakeWorker, World, gpus, state, task_of

URGENT = 100


@pytest.fixture(autouse=True)
def preemptible(world: World) -> None:
    """What isn't said to be of another project makes way."""
    world.reactor.on_set_project("default", None, None, "ana", world.now_ms, None, preemptible=True)
    world.turn()


def run(world: World, worker: FakeWorker, **fields: Any) -> tuple[Job, Attempt]:
    """A job whose task runs."""
    job = world.submit(**fields)
    attempt = worker.started()
    assert attempt.job_id == job.id
    return job, attempt


def way(worker: FakeWorker, attempt: Attempt, mode: link.Mode) -> link.Want:
    """The next message tells an attempt to make way."""
    message = worker.take(link.SetWant)
    assert (message.attempt_id, message.want.mode) == (attempt.id, mode)
    return message.want


def test_bands() -> None:
    assert [band_of(one) for one in (-101, -100, -1, 0, 99, 100, 250)] == [-2, -1, -1, 0, 0, 1, 2]


def test_a_task_is_ended_for_a_job_of_a_higher_band_and_runs_again_later_at_no_cost(world: World) -> None:
    worker = world.worker()
    low, attempt = run(world, worker, max_retries_failure=0)
    urgent = world.submit(priority=URGENT)
    want = way(worker, attempt, link.Mode.STOP)
    assert want.reason == f"makes way for job {urgent.id} of priority 100"
    assert urgent.reason.endswith("; 1 task makes way for it on w1")
    assert world.why(urgent).endswith(f"taken by true ({low.id}, makes way for {urgent.id})")
    worker.killed(attempt)
    assert (state(low), task_of(low).reason) == ("pending", want.reason)
    again = worker.started()
    assert again.job_id == urgent.id
    worker.succeed(again)
    last = worker.started()
    assert (last.job_id, last.number) == (low.id, 1)
    assert (task_of(low).preemptions, task_of(low).failures) == (0, 0)
    worker.succeed(last)
    assert state(low) == "succeeded"
    assert [event.text for event in world.events if event.kind == "preempted"] == [
        f"attempt 0: makes way for job {urgent.id} of priority 100",
        f"attempt 0 ended on w1: makes way for job {urgent.id} of priority 100",
    ]


@pytest.mark.parametrize("priority", [0, 99])
def test_nobody_makes_way_within_a_band(world: World, priority: int) -> None:
    worker = world.worker()
    run(world, worker)
    world.submit(priority=priority)
    world.pass_ms(5_000)
    assert not worker.take_all()


def test_nobody_makes_way_in_a_project_that_doesn_t_allow_it(world: World) -> None:
    worker = world.worker()
    run(world, worker, project="vision")
    world.submit(priority=URGENT)
    world.pass_ms(5_000)
    assert not worker.take_all()


def test_what_would_not_be_run_again_is_left_alone(world: World) -> None:
    worker = world.worker()
    run(world, worker, max_retries_preemption=0)
    world.submit(priority=URGENT)
    world.pass_ms(5_000)
    assert not worker.take_all()


def test_one_that_an_operator_has_frozen_keeps_its_place(world: World) -> None:
    worker = world.worker()
    job, attempt = run(world, worker)
    world.act("pause", job)
    way(worker, attempt, link.Mode.PAUSE)
    world.submit(priority=URGENT)
    world.pass_ms(5_000)
    assert not worker.take_all()


def test_one_that_can_save_a_checkpoint_is_asked_to(world: World) -> None:
    worker = world.worker()
    low, attempt = run(world, worker, pause_by=PauseBy.CHECKPOINT, max_retries_preemption=0)
    urgent = world.submit(priority=URGENT)
    assert way(worker, attempt, link.Mode.PAUSE).by is PauseBy.CHECKPOINT
    assert task_of(low).reason == f"asked to save a checkpoint: makes way for job {urgent.id} of priority 100"
    with pytest.raises(Conflict):
        world.act("resume", low)
    worker.report(attempt, AttemptState.FAILED, exit_code=85, finished_at_ms=world.now_ms)
    worker.forget(attempt)
    assert state(low) == "pending", "it waits for a worker, not for an operator"
    assert worker.started().job_id == urgent.id


def test_one_that_doesn_t_save_in_time_is_ended(world: World) -> None:
    worker = world.worker()
    low, attempt = run(world, worker, pause_by=PauseBy.CHECKPOINT, save_within_ms=10_000)
    world.submit(priority=URGENT)
    way(worker, attempt, link.Mode.PAUSE)
    world.pass_ms(11_000)
    assert "saved no checkpoint within 10s" in way(worker, attempt, link.Mode.STOP).reason
    worker.killed(attempt)
    assert (state(low), task_of(low).held) == ("pending", False)
    worker.started()


def test_one_that_still_saves_goes_on_where_nobody_waits_any_more(world: World) -> None:
    worker = world.worker()
    low, attempt = run(world, worker, pause_by=PauseBy.CHECKPOINT)
    urgent = world.submit(priority=URGENT)
    way(worker, attempt, link.Mode.PAUSE)
    world.act("cancel", urgent)
    world.pass_ms(1_000)
    way(worker, attempt, link.Mode.RUN)
    assert (state(low), task_of(low).reason) == ("running", "")
    worker.report(attempt, AttemptState.FAILED, exit_code=85, finished_at_ms=world.now_ms)
    worker.forget(attempt)
    assert worker.started().job_id == low.id, "it had saved already, and goes on at once"


def test_an_operator_s_pause_counts_more(world: World) -> None:
    worker = world.worker()
    low, attempt = run(world, worker, pause_by=PauseBy.CHECKPOINT)
    world.submit(priority=URGENT)
    way(worker, attempt, link.Mode.PAUSE)
    world.act("pause", low)
    way(worker, attempt, link.Mode.PAUSE)
    worker.report(attempt, AttemptState.FAILED, exit_code=85, finished_at_ms=world.now_ms)
    worker.forget(attempt)
    assert state(low) == "paused"
    worker.started()


def test_one_that_is_lost_while_it_makes_way_isn_t_held(world: World) -> None:
    worker = world.worker()
    low, attempt = run(world, worker, pause_by=PauseBy.CHECKPOINT)
    world.submit(priority=URGENT)
    way(worker, attempt, link.Mode.PAUSE)
    worker.disconnect()
    world.pass_ms(61_000)
    assert (state(low), task_of(low).held) == ("pending", False)


def test_as_few_as_it_takes_and_those_with_whom_least_is_lost(world: World) -> None:
    worker = world.worker(slots=8, gpus=gpus(4))
    long, first = run(world, worker, gpus=1)
    world.pass_ms(60_000)
    saver, second = run(world, worker, gpus=1, pause_by=PauseBy.CHECKPOINT)
    big, third = run(world, worker, gpus=2)
    world.submit(priority=URGENT, gpus=2)
    told = {one.attempt_id: one.want.mode for one in worker.take_all() if isinstance(one, link.SetWant)}
    assert told == {third.id: link.Mode.STOP}, "one of two GPUs that has just begun, rather than two of one"
    del long, first, saver, second, big


def test_the_lowest_band_makes_way_first(world: World) -> None:
    workers = [world.worker(name) for name in ("w1", "w2")]
    lows = [world.submit(priority=priority) for priority in (-200, 0)]
    attempts = [worker.started() for worker in workers]
    world.pass_ms(30_000)
    world.submit(priority=URGENT)
    lowest = next(one for one in attempts if one.job_id == lows[0].id)
    worker = next(one for one in workers if one.id == lowest.worker_id)
    way(worker, lowest, link.Mode.STOP)
    other = next(one for one in workers if one is not worker)
    assert not other.take_all()


def test_what_becomes_free_piece_by_piece_is_kept_for_the_job(world: World) -> None:
    worker = world.worker(slots=8, gpus=gpus(2))
    (_, first), (_, second) = (run(world, worker, gpus=1) for _ in range(2))
    urgent = world.submit(priority=URGENT, gpus=2)
    for attempt in (first, second):
        way(worker, attempt, link.Mode.STOP)
    small = world.submit(gpus=1)
    worker.killed(first)
    world.pass_ms(2_000)
    assert not worker.take_all(), "neither the small job nor what made way takes the first GPU"
    worker.killed(second)
    assert worker.started().job_id == urgent.id
    assert state(small) == "pending"


def test_several_tasks_of_a_job_are_made_way_for_at_once_within_its_limits(world: World) -> None:
    worker = world.worker(slots=4)
    lows = [run(world, worker)[1] for _ in range(4)]
    world.submit(priority=URGENT, num_tasks=4, max_parallel=3, project="vision")
    told = [one.attempt_id for one in worker.take_all() if isinstance(one, link.SetWant)]
    assert len(told) == 3
    world.pass_ms(1_000)
    assert not worker.take_all()
    del lows


def test_no_more_make_way_than_a_project_may_have(world: World) -> None:
    share = ShareChange(tasks=2)
    world.reactor.on_set_project("vision", None, None, "ana", world.now_ms, share)
    worker = world.worker(slots=4)
    for _ in range(4):
        run(world, worker)
    world.submit(priority=URGENT, num_tasks=4, project="vision")
    assert len([one for one in worker.take_all() if isinstance(one, link.SetWant)]) == 2


def test_a_gang_makes_way_as_a_whole(world: World) -> None:
    workers = [world.worker(name) for name in ("w1", "w2")]
    low = world.submit(gang=True, num_tasks=2)
    attempts = [worker.started() for worker in workers]
    urgent = world.submit(priority=URGENT)
    for worker, attempt in zip(workers, attempts, strict=True):
        way(worker, attempt, link.Mode.STOP)
    for worker, attempt in zip(workers, attempts, strict=True):
        worker.killed(attempt)
    assert [str(task.state) for task in low.tasks] == ["pending", "pending"]
    told = [message for one in workers for message in one.take_all()]
    assert [one.desired.launch.job_id for one in told if isinstance(one, link.JobAssignment)] == [urgent.id]


def test_all_a_gang_needs_makes_way_or_nothing(world: World) -> None:
    workers = [world.worker(name) for name in ("w1", "w2")]
    (_, first), (_, second) = run(world, workers[0]), run(world, workers[1], project="vision")
    gang = world.submit(priority=URGENT, gang=True, num_tasks=2)
    world.pass_ms(3_000)
    assert not workers[0].take_all(), "the other one may not be told"
    world.reactor.on_set_project("vision", None, None, "ana", world.now_ms, None, preemptible=True)
    world.pass_ms(1_000)
    for worker, attempt in zip(workers, (first, second), strict=True):
        way(worker, attempt, link.Mode.STOP)
    workers[0].killed(first)
    world.pass_ms(1_000)
    assert not workers[0].take_all(), "kept for the gang"
    workers[1].killed(second)
    assert {worker.started().job_id for worker in workers} == {gang.id}


def test_a_gang_makes_way_for_a_gang(world: World) -> None:
    workers = [world.worker(name) for name in ("w1", "w2")]
    low = world.submit(gang=True, num_tasks=2)
    attempts = [worker.started() for worker in workers]
    gang = world.submit(priority=URGENT, gang=True, num_tasks=2)
    for worker, attempt in zip(workers, attempts, strict=True):
        way(worker, attempt, link.Mode.STOP)
        worker.killed(attempt)
    assert {worker.started().job_id for worker in workers} == {gang.id}
    assert state(low) == "pending"


def test_no_more_make_way_than_it_takes_where_one_gives_room_for_several_tasks(world: World) -> None:
    worker = world.worker(slots=4, gpus=gpus(4))
    _, first = run(world, worker, gpus=2)
    world.pass_ms(1_000)
    _, second = run(world, worker, gpus=2)
    urgent = world.submit(priority=URGENT, gpus=1, num_tasks=2)
    world.pass_ms(1_000)
    way(worker, second, link.Mode.STOP)
    assert first.want.mode is link.Mode.RUN
    worker.killed(second)
    assert [worker.started().job_id for _ in urgent.tasks] == [urgent.id] * 2


def test_after_others_have_made_way_in_vain_no_more_do_for_a_while(world: World) -> None:
    worker = world.worker(slots=2, gpus=gpus(1))
    _, attempt = run(world, worker, gpus=1)
    urgent = world.submit(priority=URGENT, gpus=1)
    way(worker, attempt, link.Mode.STOP)
    in_use = link.Gpu(index=0, uuid="GPU-0", name="A100", memory_total_mb=24_000, state="error")
    worker.heartbeat(gpus=(in_use,))
    worker.killed(attempt)
    other = world.worker("w2", gpus=gpus(1))
    low = other.started()
    assert low.job_id == urgent.id


def test_what_ends_anyway_is_waited_for(world: World) -> None:
    worker = world.worker(slots=2)
    dying, first = run(world, worker)
    _, second = run(world, worker)
    world.act("cancel", dying)
    worker.stop(first)
    world.submit(priority=URGENT)
    world.pass_ms(2_000)
    assert not worker.take_all()
    assert second.want.mode is link.Mode.RUN


@pytest.mark.parametrize("tasks", [1, 2])
def test_a_gang_whose_workers_are_silent_makes_way_for_nobody(world: World, tasks: int) -> None:
    worker = world.worker(slots=tasks)
    lost = world.submit(gang=True, num_tasks=tasks, lost_after_ms=13_000)
    started = [worker.started() for _ in range(tasks)]
    worker.disconnect()
    world.pass_ms(15_000)
    urgent = world.submit(gang=True, num_tasks=tasks, priority=URGENT)
    world.pass_ms(1_000)
    assert (state(lost), state(urgent)) == ("pending", "pending")
    assert [one.makes_way_for for one in started] == [None] * tasks
