"""What is kept free for a gang: from whom, how long, and how it is shown."""

from opsconsole_coordinator.core import view
from opsconsole_coordinator.core.gang_turn import RESERVATION_MS
from opsconsole_coordinator.core.model import Job
from opsconsole_protocol.spec import Resources
from tests.coordinator.core.world import FakeWorker, World, gpus, state


def waiting_gang(world: World) -> tuple[Job, FakeWorker, FakeWorker]:
    """A gang of two that waits for one of its two workers; the other is free."""
    taken, free = world.worker("w1"), world.worker("w2")
    world.submit(worker="w1")
    taken.started()
    return world.submit(num_tasks=2, gang=True), taken, free


def status(world: World, worker: FakeWorker) -> str:
    return view.worker_row(world.fleet, worker.record, world.now_ms).status


def test_free_slots_are_kept_for_a_gang_that_could_fit(world: World) -> None:
    job, taken, free = waiting_gang(world)
    small = world.submit()
    assert state(small) == "pending"
    assert world.why(small) == (f"w2 is reserved for gang {job.id}; w1 is full: 1 of 1 slot taken by true (000000000a)")
    assert (status(world, free), status(world, taken)) == ("reserved", "busy")
    (attempt,) = taken.record.live.values()
    taken.succeed(attempt)
    assert state(job) == "assigned"
    assert world.fleet.reserved == {}
    for worker in (free, taken):
        worker.started()
    assert status(world, free) == "busy"


def test_slots_beyond_those_that_are_kept_are_for_everybody(world: World) -> None:
    taken, free = world.worker("w1", gpus=gpus(1)), world.worker("w2", slots=3, gpus=gpus(1))
    world.submit(worker="w1", gpus=1)
    taken.started()
    gang = world.submit(num_tasks=2, gang=True, gpus=1)
    assert state(gang) == "pending"
    first, second, third = (world.submit() for _ in range(3))
    assert [state(job) for job in (first, second, third)] == ["assigned", "assigned", "pending"]
    free.started()
    free.started()
    assert status(world, free) == "reserved"


def test_gpus_and_capacities_are_kept_too(world: World) -> None:
    taken = world.worker("w1", gpus=gpus(1), properties={"memory_mb": 1000})
    free = world.worker("w2", slots=4, gpus=gpus(2), properties={"memory_mb": 1000})
    world.submit(worker="w1", gpus=1)
    taken.started()
    gang = world.submit(num_tasks=3, gang=True, resources=Resources(gpus=1, memory_mb=400))
    assert state(gang) == "pending"
    assert state(world.submit(gpus=1)) == "pending"
    assert state(world.submit(resources=Resources(memory_mb=300))) == "pending"
    small = world.submit(resources=Resources(memory_mb=200))
    assert state(small) == "assigned", "a slot and 200 MB are left"
    free.started()
    assert status(world, free) == "available", "and one more slot"


def test_nothing_is_assigned_ahead_of_what_is_kept(world: World) -> None:
    waiting_gang(world)
    short = world.submit(num_tasks=5, turn=False)
    short.mean_duration_ms = 1.0
    world.turn()
    assert state(short) == "pending"
    assert "2 workers, each is reserved for gang" in world.why(short)


def test_who_comes_before_the_gang_is_not_kept_from_anything(world: World) -> None:
    job, _, free = waiting_gang(world)
    urgent = world.submit(priority=5)
    assert state(urgent) == "assigned"
    free.started()
    assert state(job) == "pending"


def test_a_reservation_expires_and_the_gang_waits_as_long_for_the_next(world: World) -> None:
    job, _, free = waiting_gang(world)
    small = world.submit()
    world.pass_ms(RESERVATION_MS - 1_000)
    assert (state(small), status(world, free)) == ("pending", "reserved")
    world.pass_ms(2_000)
    assert state(small) == "assigned"
    free.succeed(free.started())
    assert status(world, free) == "available"
    world.pass_ms(RESERVATION_MS - 2_000)
    assert status(world, free) == "available", "it has to wait"
    world.pass_ms(2_000)
    assert status(world, free) == "reserved"
    world.pass_ms(RESERVATION_MS + 1_000)
    assert status(world, free) == "available"
    world.pass_ms(RESERVATION_MS + 2_000)
    assert status(world, free) == "available", "now it waits twice as long"
    assert state(job) == "pending"


def test_gangs_that_wait_in_vain_take_turns_and_leave_time_to_others(world: World) -> None:
    first, _, free = waiting_gang(world)
    second = world.submit(num_tasks=2, gang=True)
    kept_for: list[str] = []
    for _ in range(6):
        reserved = world.fleet.reserved.get(free.id)
        kept_for.append(reserved.job_id if reserved is not None else "")
        world.pass_ms(RESERVATION_MS + 1_000)
    assert kept_for == [first.id, "", first.id, "", second.id, ""]


def test_a_gang_that_has_no_room_even_alone_keeps_nothing(world: World) -> None:
    free = world.worker("w1", slots=2)
    world.submit(num_tasks=3, gang=True)
    assert state(world.submit()) == "assigned"
    free.started()
    assert world.fleet.reserved == {}


def test_what_was_kept_is_free_as_soon_as_the_gang_is_gone(world: World) -> None:
    job, _, free = waiting_gang(world)
    small = world.submit()
    world.act("cancel", job)
    world.pass_ms(500)
    assert state(small) == "assigned"
    free.started()
    assert status(world, free) == "busy"


def test_a_worker_is_shown_anew_only_when_what_is_kept_changes(world: World) -> None:
    waiting_gang(world)
    world.pass_ms(1_000)
    shown: list[object] = []
    world.on_commit = lambda batch, _: shown.extend(batch.workers_shown)
    world.pass_ms(2_000, beating=False)
    assert shown == []
