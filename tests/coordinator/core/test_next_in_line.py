"""Who is next in line gets its room: no stream of smaller tasks keeps a larger one from starting (hard use 13)."""

from random import Random
from unittest import mock

import pytest

from opsconsole_coordinator.core import schedule, view
from opsconsole_coordinator.core.model import Attempt, Job
from opsconsole_coordinator.core.offer import collect_offers
from opsconsole_protocol.spec import Resources
from opsconsole_protocol.state import AttemptState
from tests.coordinator.core.world import FakeWorker, World, gpus, state


def end(worker: FakeWorker, attempt: Attempt) -> None:
    """A task that took a minute ends, so that none is assigned ahead."""
    finished_at_ms = worker.world.now_ms + 60_000
    worker.report(attempt, AttemptState.SUCCEEDED, exit_code=0, finished_at_ms=finished_at_ms)
    worker.forget(attempt)


def test_two_cpus_behind_a_stream_of_single_ones(world: World) -> None:
    worker = world.worker(slots=2, properties={"cpus": 2})
    stream = world.submit(num_tasks=50, resources=Resources(cpus=1))
    one, two = worker.started(), worker.started()
    urgent = world.submit(priority=100, resources=Resources(cpus=2))
    assert world.why(urgent) == "w1 is full: 2 of 2 slots taken by true (000000000a, 2 tasks)"
    assert world.rows[urgent.id].reason.endswith("; w1 keeps room for it")
    end(worker, one)
    assert stream.reason == f"w1 is kept for job {urgent.id}, which is next in line"
    assert view.worker_row(world.fleet, worker.record, world.now_ms).status == "reserved"
    end(worker, two)
    attempt = worker.started()
    assert attempt.job_id == urgent.id
    end(worker, attempt)
    worker.started(), worker.started()


def test_what_the_next_in_line_cannot_use_is_for_others(world: World) -> None:
    worker = world.worker(slots=8, properties={"cpus": 8})
    long = world.submit(resources=Resources(cpus=6))
    worker.started()
    head = world.submit(priority=1, resources=Resources(cpus=4))
    assert state(head) == "pending"
    small = [world.submit(resources=Resources(cpus=1)) for _ in range(3)]
    assert [state(job) for job in small] == ["assigned", "assigned", "pending"], "8 - 4 are left once the long one ends"
    assert state(long) == "running"
    worker.started(), worker.started()


def test_gpus_are_kept_and_those_beyond_are_not(world: World) -> None:
    worker = world.worker(slots=4, gpus=gpus(4))
    first, second = world.submit(gpus=1), world.submit(gpus=2)
    one, pair = worker.started(), worker.started()
    head = world.submit(gpus=4, priority=1)
    assert state(head) == "pending"
    small = world.submit(gpus=1)
    assert state(small) == "pending"
    assert "GPU 3 is kept for job" in world.why(small)
    assert state(world.submit()) == "assigned", "a slot without a GPU is in nobody's way"
    plain = worker.started()
    end(worker, one)
    end(worker, pair)
    assert worker.started().job_id == head.id
    end(worker, plain)
    assert (first.is_finished, second.is_finished) == (True, True)


def test_the_place_is_kept_where_it_was_and_moves_when_its_worker_goes(world: World) -> None:
    one, two = (world.worker(name, slots=2, properties={"cpus": 2}) for name in ("w1", "w2"))
    world.submit(num_tasks=4, resources=Resources(cpus=1))
    running = {worker.name: [worker.started(), worker.started()] for worker in (one, two)}
    head = world.submit(priority=1, resources=Resources(cpus=2))
    assert one.record.reserved is not None
    assert one.record.reserved.job_id == head.id
    end(two, running["w2"][0])
    assert one.record.reserved is not None, "it stays where it was, though the other is emptier now"
    one.record.maintenance = True
    world.pass_ms(500)
    assert [worker.record.reserved and worker.record.reserved.job_id for worker in (one, two)] == [None, head.id]
    end(two, running["w2"][1])
    two.started()
    assert head.worker_names == {"w2"}


def test_who_needs_no_more_than_a_slot_has_nothing_kept(world: World) -> None:
    worker = world.worker(slots=1, properties={"cpus": 2})
    world.submit()
    worker.started()
    world.submit()
    assert world.fleet.reserved == {}


def stream(seed: int) -> tuple[bool, Job]:
    """A random fleet full of small tasks, a larger one, and more small ones whenever anything ends.

    Returns whether the larger one had started when all had ended that ran when it came.
    """
    random = Random(seed)  # noqa: S311 - chance that repeats itself
    world = World(seed)
    workers = [
        world.worker(f"w{number}", slots=random.randint(1, 6), gpus=gpus(random.randint(0, 4)),
                     properties={"cpus": random.randint(2, 8), "memory_mb": 1_000})
        for number in range(random.randint(1, 3))
    ]  # fmt: skip

    def small() -> None:
        wanted = Resources(
            gpus=random.choice((0, 0, 1)), cpus=random.choice((0, 1, 2)), memory_mb=random.choice((0, 300))
        )
        world.submit(resources=wanted)

    def take() -> None:
        for worker in workers:
            while worker.inbox:
                worker.started()

    for _ in range(20):
        small()
        take()
    biggest = random.choice(workers).record
    head = world.submit(
        priority=1,
        resources=Resources(
            gpus=len(biggest.gpus), cpus=random.randint(1, int(biggest.properties["cpus"])),
            memory_mb=random.choice((0, 900)),
        ),
    )  # fmt: skip
    take()
    before = [(worker, attempt) for worker in workers for attempt in worker.record.live.values()]
    random.shuffle(before)
    for worker, attempt in before:
        if attempt.job_id != head.id:
            end(worker, attempt)
        small()
        small()
        take()
    world.check()
    return state(head) != "pending", head


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_it_waits_for_nobody_who_started_after_it_was_next(first: int) -> None:
    for seed in range(first, first + 20):
        has_started, head = stream(seed)
        assert has_started, f"seed {seed}: {head.reason}"


def test_without_a_kept_place_it_would_starve() -> None:
    with mock.patch.object(schedule, "reserve_room", return_value=None):
        assert not all(stream(seed)[0] for seed in range(20))


@pytest.mark.parametrize("judged", [0, schedule.JUDGED_A_TICK])
def test_what_was_kept_for_one_that_starts_elsewhere_is_kept_for_the_next(world: World, judged: int) -> None:
    one, two = (world.worker(name, slots=2, properties={"cpus": 2}) for name in ("w1", "w2"))
    world.submit(num_tasks=4, resources=Resources(cpus=1))
    running = [two.started(), two.started()]
    one.started(), one.started()
    heads = [world.submit(priority=1, resources=Resources(cpus=2)) for _ in range(3)]
    assert one.record.reserved is not None
    assert one.record.reserved.job_id == heads[0].id
    end(two, running[0])
    with mock.patch.object(schedule, "JUDGED_A_TICK", judged), mock.patch.object(
        schedule, "collect_offers", side_effect=collect_offers
    ) as looked:  # fmt: skip
        end(two, running[1])
    assert two.started().job_id == heads[0].id
    assert one.record.reserved is not None
    assert one.record.reserved.job_id == heads[1].id, "it is kept for the next, who needs as much"
    if not judged:
        assert not looked.called, "nobody had to be looked at for that"
    world.check()
