"""Reservations outlive the coordinator: those in force, those that are planned, and that others were taken back."""

from opsconsole_coordinator.store import rebuild
from opsconsole_protocol.api import Reserve
from tests.coordinator.core.world import World
from tests.coordinator.store.direct import Direct


def test_reservations_are_as_they_were() -> None:
    store, world = Direct(), World()
    world.on_commit = store.commit
    for name in ("w1", "w2"):
        world.worker(name)
    now_ms, made = world.now_ms, ""
    for number, begin_ms in enumerate((0, 60_000, 120_000)):
        wanted = Reserve(
            workers=("w1", "w2"), from_ms=now_ms + begin_ms, until_ms=now_ms + begin_ms + 60_000, person="ben", reason=f"no. {number}"
        )  # fmt: skip
        made = world.reactor.on_reserve(wanted, "ana", now_ms).id
        world.turn()
    world.reactor.on_cancel_reservation(made, "ana", now_ms)
    world.turn()
    fleet = rebuild.load(store.connection, lambda _: 0, "lab", now_ms)
    assert sorted(fleet.reservations, key=lambda one: one.from_ms) == sorted(
        world.fleet.reservations, key=lambda one: one.from_ms
    )
    assert [one.has_begun for one in fleet.reservations].count(True) == 1
    for worker in fleet.workers.values():
        before = world.fleet.workers[worker.id].booked
        assert worker.booked is not None
        assert before is not None
        assert (worker.booked.reservations, worker.booked.current) == (before.reservations, before.current)
        assert worker.status == "reserved"
    world.pass_ms(121_000)
    assert not list(rebuild.load(store.connection, lambda _: 0, "lab", world.now_ms).reservations)
