"""Reservations of workers, and windows of maintenance: what is placed there, what leaves, and what is refused."""

from typing import Any

import pytest

from opsconsole_coordinator.core import view
from opsconsole_coordinator.core.calendar import Reservation
from opsconsole_coordinator.core.history import SURE
from opsconsole_coordinator.core.model import Reserved
from opsconsole_coordinator.core.reservation import put_reservation
from opsconsole_protocol import link
from opsconsole_protocol.api import RESERVATIONS_MAX, RESERVE_DAYS_MAX, Reserve
from opsconsole_protocol.error import OpsconsoleError
from opsconsole_protocol.quantity import spell_moment
from opsconsole_protocol.spec import PauseBy, Resources
from opsconsole_protocol.state import AttemptState
from tests.coordinator.core.world import FakeWorker, World, gpus, state, task_of

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
LASTS_MS = 2 * MINUTE_MS


def reserve(world: World, *names: str, begins_in_ms: int = 0, lasts_ms: int = LASTS_MS, **fields: Any) -> Reservation:
    from_ms = world.now_ms + begins_in_ms
    if not fields.get("maintenance"):
        fields.setdefault("person", "" if "project" in fields else "ben")
    request = Reserve(workers=names, from_ms=from_ms, until_ms=from_ms + lasts_ms, **fields)
    made = world.reactor.on_reserve(request, "ana", world.now_ms)
    world.turn()
    return made


def refused(world: World, *names: str, **fields: Any) -> str:
    before = list(world.fleet.reservations)
    with pytest.raises(OpsconsoleError) as error:
        reserve(world, *names, **fields)
    assert list(world.fleet.reservations) == before
    assert "\n" not in error.value.message
    return error.value.message


def want(worker: FakeWorker, mode: link.Mode) -> link.Want:
    message = worker.take(link.SetWant)
    assert message.want.mode == mode
    return message.want


def test_while_it_is_in_force_only_those_are_placed_for_whom_it_is(world: World) -> None:
    worker = world.worker(slots=3)
    world.reactor.on_set_project("vision", None, None, "ana", world.now_ms)
    reservation = reserve(world, "w1", project="vision")
    other = world.submit()
    assert state(other) == "pending"
    until = spell_moment(reservation.until_ms)
    assert world.rows[other.id].reason == f"w1 is reserved for project vision until {until}"
    assert world.why(other) == f"w1 is reserved for project vision until {until}; it should start {until}"
    mine = world.submit(project="vision")
    assert worker.started().job_id == mine.id
    assert worker.record.status == "reserved"
    world.pass_ms(LASTS_MS)
    assert worker.started().job_id == other.id
    assert not world.fleet.reservations
    assert worker.record.booked is None


def test_a_persons_reservation_tells_apart_jobs_that_ask_the_same(world: World) -> None:
    worker = world.worker(slots=2)
    reserve(world, "w1")
    ana, ben = world.submit(by="ana", turn=False), world.submit(by="ben", turn=False)
    world.turn()
    assert worker.started().job_id == ben.id
    assert state(ana) == "pending"


def test_before_it_begins_nothing_is_placed_there_that_is_known_to_run_into_it(world: World) -> None:
    worker = world.worker(slots=3)
    reservation = reserve(world, "w1", begins_in_ms=10 * MINUTE_MS)
    long = world.submit(timeout_ms=20 * MINUTE_MS)
    assert "and this may run into that" in world.rows[long.id].reason
    short = world.submit(timeout_ms=5 * MINUTE_MS)
    assert worker.started().job_id == short.id
    nobody_knows = world.submit()
    assert worker.started().job_id == nobody_knows.id
    assert world.why(long).endswith(f"it should start {spell_moment(reservation.until_ms)}")


def test_without_a_limit_it_counts_how_long_others_of_its_kind_took(world: World) -> None:
    worker = world.worker(slots=3)
    for _ in range(SURE):
        world.submit(name="train")
        attempt = worker.started()
        world.pass_ms(2 * MINUTE_MS)
        worker.succeed(attempt)
    reserve(world, "w1", begins_in_ms=MINUTE_MS)
    job, other = world.submit(name="train", turn=False), world.submit(name="short", turn=False)
    world.turn()
    assert worker.started().job_id == other.id
    assert state(job) == "pending"


def test_what_others_run_there_when_it_begins_goes_on_elsewhere_at_no_cost(world: World) -> None:
    worker = world.worker(slots=4)
    saver = world.submit(pause_by=PauseBy.CHECKPOINT, max_retries_preemption=0)
    plain, once, mine = world.submit(), world.submit(max_retries_preemption=0), world.submit(by="ben")
    one, two, three, _ = (worker.started() for _ in range(4))
    reserve(world, "w1", begins_in_ms=MINUTE_MS)
    world.pass_ms(MINUTE_MS + 1_000)
    assert want(worker, link.Mode.PAUSE).by is PauseBy.CHECKPOINT
    assert want(worker, link.Mode.STOP).reason == "w1 is reserved for ben"
    worker.report(one, AttemptState.FAILED, exit_code=85, finished_at_ms=world.now_ms)
    worker.forget(one)
    worker.killed(two)
    world.pass_ms(30_000)
    assert [state(job) for job in (saver, plain, once, mine)] == ["pending", "pending", "running", "running"]
    assert (task_of(plain).failures, task_of(plain).preemptions) == (0, 0)
    assert three.want.mode is link.Mode.RUN, "what may not be run again stays"


def test_cancelled_in_time_what_still_saves_goes_on(world: World) -> None:
    worker = world.worker()
    job = world.submit(pause_by=PauseBy.CHECKPOINT)
    worker.started()
    reservation = reserve(world, "w1")
    world.pass_ms(1_000)
    want(worker, link.Mode.PAUSE)
    words = world.reactor.on_cancel_reservation(reservation.id, "ana", world.now_ms)
    assert words.startswith("reservation for ben from ")
    world.pass_ms(1_000)
    want(worker, link.Mode.RUN)
    assert state(job) == "running"


def test_with_counted_gpus_goes_their_part_of_cpus_and_memory(world: World) -> None:
    worker = world.worker(slots=9, gpus=gpus(4), properties={"cpus": 16, "memory_mb": 64_000})
    first = world.submit(resources=Resources(cpus=6))
    late = world.submit(resources=Resources(gpus=1, cpus=4, memory_mb=8_000))
    stays = world.submit()
    one, two, three = (worker.started() for _ in range(3))
    reservation = reserve(world, "w1", gpus=2)
    assert want(worker, link.Mode.STOP).reason == "w1 is reserved for ben", (
        "of those who have more than half the last leaves"
    )
    worker.killed(two)
    assert [one.job_id, three.job_id] == [first.id, stays.id]
    until = spell_moment(reservation.until_ms)
    words = f"w1 has 2 of its 4 GPUs, with 8 of its 16 CPUs, reserved for ben until {until}"
    assert world.rows[late.id].reason == words
    memory = world.submit(resources=Resources(memory_mb=33_000))
    assert "with 32000 of its 64000 MB of memory, reserved for ben" in world.rows[memory.id].reason
    fits = [world.submit(resources=Resources(gpus=1, cpus=2)), world.submit(resources=Resources(memory_mb=24_000))]
    mine = world.submit(by="ben", resources=Resources(gpus=2, cpus=8, memory_mb=32_000))
    started = [worker.started() for _ in range(3)]
    assert [one.job_id for one in started] == [*(job.id for job in fits), mine.id]
    worker.report(one, AttemptState.SUCCEEDED, exit_code=0, finished_at_ms=world.now_ms)
    worker.forget(one)
    assert worker.started().job_id == late.id


def test_of_counted_gpus_others_have_the_rest(world: World) -> None:
    worker = world.worker(slots=8, gpus=gpus(4))
    jobs = [world.submit(gpus=1) for _ in range(3)]
    attempts = [worker.started() for _ in jobs]
    reserve(world, "w1", gpus=2)
    world.pass_ms(1_000)
    want(worker, link.Mode.STOP)
    worker.killed(attempts[2])
    assert state(jobs[2]) == "pending", "who came last leaves"
    assert world.rows[jobs[2].id].reason.startswith("w1 has 2 of its 4 GPUs reserved for ben until ")
    world.submit()
    worker.started()  # without a GPU
    mine = world.submit(gpus=2, by="ben")
    assert worker.started().job_id == mine.id


def test_in_maintenance_nothing_runs_and_it_comes_back_by_itself(world: World) -> None:
    worker = world.worker(slots=3)
    plain, once, frozen = world.submit(), world.submit(max_retries_preemption=0), world.submit()
    one, two, three = (worker.started() for _ in range(3))
    world.act("pause", frozen)
    want(worker, link.Mode.PAUSE)
    worker.report(three, AttemptState.PAUSED)
    reserve(world, "w1", begins_in_ms=MINUTE_MS, maintenance=True, reason="a new driver")
    assert worker.record.status == "busy"
    world.pass_ms(MINUTE_MS + 1_000)
    assert worker.record.status == "maintenance"
    assert want(worker, link.Mode.STOP).reason == "w1 is in maintenance: a new driver"
    assert want(worker, link.Mode.STOP).reason.endswith("and it may not be run again")
    want(worker, link.Mode.STOP)
    for attempt in (one, two, three):
        worker.killed(attempt)
    assert [state(job) for job in (plain, once, frozen)] == ["pending", "killed", "held"]
    assert "is in maintenance until" in world.why(plain)
    row = view.worker_row(world.fleet, worker.record, world.now_ms)
    assert row.reservation is not None
    assert (row.reservation.maintenance, row.reservation.in_force) == (True, True)
    world.pass_ms(LASTS_MS)
    assert worker.started().job_id == plain.id
    assert [one.kind for one in world.events if "reservation" in one.text] == ["maintenance", "available"]


def test_the_end_of_a_window_takes_no_operators_drain_back(world: World) -> None:
    worker = world.worker()
    reserve(world, "w1", maintenance=True)
    world.reactor.on_set_maintenance("w1", "drain", "ana", world.now_ms, "mine")
    world.pass_ms(LASTS_MS + 1_000)
    assert worker.record.status == "maintenance"
    job = world.submit()
    assert state(job) == "pending"


def test_an_undrain_does_not_end_a_window(world: World) -> None:
    worker = world.worker()
    reserve(world, "w1", maintenance=True)
    world.reactor.on_set_maintenance("w1", "undrain", "ana", world.now_ms)
    job = world.submit()
    assert (state(job), worker.record.status) == ("pending", "maintenance")


def test_a_gang_leaves_as_a_whole(world: World) -> None:
    workers = [world.worker(name) for name in ("w1", "w2")]
    job = world.submit(gang=True, num_tasks=2)
    attempts = [worker.started() for worker in workers]
    reserve(world, "w1")
    for worker, attempt in zip(workers, attempts, strict=True):
        want(worker, link.Mode.STOP)
        worker.killed(attempt)
    assert state(job) == "pending"


def test_what_was_kept_for_others_is_not_kept_once_it_begins(world: World) -> None:
    worker = world.worker()
    world.submit(by="ben")
    attempt = worker.started()
    waiting = world.submit()
    put_reservation(world.fleet, worker.id, Reserved(job_id=waiting.id, slots=1, gpu_ids=frozenset(), promised={}))
    reserve(world, "w1")
    assert worker.record.reserved is None
    mine = world.submit(by="ben")
    worker.succeed(attempt)
    assert worker.started().job_id == mine.id
    assert state(waiting) == "pending"


def test_what_can_not_be_is_refused_in_one_line(world: World) -> None:
    world.worker("w1", gpus=gpus(2))
    first = reserve(world, "w1", begins_in_ms=HOUR_MS)
    assert f"for ben from {spell_moment(first.from_ms)}" in refused(world, "w1", begins_in_ms=HOUR_MS + 1)
    assert first.id in refused(world, "w1", begins_in_ms=HOUR_MS - 1, maintenance=True)
    assert "no worker w9" in refused(world, "w1", "w9")
    assert "in one way" in refused(world, "w1", person="ben", project="default")
    assert "in one way" in refused(world, "w1", person="")
    assert "has 2 GPUs, not 3" in refused(world, "w1", gpus=3)
    assert "whole worker" in refused(world, "w1", gpus=1, maintenance=True)
    assert "before it begins" in refused(world, "w1", lasts_ms=-1)
    assert "is past" in refused(world, "w1", begins_in_ms=-HOUR_MS, lasts_ms=2 * HOUR_MS)
    assert "days ahead" in refused(world, "w1", lasts_ms=(RESERVE_DAYS_MAX + 1) * 24 * HOUR_MS)
    reserve(world, "w1", begins_in_ms=HOUR_MS + LASTS_MS)  # one begins when the other ends
    with pytest.raises(OpsconsoleError, match="there is no reservation r"):
        world.reactor.on_cancel_reservation("r", "ana", world.now_ms)


def test_there_are_only_so_many(world: World) -> None:
    world.worker("w1")
    for number in range(RESERVATIONS_MAX):
        world.fleet.reservations.put(Reservation(id=str(number), worker_ids=(), from_ms=0, until_ms=1 << 50))
    assert "takes one back" in refused(world, "w1")


def test_a_worker_that_is_removed_is_reserved_no_more(world: World) -> None:
    for name in ("w1", "w2"):
        world.worker(name)
    reservation = reserve(world, "w1", "w2", begins_in_ms=HOUR_MS)
    world.workers["w1"].disconnect()
    world.pass_ms(600_000)
    world.reactor.on_worker_removed("w1", "ana", world.now_ms)
    left = world.fleet.reservations.get(reservation.id)
    assert left is not None
    assert left.worker_ids == (world.workers["w2"].id,)
    world.workers.pop("w1")
