"""What a success, or somebody who looked after a worker, clears of what was held against it."""

from collections.abc import Callable

import pytest

from opsconsole_coordinator.core import control
from opsconsole_coordinator.core.avoidance import AVOID_AFTER_FAULTS, AVOID_AFTER_JOBS
from tests.coordinator.core.world import FakeWorker, World


def a_success(world: World, worker: FakeWorker) -> None:
    world.submit(by="cleo")
    worker.succeed(worker.started())


def somebody_who_looked(world: World, worker: FakeWorker) -> None:
    for action in ("drain", "undrain"):
        control.set_maintenance(world.fleet, worker.name, action, "ana", world.now_ms)


def fail(world: World, worker: FakeWorker, *people: str, worker_fault: bool = False) -> None:
    for one in people:
        world.submit(by=one)
        worker.fail(worker.started(), worker_fault=worker_fault)


@pytest.mark.parametrize("clear", [a_success, somebody_who_looked])
@pytest.mark.parametrize(
    ("before", "after", "worker_fault"),
    [
        pytest.param(("ana", "ben"), ("ana", "ben"), False, id="jobs"),
        pytest.param(("ana", "ben"), ("ana", "ana", "ana", "ana"), False, id="people"),
        pytest.param(("ana",), ("ana",), True, id="faults of its own"),
    ],
)
def test_what_happened_before_counts_no_more(
    world: World,
    clear: Callable[[World, FakeWorker], None],
    before: tuple[str, ...],
    after: tuple[str, ...],
    worker_fault: bool,
) -> None:
    worker = world.worker()
    fail(world, worker, *before, worker_fault=worker_fault)
    clear(world, worker)
    fail(world, worker, *after, worker_fault=worker_fault)
    assert not worker.record.avoided_until_ms


@pytest.mark.parametrize("worker_fault", [False, True])
def test_without_a_success_in_between_they_count_together(world: World, worker_fault: bool) -> None:
    worker = world.worker()
    people = (("ana", "ben") * AVOID_AFTER_JOBS)[: AVOID_AFTER_FAULTS if worker_fault else AVOID_AFTER_JOBS]
    fail(world, worker, *people[:-1], worker_fault=worker_fault)
    assert not worker.record.avoided_until_ms
    fail(world, worker, people[-1], worker_fault=worker_fault)
    assert worker.record.avoided_until_ms
