"""Slots and GPUs."""

from opsconsole_agent.core.slot import NO_GPUS, Claim, Slots, claim_of
from opsconsole_protocol.ids import AttemptId
from opsconsole_protocol.spec import Resources
from tests.agent.core.script import make_launch

A, B, C, D = (AttemptId(name) for name in "abcd")


def test_slots_are_given_in_order_and_no_more_than_there_are() -> None:
    slots = Slots(2)
    for one in (A, B, C):
        slots.enqueue(one, NO_GPUS)
    assert slots.admit() == ([A, B], [])
    assert slots.admit() == ([], [])
    slots.leave(A)
    assert slots.admit() == ([C], [])
    assert slots.taken == {B, C}


def test_two_that_want_the_same_gpu_are_not_admitted_together() -> None:
    slots = Slots(4)
    slots.enqueue(A, Claim(("g1",)))
    slots.enqueue(B, Claim(("g1",)))
    slots.enqueue(C, Claim(("g2",)))
    assert slots.admit() == ([A, C], [B])
    assert slots.obstacle(Claim(("g1",))) == "waiting for GPU g1: a has it"
    slots.leave(A)
    assert slots.admit() == ([B], [])


def test_gpus_do_not_wait_for_slots_that_tasks_without_have() -> None:
    """Hard use 14."""
    slots = Slots(2)
    for one, claim in ((A, NO_GPUS), (B, NO_GPUS), (C, NO_GPUS), (D, Claim(("g1",)))):
        slots.enqueue(one, claim)
    assert slots.admit() == ([A, B, D], [])
    slots.leave(A)
    assert slots.admit() == ([], []), "two live: the one with the GPU counts for those without"
    assert slots.obstacle(NO_GPUS) == "waiting for a slot: max_concurrent_jobs is 2"
    slots.leave(B)
    assert slots.admit() == ([C], [])


def test_tasks_with_gpus_keep_to_the_limit_among_themselves() -> None:
    slots = Slots(1)
    slots.enqueue(A, Claim(("g1",)))
    slots.enqueue(B, Claim(("g2",)))
    assert slots.admit() == ([A], [])
    assert slots.obstacle(Claim(("g2",))) == "waiting for a slot: max_concurrent_jobs is 1"
    slots.leave(A)
    assert slots.admit() == ([B], [])
    slots.leave(B)
    slots.enqueue(C, Claim(("g1",)))
    assert slots.admit() == ([C], [])


def test_who_leaves_the_queue_is_not_admitted() -> None:
    slots = Slots(1)
    slots.enqueue(A, NO_GPUS)
    slots.leave(A)
    assert slots.admit() == ([], [])


def test_gpus_found_in_use_twice_are_free_when_their_first_owner_has_left() -> None:
    slots = Slots(1)
    slots.take(A, Claim(("g1",)))
    slots.take(B, Claim(("g1",)))
    assert slots.obstacle(NO_GPUS) == "waiting for a slot: max_concurrent_jobs is 1"
    slots.leave(B)
    slots.leave(D)
    slots.enqueue(C, Claim(("g1",)))
    assert slots.admit() == ([], [])
    slots.leave(A)
    assert slots.admit() == ([C], [])


def test_who_has_a_slot_or_has_left_no_longer_waits() -> None:
    slots = Slots(1)
    assert not slots.has_waiting
    slots.enqueue(AttemptId("a"), NO_GPUS)
    slots.enqueue(AttemptId("b"), NO_GPUS)
    slots.admit()
    assert slots.has_waiting
    slots.leave(AttemptId("b"))
    assert not slots.has_waiting


def share(*gpu_ids: str, mb: int = 6_000, size_mb: int = 24_000) -> Claim:
    return Claim(gpu_ids, mb, (size_mb,) * len(gpu_ids))


def test_attempts_share_a_gpu_by_memory_and_one_slot() -> None:
    slots = Slots(1)
    names = [AttemptId(str(number)) for number in range(5)]
    for one in names:
        slots.enqueue(one, share("g1"))
    assert slots.admit() == (names[:4], [names[4]])
    assert slots.obstacle(share("g1")) == "waiting for GPU g1: 0 and 1 and 2 and 3 have it"
    slots.leave(names[0])
    assert slots.admit() == ([names[4]], [])
    assert slots.obstacle(NO_GPUS) == "waiting for a slot: max_concurrent_jobs is 1"


def test_whole_and_shared_do_not_meet() -> None:
    slots = Slots(4)
    slots.enqueue(A, share("g1"))
    slots.enqueue(B, Claim(("g1",)))
    slots.enqueue(C, share("g1"))
    assert slots.admit() == ([A, C], [B])
    for one in (A, C):
        slots.leave(one)
    slots.enqueue(D, share("g1"))
    assert slots.admit() == ([B], [D])


def test_shares_of_another_gpu_need_another_slot() -> None:
    slots = Slots(1)
    for one, claim in ((A, share("g1")), (B, share("g2")), (C, share("g1", "g2")), (D, share("g1"))):
        slots.enqueue(one, claim)
    assert slots.admit() == ([A, D], [])
    slots.leave(A)
    slots.leave(D)
    assert slots.admit() == ([B], [])


def test_who_was_found_alive_counts_with_its_share() -> None:
    slots = Slots(2)
    slots.take(A, share("g1", mb=20_000))
    slots.enqueue(B, share("g1", mb=6_000))
    assert slots.admit() == ([], [B])
    slots.leave(A)
    assert slots.admit() == ([B], [])


def test_a_gpu_whose_size_nobody_knows_is_shared_as_told() -> None:
    slots = Slots(1)
    slots.take(A, Claim(("g1",), 20_000))
    slots.enqueue(B, Claim(("g1",), 20_000))
    assert slots.admit() == ([B], [])


def test_a_launch_says_what_is_claimed() -> None:
    assert claim_of(None) == claim_of(make_launch()) == NO_GPUS
    assert claim_of(make_launch(gpu_ids=("g1",), resources=Resources(gpus=1, gpu_memory_mb=6))) == Claim(("g1",))
    shared = make_launch(
        gpu_ids=("g1",), gpu_sizes_mb=(24,), resources=Resources(gpu_memory_mb=6, share=True)
    )  # fmt: skip
    assert claim_of(shared) == Claim(("g1",), 6, (24,))
