"""How an attempt's end becomes its task's and its job's state."""

from typing import Any

import msgspec
import pytest

from opsconsole_coordinator.core import view
from opsconsole_coordinator.core.avoidance import AVOID_MS, GPU_BLAME_MS
from opsconsole_coordinator.core.desired import desired_of
from opsconsole_coordinator.core.ending import BACKOFF_MAX_MS
from opsconsole_coordinator.core.model import Attempt
from opsconsole_protocol import link
from opsconsole_protocol.state import AttemptState, TaskState
from tests.coordinator.core.world import FakeWorker, World, gpus, state, task_of


def test_failures_have_a_budget(world: World) -> None:
    worker = world.worker()
    job = world.submit(max_retries_failure=2)
    for number in range(3):
        worker.fail(worker.started(), f"exit code {number}")
        world.pass_ms(BACKOFF_MAX_MS)
    assert (state(job), task_of(job).failures, task_of(job).attempts) == ("failed", 3, 3)
    assert world.rows[job.id].reason == "exit code 2"


def test_a_broken_dataset_is_not_looked_at_again(world: World) -> None:
    """It is broken wherever it is looked at, and says nothing about the worker."""
    worker = world.worker()
    for _ in range(4):
        job = world.submit(max_retries_failure=5)
        worker.fail(worker.started(), "dataset a.csv, line 3: is ragged", cause="broken_dataset")
        assert (state(job), task_of(job).attempts, world.rows[job.id].reason) == (
            "failed", 1, "dataset a.csv, line 3: is ragged",
        )  # fmt: skip
    assert not worker.record.failed_jobs


def test_losses_have_a_budget_of_their_own(world: World) -> None:
    worker = world.worker()
    job = world.submit(max_retries_preemption=1)
    for _ in range(2):
        attempt = worker.started()
        worker.report(attempt, AttemptState.PREEMPTED, error="made way for another")
        worker.forget(attempt)
        world.pass_ms(BACKOFF_MAX_MS)
    assert (state(job), task_of(job).failures, task_of(job).preemptions) == ("preempted", 0, 2)
    assert world.rows[job.id].reason == "made way for another (all 1 retries are used up)"


def test_a_lost_worker_with_no_retries_left_ends_the_task(world: World) -> None:
    worker = world.worker()
    job = world.submit(max_retries_preemption=0)
    worker.started()
    worker.disconnect()
    world.pass_ms(61_000)
    assert state(job) == "worker_failed"


def test_retries_wait_longer_each_time_up_to_a_minute(world: World) -> None:
    worker = world.worker()
    job = world.submit(max_retries_failure=9)
    waits = []
    for _ in range(9):
        worker.fail(worker.started())
        waits.append(task_of(job).not_before_ms - world.now_ms)
        world.pass_ms(waits[-1] - 500)
        assert not worker.inbox
        world.pass_ms(BACKOFF_MAX_MS)
    assert waits == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]
    worker.succeed(worker.started())


def test_a_retry_says_why_and_when(world: World) -> None:
    worker = world.worker()
    job = world.submit(max_retries_failure=2)
    worker.fail(worker.started(), "exit code 3")
    assert task_of(job).reason == "exit code 3 (failed 1 of 3, again in 1s)"


def test_a_task_is_tried_elsewhere_first(world: World) -> None:
    one, two = world.worker("w1"), world.worker("w2")
    world.submit(max_retries_failure=1)
    one.fail(one.started())
    world.pass_ms(2_000)
    two.succeed(two.started())


def test_a_failure_ends_none_of_the_other_tasks(world: World) -> None:
    worker = world.worker(slots=6)
    job = world.submit(num_tasks=6)
    for attempt in [worker.started() for _ in range(6)]:
        (worker.fail if attempt.index == 2 else worker.succeed)(attempt)
    assert job.counts == {TaskState.SUCCEEDED: 5, TaskState.FAILED: 1}
    assert state(job) == "failed"


def test_what_failed_runs_again_and_nothing_else(world: World) -> None:
    worker = world.worker(slots=2)
    job = world.submit(num_tasks=2)
    first, second = worker.started(), worker.started()
    worker.fail(first)
    assert state(job) == "running", "the other goes on"
    assert world.act("retry", job) == "retried by ana (1 task)"
    assert worker.started().index == 0
    worker.succeed(second)


def test_one_failed_task_ends_a_job_that_allows_none(world: World) -> None:
    worker = world.worker(slots=2)
    job = world.submit(num_tasks=4, max_task_failures=0)
    first, second = worker.started(), worker.started()
    worker.report(first, AttemptState.FAILED, exit_code=1, error="exit code 1")
    assert worker.stop(second).reason == "1 of 4 tasks failed, none may"
    worker.forget(first)
    assert job.counts == {TaskState.FAILED: 1, TaskState.RUNNING: 1, TaskState.KILLED: 2}
    worker.killed(second)
    assert state(job) == "failed"


def test_a_job_may_allow_some_of_its_tasks_to_fail(world: World) -> None:
    worker = world.worker()
    job = world.submit(num_tasks=3, max_task_failures=1)
    worker.fail(worker.started())
    assert state(job) == "assigned"
    worker.fail(worker.started())
    assert job.counts == {TaskState.FAILED: 2, TaskState.KILLED: 1}
    assert task_of(job, 2).reason == "2 of 3 tasks failed, 1 may"


def test_retries_end_with_their_job(world: World) -> None:
    worker = world.worker(slots=2)
    job = world.submit(num_tasks=2, max_retries_failure=5)
    first, second = worker.started(), worker.started()
    world.act("cancel", job)
    worker.stop(first)
    worker.stop(second)
    worker.fail(first)
    worker.killed(second)
    assert job.counts == {TaskState.FAILED: 1, TaskState.KILLED: 1}


@pytest.mark.parametrize(("end", "kind"), [("succeed", "succeeded"), ("fail", "failed")])
def test_the_audit_log_tells_the_story(world: World, end: str, kind: str) -> None:
    worker = world.worker()
    job = world.submit()
    getattr(worker, end)(worker.started())
    kinds = [event.kind for event in world.events if event.subject.startswith(job.id)]
    assert kinds == ["submitted", "assigned", "running", kind, "finished"]
    assert [event.seq for event in world.events] == list(range(1, len(world.events) + 1))


def fail_in_a_row(world: World, worker: FakeWorker, *people: str, **fields: Any) -> None:
    """One job after the other fails on a worker that they ask for."""
    for one in people:
        world.submit(worker=worker.name, by=one)
        worker.fail(worker.started(), **fields)


def test_jobs_of_different_people_failing_in_a_row_make_a_worker_avoided_and_seen(world: World) -> None:
    """Hard use 15."""
    one, two = world.worker("w1"), world.worker("w2")
    fail_in_a_row(world, one, "ana", "ben", "ana")
    row = view.worker_row(world.fleet, one.record, world.now_ms)
    assert row.attention == "avoided after 3 jobs of 2 people failed in a row"
    assert row.avoided_until_ms == world.now_ms + AVOID_MS
    world.submit()
    two.succeed(two.started())
    world.pass_ms(AVOID_MS + 1_000)
    kinds = [(event.kind, event.text) for event in world.events if event.subject == "w1"]
    assert kinds[-2:] == [
        ("avoided", "avoided for 1m, where there is another worker: 3 jobs of 2 people failed in a row"),
        ("used again", "w1 is no longer avoided"),
    ]
    assert view.worker_row(world.fleet, one.record, world.now_ms).avoided_until_ms is None


def test_the_typing_errors_of_one_person_say_nothing_about_a_worker(world: World) -> None:
    """Hard use 15."""
    worker = world.worker()
    fail_in_a_row(world, worker, *["ana"] * 9)
    assert not worker.record.avoided_until_ms


def test_failures_of_the_workers_own_kind_make_it_avoided_whoever_had_them(world: World) -> None:
    """Hard use 15."""
    one, two = world.worker("w1"), world.worker("w2")
    fail_in_a_row(world, one, "ana", worker_fault=True)
    assert not one.record.avoided_until_ms
    fail_in_a_row(world, one, "ana", error="can't be made (No space left on device)", worker_fault=True)
    assert "2 failures of its own in a row" in view.worker_row(world.fleet, one.record, world.now_ms).attention
    world.submit()
    two.succeed(two.started())


def test_who_names_a_worker_gets_it_and_who_has_no_other_too(world: World) -> None:
    """Hard use 15."""
    one, two = world.worker("w1", gpus=gpus(1)), world.worker("w2")
    fail_in_a_row(world, one, "ana", "ana", worker_fault=True)
    until_ms = one.record.avoided_until_ms
    world.submit(worker="w1")
    one.succeed(one.started())
    one.record.avoided_until_ms = until_ms
    world.submit(gpus=1)
    one.succeed(one.started())
    one.record.avoided_until_ms = until_ms
    world.submit()
    busy = two.started()
    waiting = world.submit()
    assert world.why(waiting).startswith("w1 is avoided for a while after 2 failures"), "the other one ends some time"
    two.succeed(busy)
    two.succeed(two.started())


def test_a_worker_in_trouble_gets_no_new_tasks_and_says_so(world: World) -> None:
    """Hard use 16."""
    one, two = world.worker("w1"), world.worker("w2")
    full = link.Trouble(code="disk_full", text="its disk is full: make room in /state")
    one.heartbeat(troubles=(full,))
    words = "takes no new tasks: its disk is full: make room in /state"
    assert view.worker_row(world.fleet, one.record, world.now_ms).attention == words
    world.submit()
    held = two.started()
    job = world.submit(worker="w1")
    assert world.why(job) == f"w1 {words}"
    one.heartbeat()
    one.succeed(one.started())
    said = [event.text for event in world.events if event.kind in {"trouble", "recovered"}]
    assert said == [f"w1: {full.text}", f"w1: no longer: {full.text}"]
    two.succeed(held)
    silent = link.Trouble(code="keeper_silent", text="its keeper doesn't answer")
    one.heartbeat(troubles=(silent, link.Trouble(code="other", text="something else", blocks=False)))
    world.submit()
    two.succeed(two.started())
    assert "its keeper doesn't answer" in view.worker_row(world.fleet, one.record, world.now_ms).attention


def test_one_bad_job_says_nothing_about_its_worker(world: World) -> None:
    worker = world.worker()
    world.submit(num_tasks=5, max_task_failures=5)
    for _ in range(5):
        worker.fail(worker.started())
    world.submit()
    worker.succeed(worker.started())


@pytest.mark.parametrize("heard_first", [True, False])
def test_a_failure_on_a_gpu_in_trouble_makes_its_worker_avoided_at_once(world: World, heard_first: bool) -> None:
    worker = world.worker("w1", gpus=gpus(2), slots=2)
    world.submit(gpus=1)
    attempt = worker.started()
    index = int(attempt.gpu_ids[0][-1])
    broken = tuple(
        msgspec.structs.replace(gpu, state="error", message="Xid 79") if gpu.index == index else gpu for gpu in gpus(2)
    )
    if heard_first:
        worker.heartbeat(gpus=broken)
        assert not worker.record.avoided_until_ms, "its other GPU is good"
        worker.fail(attempt)
    else:
        worker.fail(attempt)
        world.pass_ms(GPU_BLAME_MS - 1_000)
        worker.heartbeat(gpus=broken)
    other = world.worker("w2")
    world.submit()
    held = other.started()
    job = world.submit()
    assert f"is avoided for a while after a failure on GPU {index}, which is in trouble" in world.why(job)
    assert f"GPU {index} of w1: Xid 79" in [event.text for event in world.events]
    world.pass_ms(AVOID_MS + 1_000)
    worker.succeed(worker.started())
    other.succeed(held)
    alone = world.submit(gpus=2)
    assert f"GPU {index} is in error: Xid 79" in world.why(alone), "the GPU stays out of use"


def test_a_gpu_that_breaks_long_after_a_failure_explains_nothing(world: World) -> None:
    worker = world.worker("w1", gpus=gpus(1))
    world.submit(gpus=1)
    worker.fail(worker.started())
    world.pass_ms(GPU_BLAME_MS + 1_000)
    worker.heartbeat(gpus=tuple(msgspec.structs.replace(gpu, state="lost") for gpu in gpus(1)))
    world.submit()
    worker.succeed(worker.started())
    worker.heartbeat(gpus=gpus(1))
    texts = [event.text for event in world.events if event.subject == "w1"]
    assert texts[-2:] == ["GPU 0 of w1: lost", "GPU 0 of w1 is ok again"]


def test_an_end_with_logs_outstanding_keeps_the_attempt_but_frees_its_slot(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = worker.started()
    worker.report(attempt, AttemptState.SUCCEEDED, exit_code=0, log_sizes={"stdout": 9})
    assert state(job) == "succeeded"
    assert attempt.id in worker.record.ended
    world.submit()
    second = worker.started()
    worker.disconnect()
    del worker.attempts[attempt.id]  # its disk is gone: the rest of the log will never come
    worker.connect()
    worker.take(link.Registered)
    worker.forget(attempt)
    worker.take(link.DesiredSet)
    assert job.id not in world.fleet.jobs
    worker.succeed(second)


# --- where results are (hard use 21) -----------------------------------------------------------------------------------


def launch_of(world: World, attempt: Attempt) -> link.Launch:
    return desired_of(world.fleet, world.fleet.jobs[attempt.job_id], attempt).launch


def test_a_retry_after_an_end_goes_on_in_the_same_folder(world: World) -> None:
    worker = world.worker()
    world.submit(max_retries_failure=1)
    first = worker.started()
    assert launch_of(world, first).follows
    worker.fail(first)
    world.pass_ms(BACKOFF_MAX_MS)
    second = worker.started()
    assert launch_of(world, second).follows
    worker.succeed(second)
    assert [one.accepted for one in worker.forgets] == [(), ()], "its folder is the task's already"


@pytest.mark.parametrize(("filesystem", "follows"), [("local", True), ("nfs", False), (None, False)])
def test_where_a_lost_one_may_still_be_writing_there_is_another_folder(
    world: World, filesystem: str | None, follows: bool
) -> None:
    one = world.worker("w1")
    world.submit()
    first = one.started()
    two = world.worker(
        "w2", properties={"io_paths": {"output": "/out", "filesystem": filesystem}} if filesystem else {}
    )
    one.disconnect()
    world.pass_ms(61_000)
    second = two.started()
    assert (first.number, second.number) == (0, 1)
    assert launch_of(world, second).follows is follows
    two.succeed(second)
    assert two.forgets[-1].accepted == (second.id,)


def test_the_worker_that_was_lost_itself_gets_another_folder(world: World) -> None:
    one = world.worker("w1")
    job = world.submit(max_retries_failure=1)
    one.started()
    two = world.worker("w2")
    one.disconnect()
    world.pass_ms(61_000)
    two.fail(two.started())
    assert task_of(job).strays == (one.record.id,)
    two.disconnect()
    one.connect()
    one.take_all()
    world.pass_ms(BACKOFF_MAX_MS)
    third = one.assigned()
    assert third.number == 2
    assert not launch_of(world, third).follows


# --- who did it (hard use 63) --------------------------------------------------------------------------------------------


def test_a_worker_is_no_person_in_any_event(world: World) -> None:
    """A worker called `root` acted as root in the events of its tasks."""
    worker = world.worker("root")
    world.submit()
    worker.succeed(worker.started())
    world.submit(max_retries_failure=0)
    worker.fail(worker.started())
    world.submit(max_retries_preemption=1)
    attempt = worker.started()
    worker.report(attempt, AttemptState.PREEMPTED, error="made way")
    worker.forget(attempt)
    worker.disconnect()
    world.pass_ms(61_000)
    acts = {(event.actor, event.kind) for event in world.events if event.actor != "coordinator"}
    assert {kind for actor, kind in acts if actor == "worker root"} >= {"running", "succeeded", "failed", "joined"}
    assert "root" not in {actor for actor, _ in acts}
