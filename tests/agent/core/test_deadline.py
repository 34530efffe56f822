"""Deadlines."""

from opsconsole_agent.core.deadline import Deadlines
from opsconsole_protocol.ids import AttemptId

A, B = AttemptId("a"), AttemptId("b")


def test_the_last_word_counts() -> None:
    deadlines = Deadlines()
    deadlines.set(A, 10)
    deadlines.set(B, 20)
    deadlines.set(A, 30)
    assert deadlines.next_ms == 20
    assert deadlines.due(25) == [B]
    deadlines.set(A, None)
    assert deadlines.next_ms is None
    assert deadlines.due(100) == []


def test_a_deadline_comes_once() -> None:
    deadlines = Deadlines()
    deadlines.set(A, 10)
    deadlines.set(A, 20)
    deadlines.set(A, 10)
    assert deadlines.due(50) == [A]
    assert deadlines.due(50) == []


def test_cancelled_deadlines_take_no_room() -> None:
    deadlines = Deadlines()
    for number in range(100_000):
        deadlines.set(AttemptId(str(number)), 1_000_000 + number)
        deadlines.set(AttemptId(str(number)), None)
    assert len(deadlines._heap) < 1_000


def test_a_moved_clock_moves_them_along() -> None:
    deadlines = Deadlines()
    deadlines.set(A, 10)
    deadlines.shift(-100)
    assert deadlines.next_ms == -90
