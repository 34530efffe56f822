"""Jobs that wait for jobs."""

from typing import Any

import pytest

from opsconsole_coordinator.core.reactor import Reactor
from opsconsole_protocol import link
from opsconsole_protocol.api import Submission
from opsconsole_protocol.chain import check_cycle
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.event_kind import EventKind
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.spec import JobSpec
from opsconsole_protocol.state import TaskState
from tests.coordinator.core.world import World, state, task_of


def test_a_job_runs_only_when_all_that_it_comes_after_have_succeeded(world: World) -> None:
    worker = world.worker(slots=2)
    first, second = world.submit(), world.submit()
    third = world.submit(after=(first, second))
    one, two = worker.started(), worker.started()
    assert third.state is TaskState.PENDING
    assert world.why(third) == f"waits for true ({first.id}, running) and true ({second.id}, running)"
    worker.succeed(one)
    assert not worker.inbox
    worker.report(two, two.state.SUCCEEDED, exit_code=0)
    worker.take(link.Forget)
    worker.succeed(worker.started())


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("held", [False, True])
def test_a_job_waits_since_it_could_have_begun(world: World, each: bool, held: bool) -> None:
    worker = world.worker()
    first = world.submit(num_tasks=2)
    one = worker.started()
    other = world.submit(num_tasks=2, after=(f"{first.id}:*" if each else first.id,), held=held)
    free = world.submit()
    assert world.rows[free.id].waiting_since_ms == free.created_at_ms
    assert world.rows[other.id].waiting_since_ms is None
    world.pass_ms(1_000)
    worker.succeed(one)
    met_ms = world.now_ms
    two = worker.started()
    world.reactor.on_set_maintenance("w1", "drain", "ana", world.now_ms)
    world.pass_ms(1_000)
    if not each:
        assert world.rows[other.id].waiting_since_ms is None
        met_ms = world.now_ms
        worker.succeed(two)
    if held:
        assert world.rows[other.id].waiting_since_ms is None
        world.pass_ms(1_000)
        met_ms = world.now_ms
        world.act("release", other)
    assert world.rows[other.id].waiting_since_ms == met_ms
    events = [one for one in world.events if one.subject == other.id and one.kind == EventKind.UNBLOCKED]
    assert [one.text for one in events] == ["dependencies are met"]
    assert world.rows[first.id].waiting_since_ms is None


def test_a_failure_blocks_everything_after_it(world: World) -> None:
    worker = world.worker()
    first = world.submit()
    second = world.submit(after=(first,))
    third = world.submit(after=(second,))
    other = world.submit(held=True)
    worker.fail(worker.started())
    assert [job.state for job in (first, second, third, other)] == ["failed", "blocked", "blocked", "held"]
    words = f"{first.id} didn't succeed (retry it to unblock); {second.id} is blocked by that, too"
    assert world.why(third) == words, "the one in between can't be retried"


def test_retrying_the_failed_one_unblocks(world: World) -> None:
    worker = world.worker()
    first = world.submit(max_retries_failure=0)
    second = world.submit(after=(first,))
    attempt = worker.started()
    worker.report(attempt, attempt.state.FAILED, exit_code=1, log_sizes={"stdout": 1})  # so that it stays in memory
    assert state(second) == "blocked"
    world.act("retry", first)
    assert (state(first), state(second)) == ("assigned", "pending")
    worker.report(worker.started(), attempt.state.SUCCEEDED, exit_code=0)
    worker.take(link.Forget)
    worker.succeed(worker.started())
    assert state(second) == "succeeded"
    worker.rest(attempt)


def test_a_job_after_one_that_has_failed_is_blocked_from_the_start(world: World) -> None:
    worker = world.worker()
    first = world.submit()
    worker.fail(worker.started())
    assert first.id not in world.fleet.jobs
    assert world.submit(after=(first,)).state is TaskState.BLOCKED


def test_a_job_after_one_that_has_succeeded_runs_at_once(world: World) -> None:
    worker = world.worker()
    first = world.submit()
    worker.succeed(worker.started())
    world.submit(after=(first,))
    worker.succeed(worker.started())


def test_a_held_job_stays_held_through_blocking_and_unblocking(world: World) -> None:
    worker = world.worker()
    first = world.submit()
    second = world.submit(after=(first,), held=True)
    attempt = worker.started()
    worker.report(attempt, attempt.state.FAILED, exit_code=1, log_sizes={"stdout": 1})
    assert state(second) == "blocked"
    world.act("retry", first)
    assert state(second) == "held"
    worker.report(worker.started(), attempt.state.SUCCEEDED, exit_code=0)
    worker.take(link.Forget)
    assert state(second) == "held"
    world.act("release", second)
    worker.succeed(worker.started())
    worker.rest(attempt)


def test_a_job_released_while_it_is_blocked_stays_blocked(world: World) -> None:
    worker = world.worker()
    first = world.submit()
    second = world.submit(after=(first,), held=True)
    world.act("release", second)
    worker.fail(worker.started())
    assert state(second) == "blocked"


def test_a_cancelled_dependent_that_is_retried_waits_again(world: World) -> None:
    worker = world.worker()
    first = world.submit()
    second = world.submit(after=(first,), num_tasks=2)
    attempt = worker.started()
    worker.report(attempt, attempt.state.FAILED, exit_code=1, log_sizes={"stdout": 1})
    world.act("cancel", second, 0)
    assert task_of(second, 0).state is TaskState.KILLED
    world.act("retry", second, 0)
    assert second.counts == {TaskState.BLOCKED: 2}
    world.act("retry", first)
    assert second.counts == {TaskState.PENDING: 2}
    worker.succeed(worker.started())
    worker.succeed(worker.started())
    worker.succeed(worker.started())
    worker.rest(attempt)
    assert state(second) == "succeeded"


def test_a_chain_of_thousands_of_jobs_is_blocked_and_unblocked(world: World) -> None:
    worker = world.worker()
    ids = [world.new_id() for _ in range(3_000)]
    batch = [
        Submission(job, JobSpec(command=("a",), after=(ids[place - 1],) if place else ()))
        for place, job in enumerate(ids)
    ]
    jobs = world.reactor.on_submit(batch, {}, "ana", world.now_ms)
    world.turn()
    attempt = worker.started()
    worker.report(attempt, attempt.state.FAILED, exit_code=1, log_sizes={"stdout": 1})
    assert {job.state for job in jobs[1:]} == {TaskState.BLOCKED}
    world.act("retry", jobs[0])
    assert {job.state for job in jobs[1:]} == {TaskState.PENDING}
    worker.started()
    world.reactor = Reactor(type(world.fleet)(world.random.getrandbits))  # 3,000 jobs are not worth checking one by one
    world.workers.clear()


@pytest.mark.parametrize(
    ("after", "circle"),
    [
        ({"a": ["a"]}, "a → a"),
        ({"a": ["b"], "b": ["a"]}, "a → b → a"),
        ({"x": ["a"], "a": ["b"], "b": ["c"], "c": ["a"]}, "a → b → c → a"),
        ({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": ["a"]}, "a → c → d → a"),
    ],
)
def test_a_circle_is_refused_and_shown(after: dict[str, list[str]], circle: str) -> None:
    with pytest.raises(InvalidRequest, match=f"these jobs wait for each other: {circle}$"):
        check_cycle({JobId(job): [JobId(one) for one in others] for job, others in after.items()})


def test_a_diamond_is_no_circle() -> None:
    after = {"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": [], "e": ["a", "d", "elsewhere"]}
    check_cycle({JobId(job): [JobId(one) for one in others] for job, others in after.items()})


def test_a_long_chain_is_checked_without_recursion() -> None:
    check_cycle({JobId(str(place)): [JobId(str(place + 1))] for place in range(10_000)})


def test_a_chain_names_the_job_at_its_root_that_can_be_retried(world: World) -> None:
    """Hard use 29."""
    worker = world.worker()
    first = world.submit()
    second = world.submit(after=(first,))
    third = world.submit(after=(second,))
    worker.fail(worker.started())
    assert world.why(second) == f"{first.id} didn't succeed (retry it to unblock)"
    expected = f"{first.id} didn't succeed (retry it to unblock); {second.id} is blocked by that, too"
    assert (world.why(third), world.rows[third.id].reason) == (expected, expected)


def test_a_job_after_a_failure_starts_only_then(world: World) -> None:
    worker = world.worker()
    first = world.submit()
    second = world.submit(after_failure=(first,))
    assert world.why(second) == f"waits for true ({first.id}, assigned)"
    worker.fail(worker.started())
    worker.succeed(worker.started())
    assert (state(first), state(second)) == ("failed", "succeeded")


def test_a_job_after_a_failure_is_blocked_by_a_success_and_blocks_those_after_it(world: World) -> None:
    worker = world.worker()
    first = world.submit()
    second = world.submit(after_failure=(first,))
    third = world.submit(after=(second,))
    worker.succeed(worker.started())
    assert (state(second), state(third)) == ("blocked", "blocked")
    words = f"{first.id} succeeded, and a job after its failure never starts then"
    assert world.why(second) == words
    assert world.why(third) == f"{words}; {second.id} is blocked by that, too"


@pytest.mark.parametrize("is_well", [True, False])
def test_a_job_after_any_end_starts_however_the_other_ended(world: World, is_well: bool) -> None:
    worker = world.worker()
    first = world.submit()
    second = world.submit(after_any=(first,))
    (worker.succeed if is_well else worker.fail)(worker.started())
    worker.succeed(worker.started())
    assert state(second) == "succeeded"


@pytest.mark.parametrize("kind", ["after", "after_failure", "after_any"])
@pytest.mark.parametrize("each", ["", ":*"])
def test_a_job_after_a_blocked_one_is_blocked_by_the_same_whatever_end_it_waits_for(
    world: World, kind: str, each: str
) -> None:
    worker = world.worker(slots=2)
    first = world.submit(num_tasks=2)
    second = world.submit(num_tasks=2, after=(f"{first.id}{each}",))
    waits: dict[str, Any] = {kind: (f"{second.id}{each}",)}
    third = world.submit(num_tasks=2, held=True, **waits)
    one, two = worker.started(), worker.started()
    for attempt in (one, two):  # with lines that are still to come, so that the job stays in memory
        worker.report(attempt, attempt.state.FAILED, exit_code=1, log_sizes={"stdout": 1})
    root = f"{first.id}/task-0, {first.id}/task-1 didn't" if each else f"{first.id} didn't"
    assert [state(job) for job in (first, second, third)] == ["failed", "blocked", "blocked"]
    assert task_of(third, 1).reason.startswith(f"{first.id}/task-1 didn't" if each else root)
    assert "is blocked by that, too" in task_of(third, 1).reason

    world.act("retry", first)
    again = worker.started(), worker.started()
    assert [state(job) for job in (second, third)] == ["pending", "held"]
    unblocked = [row.text for row in world.events if row.kind == "unblocked" and row.subject == third.id]
    assert unblocked == ["can start again once what it waits for has ended as asked"]
    world.act("cancel", second)
    assert state(third) == {"after": "blocked"}.get(kind, "held")
    for attempt in (one, two):
        worker.rest(attempt)
    for attempt in again:
        worker.succeed(attempt)


@pytest.mark.parametrize("kind", ["after_failure", "after_any"])
def test_a_retry_of_the_other_job_is_waited_for_again(world: World, kind: str) -> None:
    worker = world.worker()
    first = world.submit()
    waits: dict[str, Any] = {kind: (first,)}
    second = world.submit(held=True, **waits)
    attempt = worker.started()
    worker.report(attempt, attempt.state.FAILED, exit_code=1, log_sizes={"stdout": 1})  # so that it stays in memory
    world.act("retry", first)
    assert second.waiting_on == {first.id}
    worker.succeed(worker.started())
    worker.rest(attempt)


def test_one_job_is_not_named_in_two_kinds(world: World) -> None:
    first = world.submit()
    with pytest.raises(InvalidRequest, match="--after and --after-any both name"):
        world.submit(after=(first,), after_any=(first,))


def test_a_circle_of_several_kinds_is_refused(world: World) -> None:
    a, b = world.new_id(), world.new_id()
    batch = [
        Submission(a, JobSpec(command=("a",), after_any=(b,))),
        Submission(b, JobSpec(command=("a",), after_failure=(a,))),
    ]
    with pytest.raises(InvalidRequest, match="wait for each other"):
        world.reactor.on_submit(batch, {}, "ana", world.now_ms)


def test_a_job_after_one_task_starts_when_that_has_succeeded(world: World) -> None:
    worker = world.worker(slots=3)
    first = world.submit(num_tasks=3)
    second = world.submit(after=(f"{first.id}/1",))
    zero, one, two = worker.started(), worker.started(), worker.started()
    worker.succeed(zero)
    assert world.why(second) == f"waits for {first.id}/task-1"
    worker.succeed(one)
    worker.succeed(worker.started())
    assert (state(second), first.counts[TaskState.SUCCEEDED]) == ("succeeded", 2)
    worker.succeed(two)


def test_task_by_task_each_starts_when_its_own_has_succeeded(world: World) -> None:
    worker = world.worker(slots=2)
    first = world.submit(num_tasks=2)
    second = world.submit(num_tasks=2, after=(f"{first.id}:*",))
    third = world.submit(num_tasks=2, after=(f"{second.id}:*",))
    assert world.why(second) == f"waits for {first.id}/task-0"
    zero, one = worker.started(), worker.started()
    worker.succeed(zero)
    for _ in range(2):
        worker.succeed(worker.started())
    assert [job.tasks[0].state for job in (first, second, third)] == ["succeeded"] * 3
    assert world.why(third) == f"waits for {second.id}/task-1"
    worker.fail(one)
    assert (state(first), state(second), state(third)) == ("failed", "blocked", "blocked")
    root = f"{first.id}/task-1 didn't succeed (retry it to unblock)"
    assert task_of(second, 1).reason == root
    assert task_of(third, 1).reason == f"{root}; {second.id}/task-1 is blocked by that, too"
    assert world.why(third) == task_of(third, 1).reason


def test_a_task_that_is_retried_is_waited_for_task_by_task(world: World) -> None:
    worker = world.worker(slots=2)
    first = world.submit(num_tasks=2)
    second = world.submit(num_tasks=2, priority=1, after=(f"{first.id}:*",))
    one, two = worker.started(), worker.started()
    worker.fail(two)
    assert second.counts == {TaskState.PENDING: 1, TaskState.BLOCKED: 1}
    world.act("retry", first, 1)
    assert second.counts == {TaskState.PENDING: 2}
    again = worker.started()
    worker.succeed(one)
    worker.succeed(worker.started())
    worker.succeed(again)
    worker.succeed(worker.started())
    assert state(second) == "succeeded"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"after": ("{0}/7",)}, r"--after \S+/task-7: that job has 2 tasks, from task-0 to task-1"),
        (
            {"after_any": ("{0}:*",), "num_tasks": 3},
            r"--after-any \S+:\*: that job has 2 tasks and this one 3: task by task",
        ),
        ({"after": ("{0}:*",), "num_tasks": 2, "gang": True}, "tasks of a gang start all at once"),
        ({"after": ("{0}:3",)}, "write JOB, JOB/3 for its task 3"),
        ({"takes": ("{0}",)}, "nothing is collected of that job"),
    ],
)
@pytest.mark.parametrize("is_over", [False, True])
def test_what_nobody_can_wait_for_is_refused(world: World, fields: dict[str, Any], message: str, is_over: bool) -> None:
    first = world.submit(num_tasks=2)
    if is_over and "takes" not in fields:
        world.act("cancel", first)
        assert first.id not in world.fleet.jobs
    wanted: dict[str, Any] = {
        key: tuple(one.format(first.id) for one in value) if isinstance(value, tuple) else value
        for key, value in fields.items()
    }
    with pytest.raises(InvalidRequest, match=message):
        world.submit(**wanted)


def test_many_that_failed_are_counted_and_some_named(world: World) -> None:
    others = [world.submit() for _ in range(8)]
    last = world.submit(after=tuple(others))
    for one in others:
        world.act("cancel", one)
    named = ", ".join(one.id for one in others[:5])
    assert world.why(last) == f"{named} and 3 more didn't succeed (retry them to unblock)"
