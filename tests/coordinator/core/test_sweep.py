"""A sweep as one object: verbs and priorities for some of its tasks, and tasks that are added to it."""

from typing import Any

import pytest

from opsconsole_coordinator.core.model import Job
from opsconsole_protocol.api import Parameter, TemplateRow
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound
from opsconsole_protocol.spec import NUM_TASKS_MAX
from opsconsole_protocol.state import AttemptState, TaskState
from opsconsole_protocol.task_selection import read_selection
from tests.coordinator.core.world import World

COMMAND = ("train", "--lr={lr}")


def sweep(world: World, *values: str, **fields: Any) -> Job:
    return world.submit(
        command=COMMAND, num_tasks=len(values), parameters=tuple({"lr": value} for value in values),
        task_commands=tuple(("train", f"--lr={value}") for value in values), **fields,
    )  # fmt: skip


def act(world: World, verb: str, job: Job, tasks: str) -> str:
    words = world.reactor.on_act(verb, job.id, read_selection(tasks), "ana", "", world.now_ms)
    world.turn()
    return words


def prioritise(world: World, job: Job, tasks: str, priority: int, *, relative: bool = False) -> str:
    selection = read_selection(tasks) if tasks else None
    words = world.reactor.on_set_priority(job.id, selection, priority, "ana", world.now_ms, relative=relative)
    world.turn()
    return words


def add(world: World, job: Job, *values: str, name: str = "lr") -> str:
    words = world.reactor.on_add_tasks(job.id, [{name: value} for value in values], "ana", world.now_ms)
    world.turn()
    return words


def states(job: Job) -> list[TaskState]:
    return [task.state for task in job.tasks]


# --- some of the tasks ---------------------------------------------------------------------------------------------


def test_a_verb_is_done_to_those_tasks_that_are_meant(world: World) -> None:
    job = sweep(world, "1", "0.1", "0.01", "0.001")
    assert act(world, "hold", job, "lr<0.1") == "held by ana (tasks 2-3)"
    assert states(job) == ["pending", "pending", "held", "held"]
    assert act(world, "cancel", job, "0,2") == "cancelled by ana (tasks 0, 2)"
    assert states(job) == ["killed", "pending", "killed", "held"]
    assert act(world, "release", job, "held") == "released by ana"
    assert [(one.kind, one.subject) for one in world.events[-3:]] == [
        ("hold", job.id), ("cancel", job.id), ("release", job.task_id(3)),
    ]  # fmt: skip


def test_only_what_failed_gets_new_attempts(world: World) -> None:
    worker = world.worker("w1", slots=3)
    job = sweep(world, "1", "2", "3")
    world.turn()
    first, second, third = [worker.started() for _ in range(3)]
    worker.fail(first)
    worker.succeed(second)
    act(world, "cancel", job, "2")
    worker.stop(third)
    worker.killed(third)
    assert states(job) == ["failed", "succeeded", "killed"]
    world.reactor.on_job_loaded(job, (), {})
    assert act(world, "retry", job, "failed") == "retried by ana"
    assert worker.assigned().index == 0
    assert states(job)[1:] == ["succeeded", "killed"]
    assert [task.attempts for task in job.tasks] == [2, 1, 1]


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ("failed", r"no task of job .* is meant"),
        ("7", "the job has 3 tasks, from task-0 to task-2"),
        ("lr=9", "no task"),
    ],
)
def test_what_means_no_task_changes_nothing(world: World, tasks: str, message: str) -> None:
    job = sweep(world, "1", "2", "3")
    with pytest.raises(NotFound, match=message):
        act(world, "cancel", job, tasks)
    assert job.counts == {"pending": 3}


def test_what_is_done_to_some_tasks_of_a_gang_is_done_to_all(world: World) -> None:
    job = sweep(world, "1", "2", gang=True)
    assert act(world, "hold", job, "1") == "held by ana (all tasks of its gang)"
    assert prioritise(world, job, "1", 4) == "priority set to 4 by ana (all tasks of its gang)"
    assert (job.priority, job.counts) == (4, {"held": 2})


# --- priority ------------------------------------------------------------------------------------------------------


def test_a_task_s_own_priority_puts_it_before_others_and_nothing_else(world: World) -> None:
    job, other = sweep(world, "1", "2", "3"), world.submit(priority=3)
    assert prioritise(world, job, "2", 5) == "priority of task-2 set to 5 by ana"
    assert prioritise(world, job, "1", -1, relative=True) == "priority of task-1 set to -1 by ana"
    last = world.submit(priority=0)
    worker = world.worker("w1")
    started = []
    for _ in range(5):
        [attempt] = worker.record.live.values()
        started.append((attempt.job_id, attempt.index))
        worker.report(attempt, AttemptState.SUCCEEDED, exit_code=0)
        worker.take_all()
    assert started == [(job.id, 2), (other.id, 0), (job.id, 0), (last.id, 0), (job.id, 1)]


def test_the_job_s_priority_counts_for_all_its_tasks(world: World) -> None:
    job = sweep(world, "1", "2", "3")
    prioritise(world, job, "1,2", 5)
    prioritise(world, job, "", 2, relative=True)
    assert (job.priority, [task.priority for task in job.tasks]) == (2, [None, 7, 7])
    prioritise(world, job, "2", 2)
    assert [task.priority for task in job.tasks] == [None, 7, None], "it is its job's again"
    prioritise(world, job, "", 9)
    assert (job.priority, [task.priority for task in job.tasks]) == (9, [None] * 3)


def test_a_priority_that_cant_be_is_refused_and_nothing_changes(world: World) -> None:
    job = sweep(world, "1", "2")
    prioritise(world, job, "0", 1_000_000)
    with pytest.raises(InvalidRequest, match="lies between"):
        prioritise(world, job, "", 1, relative=True)
    assert (job.priority, job.tasks[0].priority) == (0, 1_000_000)
    act(world, "cancel", job, "1")
    with pytest.raises(Conflict, match=r"task-1 of job .* has ended"):
        prioritise(world, job, "1", 1)


def test_tasks_of_one_priority_are_one_group_however_they_got_it(world: World) -> None:
    jobs = [sweep(world, "1", "2") for _ in range(10)]
    world.turn()
    assert world.fleet.order.count_groups() == 1
    for job in jobs:
        prioritise(world, job, "1", 5)
    assert world.fleet.order.count_groups() == 1
    prioritise(world, jobs[0], "", 0)
    assert world.fleet.order.count_groups() == 2


# --- more tasks ----------------------------------------------------------------------------------------------------


def test_points_that_are_new_become_tasks_and_the_others_are_told(world: World) -> None:
    job = sweep(world, "1", "2")
    assert add(world, job, "2", "3", "4", "3") == "tasks 2-3 added by ana; 2 were there already"
    assert job.spec.num_tasks == len(job.tasks) == 4
    assert job.spec.task_commands[2:] == (("train", "--lr=3"), ("train", "--lr=4"))
    assert job.counts == {"pending": 4}
    before = job.spec
    assert add(world, job, "3", "4") == "nothing to add: 2 points are there already"
    assert job.spec is before


def test_a_sweep_that_has_ended_goes_on_with_its_new_tasks(world: World) -> None:
    worker = world.worker("w1")
    job = sweep(world, "1")
    worker.succeed(worker.started())
    assert job.id not in world.fleet.jobs
    world.reactor.on_job_loaded(job, (), {})
    add(world, job, "2")
    attempt = worker.started()
    assert (attempt.index, job.is_finished, job.finished_at_ms) == (1, False, None)
    worker.succeed(attempt)
    assert job.counts == {"succeeded": 2}


@pytest.mark.parametrize(("state", "verb"), [("held", "hold"), ("paused", "pause")])
def test_tasks_added_to_what_waits_for_an_operator_wait_too(world: World, state: str, verb: str) -> None:
    worker = world.worker("w1") if state == "paused" else None
    job = sweep(world, "1")
    world.turn()
    attempt = worker.started() if worker is not None else None
    world.act(verb, job)
    if worker is not None and attempt is not None:
        worker.report(attempt, AttemptState.PAUSED, started_at_ms=1)
    assert job.state == state
    add(world, job, "2")
    assert job.tasks[1].state == "held"
    world.act("resume", job)
    assert job.tasks[1].state == "pending"
    if worker is not None:
        worker.take_all()


def test_a_template_fills_in_what_is_added(world: World) -> None:
    template = TemplateRow(
        name="fit",
        command=("fit", "{lr}", "{n}"),
        parameters=(Parameter(name="lr", kind="float"), Parameter(name="n", default=1)),
    )
    world.reactor.on_set_template(template, "ana", world.now_ms)
    job = world.submit(template="fit", command=template.command, num_tasks=2, parameters=({"lr": "1"}, {"lr": "2"}))
    assert add(world, job, "1.0", "3") == "task-2 added by ana; 1 were there already"
    assert job.spec.task_commands[-1] == ("fit", "3.0", "1")
    with pytest.raises(InvalidRequest, match="lr is a number, not 'x'"):
        add(world, job, "x")
    world.reactor.on_set_template(
        TemplateRow(name="fit", command=("fit2", "{lr}"), parameters=template.parameters), "ana", world.now_ms
    )
    assert add(world, job, "9") == "task-3 added by ana"
    assert job.spec.task_commands[-1] == ("fit", "9.0", "1")  # as in the version that the job was made from


def test_repeats_need_no_place_in_the_command(world: World) -> None:
    job = world.submit(num_tasks=2, parameters=({"repeat": "0"}, {"repeat": "1"}))
    assert add(world, job, "2", name="repeat") == "task-2 added by ana"
    assert (job.spec.task_commands, job.spec.num_tasks) == ((), 3)


def test_what_takes_no_tasks_says_why(world: World) -> None:
    with pytest.raises(Conflict, match="is no sweep"):
        add(world, world.submit(), "1")
    with pytest.raises(Conflict, match="is a gang"):
        add(world, sweep(world, "1", "2", gang=True), "3")
    job = sweep(world, "1")
    with pytest.raises(InvalidRequest, match="sweeps lr: it has no wd"):
        add(world, job, "1", name="wd")
    old = world.submit(command=("train", "--lr=1"), parameters=({"lr": "1"},), task_commands=(("train", "--lr=1"),))
    with pytest.raises(Conflict, match="nobody knows any more where the values"):
        add(world, old, "2")
    with pytest.raises(InvalidRequest, match="would have 100,001 tasks, the limit is 100,000"):
        add(world, job, *map(str, range(2, NUM_TASKS_MAX + 2)))
    assert job.spec.num_tasks == 1


@pytest.mark.parametrize("has_ended", [False, True])
def test_where_tasks_belong_together_one_by_one_neither_job_gets_more(world: World, has_ended: bool) -> None:
    first = sweep(world, "1", "2")
    second = sweep(world, "1", "2", after_any=(f"{first.id}:*",))
    third = sweep(world, "1", "2", after_any=(f"{second.id}:*",))
    if has_ended:
        world.act("cancel", first)
        assert first.is_finished
    with pytest.raises(Conflict, match=f"^job {second.id} waits for job {first.id} task by task"):
        add(world, second, "3")
    with pytest.raises(Conflict, match=f"^job {third.id} waits for job {second.id} task by task"):
        add(world, third, "3")
    if not has_ended:
        with pytest.raises(Conflict, match=f"^job {second.id} waits for job {first.id} task by task"):
            add(world, first, "3")
