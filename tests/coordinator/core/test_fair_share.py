"""Whose turn it is, and how much one may have at a time."""

from collections import Counter

import pytest

from opsconsole_coordinator.core.schedule import schedule
from opsconsole_coordinator.core.usage import Account
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.share import ShareChange
from opsconsole_protocol.spec import Resources
from opsconsole_protocol.state import TaskState
from tests.coordinator.core.world import World, gpus


def running(world: World) -> Counter[str]:
    """How many tasks each person has on workers."""
    return Counter(
        world.fleet.jobs[one.job_id].submitted_by for one in world.fleet.attempts.values() if not one.is_finished
    )


def share(world: World, *, project: str = "", person: str = "", **fields: float) -> None:
    change = ShareChange(**fields)  # type: ignore[arg-type]
    if project:
        world.reactor.on_set_project(project, None, None, "ana", world.now_ms, change)
    else:
        world.reactor.on_set_person(person, change, "ana", world.now_ms)
    world.turn()


def test_two_people_get_as_much_though_one_came_first(world: World) -> None:
    worker = world.worker(slots=4)
    world.submit(num_tasks=50, by="ana", turn=False)
    world.submit(num_tasks=50, by="ben")
    worker.take_all()
    assert running(world) == {"ana": 2, "ben": 2}


def test_a_pass_that_places_nothing_adds_up_each_account_once_however_many_kinds_of_jobs_wait(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = world.worker(slots=2, properties={"cpus": 64})
    for by in ("ana", "ben"):
        world.submit(by=by)
    worker.take_all()
    for cpus in range(1, 21):
        for by in ("ana", "ben"):
            world.submit(by=by, resources=Resources(cpus=cpus), turn=False)
    asked: list[Account] = []

    def standing(account: Account, _: int) -> float:
        asked.append(account)
        return 0.0

    with monkeypatch.context() as patch:
        patch.setattr(Account, "standing", standing)
        schedule(world.fleet, world.now_ms)
    world.turn()
    assert len(asked) == len({id(one) for one in asked}) == 3  # the project, and each person in it


def test_two_projects_get_as_much_though_one_has_more_people(world: World) -> None:
    worker = world.worker(slots=6)
    for person in ("ana", "ben"):
        world.submit(num_tasks=50, by=person, project="many", turn=False)
    world.submit(num_tasks=50, by="cleo", project="one")
    worker.take_all()
    assert running(world) == {"cleo": 3, "ana": 2, "ben": 1}


def test_a_weight_of_three_gets_three_times_as_much(world: World) -> None:
    share(world, person="ana", weight=3)
    worker = world.worker(slots=8)
    world.submit(num_tasks=50, by="ana", turn=False)
    world.submit(num_tasks=50, by="ben")
    worker.take_all()
    assert running(world) == {"ana": 6, "ben": 2}


def test_who_had_much_comes_after_who_had_nothing(world: World) -> None:
    worker = world.worker(slots=1)
    world.submit(by="ana")
    first = worker.started()
    world.pass_ms(600_000)
    world.submit(by="ana", turn=False)
    world.submit(by="ben")
    worker.succeed(first)
    assert world.fleet.jobs[worker.started().job_id].submitted_by == "ben"
    worker.take_all()


def test_priority_goes_before_fairness(world: World) -> None:
    worker = world.worker(slots=2)
    world.submit(num_tasks=5, by="ana", priority=1, turn=False)
    world.submit(num_tasks=5, by="ben")
    worker.take_all()
    assert running(world) == {"ana": 2}


def test_a_project_has_no_more_than_it_may_and_says_so(world: World) -> None:
    share(world, project="vision", gpus=2)
    worker = world.worker(slots=4, gpus=gpus(4))
    job = world.submit(num_tasks=4, project="vision", resources=Resources(gpus=1))
    first, second = worker.started(), worker.started()
    assert job.reason == "project vision has 2 of the 2 GPUs that it may have at a time; this needs 1"
    assert world.why(job).endswith("task-2 waits: " + job.reason)
    other = world.submit(project="other", resources=Resources(gpus=1))
    assert worker.started().job_id == other.id, "nobody else waits for it"
    worker.succeed(first)
    assert worker.started().job_id == job.id
    share(world, project="vision", gpus=-1)
    assert worker.started().job_id == job.id
    worker.succeed(second)
    worker.take_all()


@pytest.mark.parametrize(
    ("limits", "resources", "words"),
    [
        ({"tasks": 1}, Resources(), "ana has 1 of the 1 task that it may have at a time; this needs 1"),
        ({"cpus": 3}, Resources(cpus=2), "ana has 2 of the 3 CPUs that it may have at a time; this needs 2"),
        (
            {"memory_mb": 100},
            Resources(memory_mb=80),
            "ana has 80 of the 100 MB of memory that it may have at a time; this needs 80",
        ),
        ({"gpus": 0}, Resources(gpus=1), "ana may have 0 GPUs at a time; this needs 1"),
    ],
)
def test_a_person_has_no_more_than_it_may(
    world: World, limits: dict[str, int], resources: Resources, words: str
) -> None:
    share(world, person="ana", **limits)  # type: ignore[arg-type]
    worker = world.worker(slots=4, gpus=gpus(4), properties={"cpus": 8, "memory_mb": 1_000})
    job = world.submit(num_tasks=3, by="ana", resources=resources)
    worker.take_all()
    assert job.reason == words
    assert sum(running(world).values()) == (0 if "gpus" in limits else 1)


def test_a_gang_that_may_not_have_all_it_needs_has_nothing(world: World) -> None:
    share(world, person="ana", tasks=3)
    worker = world.worker(slots=8)
    gang = world.submit(num_tasks=4, gang=True, by="ana")
    assert gang.reason == "ana may have 3 tasks at a time; this needs 4"
    share(world, person="ana", tasks=4)
    worker.take_all()
    assert running(world) == {"ana": 4}


def test_at_most_so_many_tasks_of_a_job_run_at_a_time(world: World) -> None:
    worker = world.worker(slots=4)
    job = world.submit(num_tasks=5, max_parallel=2)
    attempts = [worker.started(), worker.started()]
    assert job.reason == "2 tasks run, and no more than 2 of it may at a time (--max-parallel)"
    assert world.why(job).endswith("task-2 waits: " + job.reason)
    other = world.submit()
    worker.succeed(worker.started())
    assert other.state is TaskState.SUCCEEDED
    for _ in range(3):
        worker.succeed(attempts.pop(0))
        attempts.append(worker.started())
    for attempt in attempts:
        worker.succeed(attempt)
    assert job.state is TaskState.SUCCEEDED


def test_a_paused_task_of_such_a_job_holds_its_place(world: World) -> None:
    worker = world.worker(slots=4)
    job = world.submit(num_tasks=2, max_parallel=1)
    first = worker.started()
    world.act("pause", job)
    world.act("release", job)
    worker.take_all()
    assert job.counts[TaskState.PENDING] == 1
    worker.succeed(first)
    worker.started()


@pytest.mark.parametrize(
    "fields", [{"weight": 0.0}, {"weight": -1.0}, {"weight": float("nan")}, {"weight": 1e9}, {"gpus": -2}]
)
def test_what_cannot_be_changes_nothing(world: World, fields: dict[str, float]) -> None:
    with pytest.raises(InvalidRequest):
        world.reactor.on_set_project("vision", "eyes", "paused", "ana", world.now_ms, ShareChange(**fields))  # type: ignore[arg-type]
    assert "vision" not in world.fleet.projects
    with pytest.raises(InvalidRequest):
        world.reactor.on_set_person("ana", ShareChange(**fields), "ana", world.now_ms)  # type: ignore[arg-type]
    assert not world.fleet.people
