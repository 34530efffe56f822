"""What operators do to jobs, tasks and workers."""

from typing import Any

import pytest

from opsconsole_coordinator.core.model import Job
from opsconsole_protocol import link
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.link import Mode
from opsconsole_protocol.state import AttemptState, TaskState
from opsconsole_protocol.task_selection import read_selection
from tests.coordinator.core.world import FakeWorker, World, state, task_of


def set_priority(world: World, job: Job, priority: int, *, relative: bool = False, tasks: str = "") -> str:
    selection = read_selection(tasks) if tasks else None
    words = world.reactor.on_set_priority(job.id, selection, priority, "ana", world.now_ms, relative=relative)
    world.turn()
    return words


def set_worker(world: World, name: str, action: str) -> str:
    if action == "revoke":
        world.reactor.on_revoke(name, "ana", world.now_ms)
    else:
        world.reactor.on_set_maintenance(name, action, "ana", world.now_ms)
    world.turn()
    return world.events[-1].text


def run_one(world: World, **fields: Any) -> tuple[FakeWorker, Job]:
    worker = world.worker()
    job = world.submit(**fields)
    worker.started()
    return worker, job


# --- cancel --------------------------------------------------------------------------------------------------------


def test_cancelling_a_waiting_job_ends_it_at_once(world: World) -> None:
    job = world.submit(num_tasks=3)
    assert world.act("cancel", job, reason="not needed") == "cancelled by ana: not needed; killed"
    assert job.counts == {TaskState.KILLED: 3}
    assert world.rows[job.id].reason == "cancelled by ana: not needed"


def test_cancelling_a_running_job_waits_for_its_end(world: World) -> None:
    worker, job = run_one(world, grace_ms=7)
    [attempt] = worker.record.live.values()
    assert world.act("cancel", job) == "cancelled by ana; ending"
    assert worker.stop(attempt) == link.Want(mode=Mode.STOP, reason="cancelled by ana", grace_ms=7)
    assert world.rows[job.id].reason == "ending: cancelled by ana"
    assert state(job) == "running"
    assert world.act("cancel", job) == "cancelled by ana; ending"
    assert not worker.inbox
    worker.killed(attempt)
    assert state(job) == "killed"


def test_cancelling_one_task_leaves_the_others(world: World) -> None:
    job = world.submit(num_tasks=3)
    world.act("cancel", job, 1)
    assert [str(task.state) for task in job.tasks] == ["pending", "killed", "pending"]


def test_cancelling_a_paused_job_ends_it(world: World) -> None:
    worker, job = run_one(world)
    [attempt] = worker.record.live.values()
    world.act("pause", job)
    worker.take(link.SetWant)
    worker.report(attempt, AttemptState.PAUSED)
    world.act("cancel", job)
    worker.stop(attempt)
    worker.killed(attempt)
    assert state(job) == "killed"


def test_cancelling_a_lost_task_ends_it_for_good(world: World) -> None:
    worker, job = run_one(world)
    [attempt] = worker.record.live.values()
    worker.disconnect()
    world.pass_ms(61_000)
    world.act("cancel", job)
    assert state(job) == "killed"
    worker.connect()
    worker.take(link.Registered)
    worker.stop(attempt)
    worker.take(link.DesiredSet)
    worker.report(attempt, AttemptState.KILLED)
    worker.forget(attempt)


def test_a_task_that_succeeds_before_the_cancellation_reaches_it_has_succeeded(world: World) -> None:
    worker, job = run_one(world)
    [attempt] = worker.record.live.values()
    world.act("cancel", job)
    worker.stop(attempt)
    worker.succeed(attempt)
    assert state(job) == "succeeded"


# --- pause, resume, hold, release ----------------------------------------------------------------------------------


def test_pause_and_resume(world: World) -> None:
    worker, job = run_one(world)
    [attempt] = worker.record.live.values()
    assert world.act("pause", job) == "paused by ana"
    assert worker.take(link.SetWant).want.mode is Mode.PAUSE
    worker.report(attempt, AttemptState.PAUSED)
    assert (state(job), world.rows[job.id].reason) == ("paused", "paused by ana")
    assert world.act("resume", job) == "resumed by ana"
    assert worker.take(link.SetWant).want.mode is Mode.RUN
    worker.report(attempt, AttemptState.RUNNING)
    assert (state(job), world.rows[job.id].reason) == ("running", "")
    worker.succeed(attempt)


def test_pausing_a_job_holds_what_waits_of_it(world: World) -> None:
    worker = world.worker()
    job = world.submit(num_tasks=3)
    attempt = worker.started()
    assert world.act("pause", job) == "paused by ana (2 waiting tasks held)"
    worker.take(link.SetWant)
    worker.report(attempt, AttemptState.PAUSED)
    assert job.counts == {TaskState.PAUSED: 1, TaskState.HELD: 2}
    world.act("resume", job)
    assert worker.take(link.SetWant).want.mode is Mode.RUN
    assert job.counts == {TaskState.PAUSED: 1, TaskState.PENDING: 2}
    worker.report(attempt, AttemptState.RUNNING)


def test_pausing_reaches_an_attempt_that_is_being_taken_back(world: World) -> None:
    worker = world.worker()
    job = world.submit()
    attempt = worker.assigned()
    attempt.want = link.Want(mode=Mode.RETRACT, reason="moves to a free worker")
    world.act("pause", job)
    assert worker.take(link.SetWant).want.mode is Mode.PAUSE
    worker.report(attempt, AttemptState.KILLED)  # the retraction came first
    worker.forget(attempt)
    assert state(job) == "held"
    world.act("release", job)
    worker.succeed(worker.started())


def test_a_paused_task_that_fails_is_not_started_again_before_it_is_resumed(world: World) -> None:
    worker, job = run_one(world, max_retries_failure=1)
    [attempt] = worker.record.live.values()
    world.act("pause", job)
    worker.take(link.SetWant)
    worker.report(attempt, AttemptState.PAUSED)
    worker.fail(attempt, "out of memory")
    world.pass_ms(10_000)
    assert (state(job), task_of(job).reason) == (
        "held", "paused by ana; out of memory (failed 1 of 2, again in 1s)"
    )  # fmt: skip
    world.act("resume", job)
    worker.succeed(worker.started())


def test_hold_and_release(world: World) -> None:
    job = world.submit()
    assert world.act("hold", job, reason="wait for data") == "held by ana: wait for data"
    assert world.rows[job.id].reason == "held by ana: wait for data"
    worker = world.worker()
    assert not worker.inbox
    assert world.act("release", job) == "released by ana"
    worker.succeed(worker.started())


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("resume", "it is running, nothing of it is paused or held"),
        ("hold", "none of its tasks is waiting (pause stops running ones)"),
        ("release", "none of its tasks is held"),
        ("retry", "none of its tasks has failed"),
    ],
)
def test_a_verb_that_does_not_fit_says_why(world: World, verb: str, words: str) -> None:
    _, job = run_one(world)
    before = len(world.events)
    with pytest.raises(Conflict) as error:
        world.act(verb, job)
    assert words in error.value.message
    assert len(world.events) == before


def test_what_is_not_there_is_said_to_be_not_there(world: World) -> None:
    job = world.submit(num_tasks=2)
    with pytest.raises(NotFound, match="has 2 tasks, from task-0 to task-1"):
        world.act("cancel", job, 2)
    with pytest.raises(InvalidRequest, match="'stop' is not a verb: use one of pause, resume"):
        world.act("stop", job)
    with pytest.raises(NotFound, match="no live job nothing"):
        world.reactor.on_act("cancel", JobId("nothing"), None, "ana", "", world.now_ms)


# --- retry ---------------------------------------------------------------------------------------------------------


def test_retry_gives_a_failed_job_a_new_life(world: World) -> None:
    worker = world.worker()
    job = world.submit(max_retries_failure=1)
    worker.fail(worker.started())
    world.pass_ms(2_000)
    second = worker.started()
    worker.report(second, AttemptState.FAILED, exit_code=1, error="e", log_sizes={"stdout": 1})
    assert state(job) == "failed"
    assert world.act("retry", job) == "retried by ana"
    assert job.finished_at_ms is None
    third = worker.started()
    assert third.number == 2
    worker.fail(third)
    world.pass_ms(2_000)
    assert task_of(job).failures == 1, "the budgets begin anew"
    worker.succeed(worker.started())
    assert state(job) == "succeeded"
    worker.rest(second)


def test_retrying_one_task_of_a_cancelled_job_gives_it_its_whole_budget(world: World) -> None:
    worker = world.worker(slots=2)
    job = world.submit(num_tasks=2, max_retries_failure=1)
    first, second = worker.started(), worker.started()
    world.act("cancel", job)
    worker.stop(first)
    worker.stop(second)
    worker.report(first, AttemptState.KILLED, log_sizes={"stdout": 1})
    worker.killed(second)
    assert job.stop_reason
    world.act("retry", job, 0)
    assert not job.stop_reason
    worker.fail(worker.started())
    world.pass_ms(2_000)
    worker.succeed(worker.started())
    assert [str(task.state) for task in job.tasks] == ["succeeded", "killed"]
    worker.rest(first)


def test_a_retry_takes_its_failures_out_of_the_count(world: World) -> None:
    worker = world.worker(slots=3)
    job = world.submit(num_tasks=3, max_task_failures=2)
    attempts = [worker.started() for _ in range(3)]
    worker.fail(attempts[0])
    assert job.failed_tasks == 1
    world.act("retry", job, 0)
    assert job.failed_tasks == 0
    for attempt in (*attempts[1:], worker.started()):
        worker.succeed(attempt)


# --- priority ------------------------------------------------------------------------------------------------------


def test_a_new_priority_moves_a_job_in_the_queue(world: World) -> None:
    first, second = world.submit(), world.submit()
    assert set_priority(world, second, 5) == "priority set to 5 by ana"
    assert set_priority(world, second, -3, relative=True) == "priority set to 2 by ana"
    assert list(world.fleet.order) == [second.id, first.id]
    set_priority(world, first, 3)
    assert list(world.fleet.order) == [first.id, second.id]


def test_a_priority_stays_within_what_can_be_stored(world: World) -> None:
    job = world.submit(priority=1_000_000)
    with pytest.raises(InvalidRequest, match="lies between -1000000 and 1000000"):
        set_priority(world, job, 1, relative=True)
    assert job.priority == 1_000_000


def test_the_priority_of_a_finished_job_means_nothing(world: World) -> None:
    with pytest.raises(Conflict, match="has ended"):
        world.reactor.on_set_priority(JobId("nothing"), None, 1, "ana", 0, relative=False)


# --- workers -------------------------------------------------------------------------------------------------------


def test_a_drained_worker_finishes_and_gets_nothing_new(world: World) -> None:
    worker, _ = run_one(world)
    [attempt] = worker.record.live.values()
    assert set_worker(world, "w1", "drain") == "drained by ana: 1 tasks go on, none is added"
    assert worker.record.status == "maintenance"
    second = world.submit()
    worker.succeed(attempt)
    assert not worker.inbox
    assert world.why(second) == "w1 is in maintenance (undrain it to use it)"
    set_worker(world, worker.id, "undrain")
    worker.succeed(worker.started())


def test_a_revoked_worker_is_shut_out_and_its_tasks_run_elsewhere(world: World) -> None:
    one = world.worker("w1", slots=2)
    job, other = world.submit(), world.submit()
    attempt, ended = one.started(), one.started()
    one.report(ended, AttemptState.SUCCEEDED, exit_code=0, log_sizes={"stdout": 5})
    two = world.worker("w2")
    set_worker(world, "w1", "revoke")
    assert one.ends == [("unauthenticated", "this worker's credential was revoked by ana")]
    one.ends.clear()
    assert attempt.state is AttemptState.WORKER_FAILED
    assert other.id not in world.fleet.jobs, "nobody waits for the rest of its logs"
    world.pass_ms(2_000)
    two.succeed(two.started())
    assert state(job) == "succeeded"


def test_a_name_is_free_again_once_its_worker_is_revoked(world: World) -> None:
    world.worker("w1")
    set_worker(world, "w1", "revoke")
    world.workers["w1"].ends.clear()
    other = FakeWorker(world, "w1")
    other.id = type(other.id)("another-id")
    world.workers["again"] = other
    other.connect()
    other.take(link.Registered)


def test_workers_are_known_by_name_or_id_and_by_three_actions(world: World) -> None:
    world.worker("w1")
    with pytest.raises(NotFound, match="there is no worker nobody"):
        set_worker(world, "nobody", "drain")
    with pytest.raises(InvalidRequest, match="drain, undrain or revoke"):
        set_worker(world, "w1", "explode")


def test_an_archived_project_takes_no_work(world: World) -> None:
    """Hard use 42."""
    worker = world.worker()
    held, failed = world.submit(held=True), world.submit()
    attempt = worker.started()
    world.set_project("archived")
    waiting = held
    words = (
        "project default is archived and takes no work: `opsconsole project set default --status active` opens it again"
    )
    with pytest.raises(Conflict, match=words):
        world.submit()
    with pytest.raises(Conflict, match=words):
        world.act("release", waiting)
    worker.report(attempt, AttemptState.FAILED, exit_code=1, error="exit code 1", log_sizes={"stdout": 1})
    with pytest.raises(Conflict, match=words):
        world.act("retry", failed)
    world.act("cancel", held)
    worker.rest(attempt)


def test_what_waits_in_an_archived_project_says_so(world: World) -> None:
    job = world.submit()
    world.set_project("archived")
    world.pass_ms(500)
    assert world.why(job).startswith("project default is archived: `opsconsole project set default --status active`")


@pytest.mark.parametrize("verb", ["release", "hold", "resume", "pause", "retry"])
def test_tasks_for_which_there_is_nothing_to_do_are_named_with_their_states(world: World, verb: str) -> None:
    job = world.submit(num_tasks=4, held=verb in {"release", "resume"})
    if verb != "retry":
        for index in (1, 2):
            world.act("cancel", job, index)
    one = f"can't {verb} {job.id}/task-1: it is {task_of(job, 1).state}"
    with pytest.raises(Conflict, match=f"^{one}$"):
        world.act(verb, job, 1)
