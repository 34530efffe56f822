"""Which of the workers that accept a task is taken, and in what words that is said."""

import pytest

from opsconsole_coordinator.core import view
from opsconsole_protocol.error import InvalidRequest
from opsconsole_protocol.gpu_load import GPU_SHARING
from opsconsole_protocol.spec import JobSpec, Place, Resources
from tests.coordinator.core.world import FakeWorker, World, gpus


def told(world: World) -> str:
    """Why the last task went where it went."""
    return [one.text for one in world.events if one.kind == "assigned"][-1].partition(": ")[2]


def where(*workers: FakeWorker) -> str:
    """Who was given the last task; it runs from then on."""
    (worker,) = [one for one in workers if one.inbox]
    worker.started()
    return worker.name


def three(world: World, slots: int = 4) -> tuple[FakeWorker, FakeWorker, FakeWorker]:
    """Workers with 1, 2 and 4 GPUs."""
    first, second, third = (
        world.worker(name, slots=slots, gpus=gpus(count), properties={GPU_SHARING: True})
        for name, count in (("a", 1), ("b", 2), ("c", 4))
    )
    return first, second, third


def test_packed_tasks_go_where_fewest_gpus_that_suffice_are_free(world: World) -> None:
    workers = three(world)
    found = []
    for _ in range(4):
        world.submit(gpus=1, place=Place.PACK)
        found.append(where(*workers))
    assert found == ["a", "b", "b", "c"]
    assert told(world) == "the only one that accepts"
    world.submit(gpus=2, place=Place.PACK)
    assert where(*workers) == "c"


def test_packed_tasks_say_why(world: World) -> None:
    workers = three(world)
    world.submit(gpus=1, place=Place.PACK)
    assert (where(*workers), told(world)) == ("a", "the fewest free GPUs that suffice")
    world.submit(place=Place.PACK)
    assert (where(*workers), told(world)) == ("a", "the fewest free slots that suffice")


def test_packed_shares_join_those_that_are_there(world: World) -> None:
    workers = three(world)
    wanted = Resources(gpus=1, gpu_memory_mb=8_000, share=True)
    found = []
    for _ in range(4):
        world.submit(resources=wanted, place=Place.PACK)
        found.append(where(*workers))
    assert found == ["a", "a", "a", "b"]


def test_spread_tasks_of_a_job_go_to_different_workers_while_there_are_some(world: World) -> None:
    workers = three(world)
    world.submit(gpus=1)
    where(*workers)
    job = world.submit(gpus=1, num_tasks=4, place=Place.SPREAD)
    found = [one.worker_name for one in world.fleet.live_attempts(job)]
    assert {name: found.count(name) for name in found} == {"b": 2, "c": 2}, "a has no GPU left"
    for worker in workers:
        while worker.inbox:
            worker.started()
    other = world.submit(num_tasks=3, place=Place.SPREAD)
    assert sorted(one.worker_name for one in world.fleet.live_attempts(other)) == ["a", "b", "c"]
    for worker in workers:
        while worker.inbox:
            worker.started()


def test_spread_tasks_say_why(world: World) -> None:
    workers = three(world)
    world.submit(num_tasks=1, place=Place.SPREAD)
    assert (where(*workers), told(world)) == ("a", "the fewest GPUs")
    world.submit(num_tasks=1, place=Place.SPREAD)
    assert (where(*workers), told(world)) == ("b", "the fewest GPUs")
    world.submit(num_tasks=1, place=Place.SPREAD)
    assert (where(*workers), told(world)) == ("c", "the least full")
    job = world.submit(num_tasks=3, place=Place.SPREAD)
    assert told(world) == "the fewest tasks of the job"
    assert len({one.worker_id for one in world.fleet.live_attempts(job)}) == 3
    for worker in workers:
        while worker.inbox:
            worker.started()


def test_each_spread_job_counts_its_own_tasks(world: World) -> None:
    """Jobs that ask the same are looked at together, and yet each has its tasks on different workers."""
    workers = three(world)
    jobs = [world.submit(num_tasks=3, place=Place.SPREAD, turn=False) for _ in range(2)]
    world.turn()
    for job in jobs:
        assert sorted(one.worker_name for one in world.fleet.live_attempts(job)) == ["a", "b", "c"]
    for worker in workers:
        worker.started()
        worker.started()


def test_without_a_place_the_least_full_is_taken_and_said(world: World) -> None:
    workers = three(world)
    for name, words in (("a", "the fewest GPUs"), ("b", "the fewest GPUs"), ("c", "the least full")):
        world.submit()
        assert (where(*workers), told(world)) == (name, words)


def test_a_job_takes_the_place_of_its_project_and_keeps_it(world: World) -> None:
    words = world.reactor.on_set_project("default", None, None, "ana", world.now_ms, place="pack")
    assert words == "project default is active, its new jobs: --place pack"
    job = world.submit(turn=False)
    mine = world.submit(turn=False, place=Place.SPREAD)
    world.reactor.on_set_project("default", None, None, "ana", world.now_ms, place="")
    assert (job.spec.place, mine.spec.place) == (Place.PACK, Place.SPREAD)
    again = world.submit(id=job.id, turn=False)
    assert again is job, "the same submission, sent twice"
    assert world.submit(turn=False).spec.place is None
    with pytest.raises(InvalidRequest, match="'round' is no way to place tasks: use one of pack, spread, or none"):
        world.reactor.on_set_project("default", None, None, "ana", world.now_ms, place="round")


def test_what_a_job_would_do_is_shown_by_the_place_of_its_project(world: World) -> None:
    workers = three(world)
    world.submit()
    where(*workers)
    spec = JobSpec(command=("a",), resources=Resources(gpus=1))
    assert view.candidates(world.fleet, spec, world.now_ms).text == "b: the best of 3 (the fewest GPUs)"
    world.reactor.on_set_project("default", None, None, "ana", world.now_ms, place="pack")
    world.turn()
    found = view.candidates(world.fleet, spec, world.now_ms)
    assert found.text == "a: the best of 3 (the fewest free GPUs that suffice)"


@pytest.mark.parametrize("place", [None, Place.PACK, Place.SPREAD])
def test_of_two_that_are_as_good_the_projects_own_worker_is_taken(world: World, place: Place | None) -> None:
    shared = world.worker("a", slots=2)
    own = world.worker("b", slots=2, gpus=gpus(1), properties={"project": "vision"})
    world.submit(project="vision", place=place)
    assert (where(shared, own), told(world)) == ("b", "takes jobs of its project only")
    world.submit(place=place)
    assert where(shared, own) == "a"
