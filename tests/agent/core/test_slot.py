"""Slots and GPUs."""

from opsconsole_agent.core.slot import Slots
from opsconsole_protocol.ids import AttemptId

A, B, C, D = (AttemptId(name) for name in "abcd")


def test_slots_are_given_in_order_and_no_more_than_there_are() -> None:
    slots = Slots(2)
    for one in (A, B, C):
        slots.enqueue(one, ())
    assert slots.admit() == ([A, B], [])
    assert slots.admit() == ([], [])
    slots.leave(A)
    assert slots.admit() == ([C], [])
    assert slots.taken == {B, C}


def test_two_that_want_the_same_gpu_are_not_admitted_together() -> None:
    slots = Slots(4)
    slots.enqueue(A, ("g1",))
    slots.enqueue(B, ("g1",))
    slots.enqueue(C, ("g2",))
    assert slots.admit() == ([A, C], [B])
    assert slots.obstacle(("g1",)) == "waiting for GPU g1: a has it"
    slots.leave(A)
    assert slots.admit() == ([B], [])


def test_gpus_do_not_wait_for_slots_that_tasks_without_have() -> None:
    """Hard use 14."""
    slots = Slots(2)
    for one, gpu_ids in ((A, ()), (B, ()), (C, ()), (D, ("g1",))):
        slots.enqueue(one, gpu_ids)
    assert slots.admit() == ([A, B, D], [])
    slots.leave(A)
    assert slots.admit() == ([], []), "two live: the one with the GPU counts for those without"
    assert slots.obstacle(()) == "waiting for a slot: max_concurrent_jobs is 2"
    slots.leave(B)
    assert slots.admit() == ([C], [])


def test_tasks_with_gpus_keep_to_the_limit_among_themselves() -> None:
    slots = Slots(1)
    slots.enqueue(A, ("g1",))
    slots.enqueue(B, ("g2",))
    assert slots.admit() == ([A], [])
    assert slots.obstacle(("g2",)) == "waiting for a slot: max_concurrent_jobs is 1"
    slots.leave(A)
    assert slots.admit() == ([B], [])
    slots.leave(B)
    slots.enqueue(C, ("g1",))
    assert slots.admit() == ([C], [])


def test_who_leaves_the_queue_is_not_admitted() -> None:
    slots = Slots(1)
    slots.enqueue(A, ())
    slots.leave(A)
    assert slots.admit() == ([], [])


def test_gpus_found_in_use_twice_are_free_when_their_first_owner_has_left() -> None:
    slots = Slots(1)
    slots.take(A, ("g1",))
    slots.take(B, ("g1",))
    assert slots.obstacle(()) == "waiting for a slot: max_concurrent_jobs is 1"
    slots.leave(B)
    slots.leave(D)
    slots.enqueue(C, ("g1",))
    assert slots.admit() == ([], [])
    slots.leave(A)
    assert slots.admit() == ([C], [])


def test_who_has_a_slot_or_has_left_no_longer_waits() -> None:
    slots = Slots(1)
    assert not slots.has_waiting
    slots.enqueue(AttemptId("a"), ())
    slots.enqueue(AttemptId("b"), ())
    slots.admit()
    assert slots.has_waiting
    slots.leave(AttemptId("b"))
    assert not slots.has_waiting
