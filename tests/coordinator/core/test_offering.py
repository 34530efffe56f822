"""Offers that are reserved: who may have the room, for how long, what they count as, and what becomes of them."""

from typing import Any

import pytest

from opsconsole_coordinator.core import view
from opsconsole_coordinator.core.reserved_offer import OFFER_RESERVED_MS, OFFERS_RESERVED_MAX, Refused, ReservedOffer
from opsconsole_protocol.api import Reserve
from opsconsole_protocol.error import Conflict, InvalidRequest, NotFound
from opsconsole_protocol.gpu_load import GPU_SHARING
from opsconsole_protocol.ids import JobId
from opsconsole_protocol.quantity import spell_second
from opsconsole_protocol.share import ShareChange
from opsconsole_protocol.spec import JobSpec, Resources
from tests.coordinator.core.world import World, gpus, state


def choose(
    world: World, worker: str = "w1", *, by: str = "ana", id: JobId | None = None, gpus: int = 0, **fields: Any  # noqa: A002
) -> ReservedOffer | Refused:  # fmt: skip
    fields.setdefault("resources", Resources(gpus=gpus))
    spec = JobSpec(command=("/bin/true",), **fields)
    found = world.reactor.on_reserve_offer(id or world.new_id(), spec, worker, by, world.now_ms)
    world.turn()
    return found


def chosen(world: World, worker: str = "w1", **fields: Any) -> ReservedOffer:
    found = choose(world, worker, **fields)
    assert isinstance(found, ReservedOffer), found
    return found


def refused(world: World, worker: str = "w1", **fields: Any) -> str:
    found = choose(world, worker, **fields)
    assert isinstance(found, Refused)
    return found.reason


def test_room_that_somebody_has_chosen_is_anothers_only_after_its_time(world: World) -> None:
    worker = world.worker(slots=2, gpus=gpus(1))
    offer = chosen(world, gpus=1)
    assert offer.until_ms == world.now_ms + OFFER_RESERVED_MS
    other = world.submit(gpus=1, by="ben")
    assert state(other) == "pending"
    words = f"is reserved for ana, who chose it, until {spell_second(offer.until_ms)}"
    assert words in world.rows[other.id].reason
    assert words in world.why(other)
    small = world.submit(by="ben")
    assert worker.started().job_id == small.id, "beside it there is room"
    world.pass_ms(OFFER_RESERVED_MS)
    assert worker.started().job_id == other.id
    assert not world.fleet.reservations.offers


def test_a_slot_that_is_waited_for_names_who_has_reserved_it(world: World) -> None:
    worker = world.worker()
    offer = chosen(world)
    assert worker.record.status == "reserved"
    other = world.submit(by="ben")
    assert world.why(other).endswith(f"is reserved for ana, who chose it, until {spell_second(offer.until_ms)}")


def test_the_job_that_follows_gets_it_though_others_wait_and_says_so(world: World) -> None:
    worker = world.worker(gpus=gpus(2), slots=2)
    offer = chosen(world, gpus=2)
    urgent = world.submit(gpus=1, by="ben", priority=50)
    job = world.submit(gpus=2, id=offer.job_id)
    assert worker.started().job_id == job.id
    assert state(urgent) == "pending"
    assert any("its offer was reserved for this job" in event.text for event in world.events)
    assert not world.fleet.reservations.offers


def test_of_several_tasks_the_first_gets_it(world: World) -> None:
    worker = world.worker(slots=1)
    offer = chosen(world, num_tasks=3)
    job = world.submit(id=offer.job_id, num_tasks=3)
    assert worker.started().index == 0
    assert job.counts == {"assigned": 1, "pending": 2} or sum(job.counts.values()) == 3


@pytest.mark.parametrize(
    "fields",
    [
        {"gpus": 2},
        {"gpus": 1, "resources": Resources(gpus=1, cpus=2)},
        {"resources": Resources(gpu_memory_mb=1_000, share=True)},
    ],
)
def test_who_asks_for_more_than_was_reserved_waits_as_others(world: World, fields: dict[str, Any]) -> None:
    worker = world.worker(gpus=gpus(2), slots=2, properties={"cpus": 4, GPU_SHARING: True})
    offer = chosen(world, gpus=1)
    urgent = world.submit(gpus=2, by="ben", priority=50)
    job = world.submit(id=offer.job_id, **fields)
    assert worker.started().job_id == urgent.id
    assert state(job) == "pending"


def test_somebody_elses_job_of_that_id_doesnt_use_it(world: World) -> None:
    world.worker()
    offer = chosen(world)
    with pytest.raises(Conflict, match="there is a job"):
        choose(world, by="ben", id=offer.job_id)
    job = world.submit(by="ben", id=offer.job_id)
    assert state(job) == "pending"


def test_without_a_name_the_best_worker_is_chosen(world: World) -> None:
    world.worker("a", slots=1)
    world.worker("b", slots=3)
    world.submit(worker="b")
    world.workers["b"].started()
    assert world.fleet.workers[chosen(world, "").worker_id].name == "a"
    with pytest.raises(NotFound):
        choose(world, "nobody")
    with pytest.raises(InvalidRequest):
        choose(world, worker="", requirements=("))",))
    assert len(world.fleet.reservations.offers) == 1, "what is refused as wrong changes nothing"


def test_another_choice_frees_the_one_before_and_the_same_one_lasts_no_longer(world: World) -> None:
    one, two = world.worker("w1"), world.worker("w2")
    first = chosen(world)
    world.pass_ms(20_000)
    assert chosen(world, id=first.job_id).until_ms == first.until_ms
    second = chosen(world, "w2", id=first.job_id)
    assert second.until_ms == world.now_ms + OFFER_RESERVED_MS
    assert not one.record.live.offers
    assert two.record.live.offers
    assert refused(world, "w1", id=first.job_id, gpus=1) == "w1 has no GPU"
    assert not two.record.live.offers, "who chose what can't be had has nothing any more"


def test_it_isnt_reserved_anew_before_who_waits_for_it_has_had_a_turn(world: World) -> None:
    worker = world.worker(gpus=gpus(4), slots=4)
    first, second = chosen(world, gpus=2), chosen(world, gpus=1, by="ben")
    head = world.submit(gpus=4, by="cleo")
    world.pass_ms(OFFER_RESERVED_MS // 2)
    world.reactor.on_free_offer(second.job_id, "ben", world.now_ms)
    assert "is kept for job" in refused(world, gpus=1, by="ben")
    world.reactor.on_free_offer(first.job_id, "ana", world.now_ms)
    assert "free: each has a task" in refused(world, gpus=2)
    assert worker.started().job_id == head.id


def test_room_that_is_kept_for_the_next_in_line_isnt_reserved(world: World) -> None:
    worker = world.worker(gpus=gpus(2), slots=3)
    world.submit(gpus=1, timeout_ms=3_600_000)
    worker.started()
    head = world.submit(gpus=2)
    assert f"is kept for job {head.id}" in refused(world, gpus=1, by="ben")
    assert f"is kept for job {head.id}" in refused(world, gpus=1, by="ben", timeout_ms=1_000)


def test_it_counts_for_limits_and_no_more_once_it_is_free(world: World) -> None:
    worker = world.worker(gpus=gpus(4), slots=4)
    world.reactor.on_set_person("ana", ShareChange(gpus=2), "root", world.now_ms)
    offer = chosen(world, gpus=2)
    assert refused(world, gpus=1) == "ana has 2 of the 2 GPUs that it may have at a time; this needs 1"
    waits = world.submit(gpus=1)
    assert "ana has 2 of the 2 GPUs" in world.rows[waits.id].reason
    world.reactor.on_free_offer(offer.job_id, "ana", world.now_ms)
    world.turn()
    assert worker.started().job_id == waits.id
    assert world.fleet.usage.held_by["ana"].gpus == 1


def test_nobody_has_more_than_a_few(world: World) -> None:
    world.worker(slots=9)
    for _ in range(OFFERS_RESERVED_MAX):
        chosen(world)
    assert refused(world).startswith(f"{OFFERS_RESERVED_MAX} offers are reserved for ana already")
    chosen(world, by="ben")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"held": True}, "will wait for something else than a worker"),
        ({"gang": True, "num_tasks": 2}, "the tasks of a gang are placed together"),
        ({"gpus": 9}, "w1 has none of the 9 GPUs needed"),
    ],
)
def test_what_cant_be_reserved_says_why(world: World, fields: dict[str, Any], words: str) -> None:
    world.worker()
    assert words in refused(world, **fields)


def test_no_worker_and_a_project_that_waits_say_so(world: World) -> None:
    assert refused(world, "") == "no worker takes it now"
    world.worker()
    world.set_project("paused")
    assert refused(world) == "project default is paused: the job will wait"


def test_a_worker_that_leaves_or_is_drained_or_becomes_anothers_frees_it(world: World) -> None:
    gone, drained, taken = world.worker("w1"), world.worker("w2"), world.worker("w3")
    for name in ("w1", "w2", "w3"):
        chosen(world, name, by=name)
    gone.disconnect()
    world.reactor.on_set_maintenance("w2", "drain", "root", world.now_ms)
    request = Reserve(workers=("w3",), from_ms=world.now_ms, until_ms=world.now_ms + 60_000, person="ben")
    world.reactor.on_reserve(request, "root", world.now_ms)
    world.pass_ms(500)
    assert not world.fleet.reservations.offers
    assert not any(one.record.live.offers for one in (gone, drained, taken))


def test_the_owner_sees_its_worker_as_free_and_others_dont(world: World) -> None:
    world.worker()
    offer = chosen(world)
    spec = JobSpec(command=("/bin/true",))
    mine = view.candidates(world.fleet, spec, world.now_ms, job_id=offer.job_id)
    others = view.candidates(world.fleet, spec, world.now_ms)
    assert mine.verdicts[0].accepted
    assert not others.verdicts[0].accepted
    assert world.workers["w1"].record.live.offers, "looking changes nothing"


def test_a_gang_is_told_what_would_fit_without_it_and_waits_for_its_end(world: World) -> None:
    worker = world.worker(slots=2)
    chosen(world)
    gang = world.submit(num_tasks=2, gang=True, by="ben")
    assert state(gang) == "pending"
    assert "at most" not in world.rows[gang.id].reason
    world.pass_ms(OFFER_RESERVED_MS + 500)
    assert {worker.started().job_id, worker.started().job_id} == {gang.id}
